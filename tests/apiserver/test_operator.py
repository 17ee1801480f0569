"""The operator against a real API server: what users do, and what comes of it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from adutora.dagconfig import DagConfig
from tests.apiserver.objects import condition, pipeline, project, revisions, up_to_date, words
from tests.apiserver.running import OperatorProcess, Proxy, settled
from tests.apiserver.server import Client, wait_for

pytestmark = pytest.mark.integration
Start = Callable[..., OperatorProcess]


def test_a_pipeline_gets_a_revision_and_says_so(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(pipeline())
    body = up_to_date(admin, Accepted="True Valid", Rendered="True Rendered", Ready="True Ready")
    assert words(body)["Parsed"] == "Unknown NotWatched"
    assert body["status"]["revision"] == 1
    written = revisions(admin)[1]
    assert body["status"]["revisions"] == [{"sequence": 1, "hash": written["spec"]["hash"]}]
    assert written["metadata"]["labels"]["adutora.dev/pipeline"] == "one"
    owner = written["metadata"]["ownerReferences"][0]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (body["metadata"]["uid"], True, True)
    assert DagConfig.from_json(json.loads(written["spec"]["config"])).dag_id == "team.one"
    assert "finalizers" not in body["metadata"]
    assert "annotations" not in body["metadata"]


def test_what_is_unchanged_is_not_written(admin: Client, operators: Start, proxy: Proxy) -> None:
    operator = operators(proxy.url, ADUTORA_RESYNC_SECONDS="1")
    for number in range(3):
        admin.apply(pipeline(f"p{number}", f"gold.t{number}"))
        up_to_date(admin, f"p{number}", Ready="True Ready")
    settled(lambda: len(proxy.writes))
    assert len(proxy.writes) == 6, proxy.writes
    admin.apply(pipeline("p0", "gold.t0"))
    admin.patch("pipelines", "p1", {"metadata": {"labels": {"a": "b"}}})
    before = operator.metric("adutora_operator_reconciles_total")
    wait_for("resyncs", lambda: operator.metric("adutora_operator_reconciles_total") > before + 8)
    assert len(proxy.writes) == 6, proxy.writes
    operator.kill()
    operators(proxy.url)
    settled(lambda: len(proxy.writes), 3)
    assert len(proxy.writes) == 6, proxy.writes


def test_a_bad_edit_keeps_what_runs(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(pipeline())
    first = up_to_date(admin, Ready="True Ready")
    admin.apply(pipeline(query="SELEC 1"))
    body = up_to_date(admin, Accepted="False InvalidSpec", Rendered="False Refused", Ready="True LastGoodRevision")
    assert body["status"]["revision"] == 1
    assert condition(body, "Accepted")["message"].startswith("spec.stages[0].sql.query")
    assert "revision 1 runs" in condition(body, "Ready")["message"]
    moved = {kind: condition(body, kind)["lastTransitionTime"] for kind in ("Ready", "Parsed")}
    assert moved == {kind: condition(first, kind)["lastTransitionTime"] for kind in moved}
    assert {each["observedGeneration"] for each in body["status"]["conditions"]} == {2}
    admin.apply(pipeline(query="SELECT 2 AS a"))
    assert up_to_date(admin, Ready="True Ready")["status"]["revision"] == 2


def test_a_pipeline_that_was_never_right_is_not_ready(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(pipeline(query="SELEC 1"))
    body = up_to_date(admin, Accepted="False InvalidSpec", Ready="False InvalidSpec")
    assert "revision" not in body["status"]
    assert revisions(admin) == {}


def test_ten_are_kept_and_the_pinned_one(admin: Client, operators: Start) -> None:
    operators()
    for number in range(1, 4):
        admin.apply(pipeline(query=f"SELECT {number} AS a"))
        up_to_date(admin, Ready="True Ready")
    admin.apply(pipeline(query="SELECT 3 AS a", revision=2))
    assert up_to_date(admin, Ready="True Pinned")["status"]["revision"] == 2
    for number in range(4, 16):
        admin.apply(pipeline(query=f"SELECT {number} AS a", revision=2))
        body = up_to_date(admin, Ready="True Pinned")
    assert body["status"]["revision"] == 2
    wait_for("pruning", lambda: sorted(revisions(admin)) == [2, *range(6, 16)])
    assert [each["sequence"] for each in body["status"]["revisions"]] == [2, *range(6, 16)]
    admin.apply(pipeline(query="SELECT 15 AS a", revision=4))
    body = up_to_date(admin, Ready="True RevisionNotFound")
    assert body["status"]["revision"] == 2
    assert "there is no revision 4" in condition(body, "Ready")["message"]
    admin.apply(pipeline(query="SELECT 15 AS a"))
    assert up_to_date(admin, Ready="True Ready")["status"]["revision"] == 15
    wait_for("pruning", lambda: sorted(revisions(admin)) == [*range(6, 16)])


def test_a_change_of_the_project_reaches_its_pipelines(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(project(lake={"root": "s3://a"}))
    wait_for("the Project", lambda: words(admin.get("projects", "default"))["Ready"] == "True Ready")
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    admin.apply(project(lake={"root": "s3://b"}))
    wait_for("revision 2", lambda: (admin.get("pipelines", "one") or {})["status"]["revision"] == 2)
    assert json.loads(revisions(admin)[2]["spec"]["config"])["lake"]["root"] == "s3://b"
    admin.apply(project(lake={"root": "s3://b"}, defaults={"profile": "none"}))
    body = wait_for(
        "the refusal",
        lambda: (b := admin.get("pipelines", "one")) and words(b)["Accepted"] == "False InvalidProject" and b,
    )
    assert "Project default spec.defaults.profile: there is no profile `none`" in condition(body, "Accepted")["message"]
    assert words(admin.get("projects", "default"))["Ready"] == "False InvalidSpec"
    admin.delete("projects", "default")
    wait_for("revision 3", lambda: (admin.get("pipelines", "one") or {})["status"]["revision"] == 3)


def test_what_a_pod_would_refuse_is_refused(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(project(lake={"root": "lake"}))
    admin.apply(pipeline())
    body = up_to_date(admin, Accepted="False InvalidProject", Ready="False InvalidProject")
    said = "Project default spec.lake.root: is the relative folder 'lake', which a pod does not have"
    assert said in condition(body, "Accepted")["message"]
    assert words(admin.get("projects", "default"))["Ready"] == "False InvalidSpec"
    admin.apply(project(lake={"root": "s3://a"}))
    up_to_date(admin, Ready="True Ready")


def test_of_two_that_write_one_table_the_older_wins(admin: Client, operators: Start) -> None:
    operators()
    admin.apply(pipeline("zoo"))
    older = up_to_date(admin, "zoo", Ready="True Ready")
    wait_for("another second", lambda: _later(older))
    admin.apply(pipeline("ant"))
    body = up_to_date(admin, "ant", Accepted="False TableConflict", Ready="False TableConflict")
    assert "gold.one is written by stage `s` of team.zoo as well" in condition(body, "Accepted")["message"]
    assert words(admin.get("pipelines", "zoo"))["Ready"] == "True Ready"
    admin.delete("pipelines", "zoo")
    up_to_date(admin, "ant", Ready="True Ready")


def _later(body: dict[str, object]) -> bool:
    from datetime import UTC, datetime

    made = body["metadata"]["creationTimestamp"]  # type: ignore[index]
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") > made


def test_a_reader_is_judged_when_its_writer_comes_and_goes(admin: Client, operators: Start) -> None:
    operators()
    reader = pipeline("reader", "gold.reader")
    reader["spec"]["stages"][0]["input"] = {"table": "gold.one"}
    admin.apply(reader)
    up_to_date(admin, "reader", Accepted="False InvalidSpec")
    admin.apply(pipeline())
    up_to_date(admin, "reader", Accepted="True Valid", Ready="True Ready")


def test_probe_and_metrics(admin: Client, operators: Start) -> None:
    operator = operators()
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    assert operator.health() == 200
    assert operator.metric("adutora_operator_writes_total") == 2
    assert operator.metric("adutora_operator_pipelines") == 1
    assert operator.stop() == 0
    assert "Traceback" not in operator.text()


def test_it_ends_soon_when_it_is_told(admin: Client, operators: Start) -> None:
    """Whatever it waits for: a stock that cannot be taken, a client that keeps its connection to the metrics open."""
    lost = operators("http://127.0.0.1:1")
    wait_for("no stock", lambda: "stock is taken again" in lost.text())
    began = time.monotonic()
    assert lost.stop() == 0
    assert time.monotonic() - began < 5
    operator = operators()
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    with httpx.Client(trust_env=False) as prometheus:
        prometheus.get(f"http://127.0.0.1:{operator.metrics_port}/metrics")
        began = time.monotonic()
        assert operator.stop() == 0
        assert time.monotonic() - began < 5
    assert "Traceback" not in operator.text()


def test_an_airflow_that_starts_later_is_told_once(admin: Client, operators: Start, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    operator = operators(
        ADUTORA_AIRFLOW_URL="http://127.0.0.1:1", ADUTORA_AIRFLOW_USER="operator", ADUTORA_POLL_SECONDS="0.1",
        ADUTORA_AIRFLOW_PASSWORD_FILE=str(tmp_path / "password"),
    )  # fmt: skip
    wait_for("polls", lambda: operator.metric("adutora_operator_airflow_polls_total") > 4)
    assert operator.text().count("Airflow is not read") == 1
