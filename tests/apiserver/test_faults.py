"""Trouble: the operator killed between any two writes, an API server that restarts, hands that meddle, two operators."""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.apiserver.objects import condition, pipeline, project, revisions, up_to_date, words
from tests.apiserver.running import OperatorProcess, Proxy, settled
from tests.apiserver.server import ApiServer, Client, wait_for

pytestmark = pytest.mark.integration
Start = Callable[..., OperatorProcess]
Json = dict[str, Any]


def converged(admin: Client, name: str = "one") -> Json:
    """What stands in the end: no time, no uid."""
    body = up_to_date(admin, name)
    status = body["status"]
    return {
        "words": words(body),
        "running": status.get("revision"),
        "booked": {each["sequence"]: each["hash"] for each in status.get("revisions", [])},
        "stands": {number: each["spec"]["hash"] for number, each in revisions(admin, name).items()},
    }


def sound(state: Json) -> bool:
    """The newest runs, and what is booked is what stands."""
    booked = state["booked"]
    return state["words"]["Ready"] == "True Ready" and state["running"] == max(booked) and booked == state["stands"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_between_any_two_writes(admin: Client, operators: Start, proxy: Proxy, moment: str) -> None:
    """A first revision, a second one, then the eleventh, which ends the oldest: killed at each write of each.

    And a second one whose name somebody has given to an object of his own: that goes first.
    """
    tried: dict[str, list[str]] = {}
    histories = {"none": (0, False, 2), "one": (1, False, 2), "ten": (10, False, 3), "forged": (1, True, 3)}
    for what, (history, forgery, writes) in histories.items():
        for write in range(1, writes + 1):
            calm = operators()
            for number in range(history):
                admin.apply(pipeline(query=f"SELECT {number} AS a"))
                up_to_date(admin, Ready="True Ready")
            calm.kill()
            if forgery:
                assert admin.create(forged(revisions(admin)[history], history + 1))[0] == 201
            admin.apply(pipeline(query="SELECT 99 AS a"))
            tried.setdefault(what, []).append(_struck(operators, proxy, moment, write))
            operators()
            wait_for(f"convergence of {what}", lambda: sound(converged(admin)), 20)
            wait_for("pruning", lambda history=history: len(revisions(admin)) == min(history + 1, 10))
            assert converged(admin)["running"] == history + 1
            for each in list(operators.made):  # type: ignore[attr-defined]
                each.kill()
            admin.delete("pipelines", "one")
            for number in revisions(admin):
                admin.delete("pipelinerevisions", f"one-{number}")
    assert tried == {
        "none": ["POST", "PATCH"],
        "one": ["POST", "PATCH"],
        "ten": ["POST", "PATCH", "DELETE"],
        "forged": ["DELETE", "POST", "PATCH"],
    }


def _struck(operators: Start, proxy: Proxy, moment: str, write: int) -> str:
    """Start an operator and kill it at that write of its own; return the verb."""
    first, killed = len(proxy.writes), threading.Event()

    def strike(count: int) -> bool:
        if count - first == write:
            operators.made[-1].kill()  # type: ignore[attr-defined]
            killed.set()
        return not killed.is_set()

    setattr(proxy, moment, strike)
    operators(proxy.url)
    wait_for(f"write {write}", killed.is_set, 20)
    setattr(proxy, moment, lambda _: True)
    return proxy.writes[-1].split()[0]


@pytest.mark.slow
def test_killed_at_any_time(admin: Client, operators: Start) -> None:
    chance = random.Random(7)
    names = [f"p{number}" for number in range(20)]
    operator = operators(ADUTORA_WORKERS="4")
    for turn in range(8):
        for name in names:
            query = f"SELECT {turn} AS a" if chance.random() < 0.9 else "SELEC"
            admin.apply(pipeline(name, f"gold.{name}", query))
        time.sleep(chance.uniform(0.5, 2.5))
        operator.kill()
        operator = operators(ADUTORA_WORKERS="4")
    for name in names:
        admin.apply(pipeline(name, f"gold.{name}", "SELECT 100 AS a"))
    for name in names:
        wait_for(name, lambda name=name: sound(converged(admin, name)), 30)


def test_a_revision_deleted_by_hand_comes_again(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(pipeline())
    before = up_to_date(admin, Ready="True Ready")
    old = revisions(admin)[1]
    admin.delete("pipelinerevisions", "one-1")
    new = wait_for("the revision", lambda: revisions(admin).get(1))
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["spec"] == old["spec"]
    after = settled(lambda: admin.get("pipelines", "one"))
    assert after == before


def test_a_lost_revision_of_a_broken_pipeline_is_told(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    admin.apply(pipeline(query="SELECT 2 AS a"))
    up_to_date(admin, Ready="True Ready")
    admin.apply(pipeline(query="SELEC"))
    up_to_date(admin, Ready="True LastGoodRevision")
    admin.delete("pipelinerevisions", "one-2")
    body = up_to_date(admin, Ready="True RevisionLost")
    assert body["status"]["revision"] == 1
    admin.delete("pipelinerevisions", "one-1")
    body = up_to_date(admin, Ready="False RevisionLost")
    assert "revision" not in body["status"]
    admin.apply(pipeline(query="SELECT 2 AS a"))
    assert up_to_date(admin, Ready="True Ready")["status"]["revision"] == 2


def forged(true: Json, sequence: int, **changes: Any) -> Json:
    config = json.loads(true["spec"]["config"])
    config["stages"][0]["block"]["query"] = "SELECT 'evil'"
    text = json.dumps(config)
    spec = {"pipeline": "one", "sequence": sequence, "hash": hashlib.sha256(text.encode()).hexdigest(), "config": text}
    owners = true["metadata"]["ownerReferences"]
    metadata = {
        "name": f"one-{sequence}",
        "namespace": "team",
        "labels": true["metadata"]["labels"],
        "ownerReferences": owners,
    }
    return {**true, "metadata": {**metadata, **changes.pop("metadata", {})}, "spec": {**spec, **changes}}


def test_a_forged_revision_is_never_run(admin: Client, operators: Start) -> None:
    operator = operators()
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    true = revisions(admin)[1]
    # The next one, with everything right but its content: removed, and not run even if it is pinned.
    assert admin.create(forged(true, 2))[0] == 201
    wait_for("its removal", lambda: sorted(revisions(admin)) == [1])
    admin.apply(pipeline(revision=3))
    assert admin.create(forged(true, 3))[0] == 201
    up_to_date(admin, Ready="True RevisionNotFound")
    wait_for("its removal", lambda: sorted(revisions(admin)) == [1])
    admin.apply(pipeline())
    # In the place of the one that runs, while nobody looks.
    up_to_date(admin, Ready="True Ready")
    operator.kill()
    admin.delete("pipelinerevisions", "one-1")
    assert admin.create(forged(true, 1))[0] == 201
    assert admin.create(forged(true, 2))[0] == 201
    operators()
    wait_for("the true one", lambda: {n: each["spec"] for n, each in revisions(admin).items()} == {1: true["spec"]})
    up_to_date(admin, Ready="True Ready")
    # The true content with another owner, or with a hash that is not its own.
    for each in (forged(true, 2, metadata={"ownerReferences": []}), forged(true, 2, hash=true["spec"]["hash"])):
        assert admin.create(each)[0] == 201
        wait_for("its removal", lambda: sorted(revisions(admin)) == [1])


def test_two_operators_come_to_one_result(admin: Client, operators: Start, proxy: Proxy) -> None:
    for _ in range(2):
        operators(proxy.url)
    names = [f"p{number}" for number in range(10)]
    for turn in range(3):
        for name in names:
            admin.apply(pipeline(name, f"gold.{name}", f"SELECT {turn} AS a"))
        for name in names:
            wait_for(
                name,
                lambda name=name, turn=turn: (s := converged(admin, name)) and sound(s) and s["running"] == turn + 1,
            )
    settled(lambda: len(proxy.writes), 3)
    writes = proxy.succeeded()
    assert len([each for each in writes if each.startswith("POST")]) == 30
    assert len([each for each in writes if each.startswith("PATCH")]) == 30
    assert not [each for each in writes if each.startswith("DELETE")]
    quiet = len(proxy.writes)
    time.sleep(3)
    assert len(proxy.writes) == quiet


def test_the_api_server_restarts(server: ApiServer, admin: Client, operators: Start) -> None:
    operator = operators()
    admin.apply(pipeline())
    before = up_to_date(admin, Ready="True Ready")
    server.stop("kube-apiserver", kill=True)
    time.sleep(2)
    assert operator.health() == 200
    server.start_apiserver()
    admin.apply(pipeline(query="SELECT 2 AS a"))
    after = up_to_date(admin, Ready="True Ready")
    assert (before["status"]["revision"], after["status"]["revision"]) == (1, 2)
    assert operator.process is not None
    assert operator.process.poll() is None


def test_deleted_and_made_again(admin: Client, operators: Start) -> None:
    """Without a garbage collector the old revision stays: it is another pipeline's, though it has the name."""
    operators()
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    old = revisions(admin)[1]
    admin.delete("pipelines", "one")
    admin.apply(pipeline())
    body = up_to_date(admin, Ready="True Ready")
    new = revisions(admin)[1]
    assert (
        new["metadata"]["ownerReferences"][0]["uid"]
        == body["metadata"]["uid"]
        != old["metadata"]["ownerReferences"][0]["uid"]
    )


def test_deletion_takes_the_revisions_along(server: ApiServer, admin: Client, operators: Start) -> None:
    server.start_garbage_collector()
    try:
        operators()
        admin.apply(pipeline())
        up_to_date(admin, Ready="True Ready")
        admin.delete("pipelines", "one")
        wait_for("deletion", lambda: not revisions(admin), 60)
    finally:
        server.stop("kube-controller-manager")


def test_at_the_size_limit(admin: Client, operators: Start) -> None:
    operators()
    stages = [
        {"name": f"s{n}", "sql": {"query": f"SELECT 'x' AS a /* {'y' * 3800} */"}, "output": {"table": f"gold.t{n}"}}
        for n in range(50)
    ]
    admin.apply(pipeline(stages=stages))
    body = up_to_date(admin, Ready="True Ready")
    assert body["status"]["revision"] == 1
    admin.apply(pipeline(stages=[*stages, *({**each, "name": f"{each['name']}b"} for each in stages[:4])]))
    body = up_to_date(admin, Accepted="False TooLarge", Ready="True LastGoodRevision")
    assert "larger than 200 KiB" in condition(body, "Accepted")["message"]


def test_a_broken_one_harms_no_other(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(project(lake={"root": "s3://a"}))
    for number in range(5):
        admin.apply(pipeline(f"p{number}", f"gold.t{number}", "SELEC" if number % 2 else "SELECT 1 AS a"))
    for number in range(5):
        up_to_date(admin, f"p{number}", Ready="False InvalidSpec" if number % 2 else "True Ready")
