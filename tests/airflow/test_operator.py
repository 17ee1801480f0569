"""The stage operator against a real API server; the tests play the kubelet and say how pods end."""

# ruff: noqa: F811 - fixtures of the API server are arguments here
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred

from adutora_airflow.factory import make_dag
from adutora_airflow.operator import StageOperator
from adutora_airflow.pod import Again, manifest, task_key
from tests.airflow.conftest import compiled, context_of, pipeline, sql, stage_run
from tests.apiserver.conftest import server  # noqa: F401 - a fixture
from tests.apiserver.server import ApiServer, Client, token, wait_for

pytestmark = pytest.mark.integration
PODS = "/api/v1/namespaces/team/pods"


class Node:
    """Plays the kubelet of one node."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.seen: list[dict[str, Any]] = []

    def pods(self) -> list[dict[str, Any]]:
        return list(self.client.call("GET", PODS)[1]["items"])

    def next(self) -> dict[str, Any]:
        """Wait for a pod that was not seen yet."""
        names = [pod["metadata"]["name"] for pod in self.seen]
        new = lambda: [pod for pod in self.pods() if pod["metadata"]["name"] not in names]  # noqa: E731
        self.seen.append(wait_for("a pod", new, 20)[0])
        return self.seen[-1]

    def status(self, pod: dict[str, Any], phase: str, state: dict[str, Any] | None = None, **more: Any) -> None:
        containers = [] if state is None else [
            {"name": "stage", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        ]  # fmt: skip
        body = {"status": {"phase": phase, "containerStatuses": containers, **more}}
        path = f"{PODS}/{pod['metadata']['name']}/status"
        code, answer = self.client.call("PATCH", path, body, "application/merge-patch+json")
        assert code == 200, answer

    def end(self, pod: dict[str, Any], code: int = 0, reason: str = "Error", **told: Any) -> None:
        self.status(pod, "Running", {"running": {}})
        message = json.dumps({"exitCode": code, **told}) if told or code == 0 else None
        state = {"terminated": {"exitCode": code, "reason": reason, "message": message}}
        self.status(pod, "Failed" if code else "Succeeded", state)


class Task:
    """A stage's operator at work in a thread."""

    def __init__(self, operator: Any, context: dict[str, Any], call: str = "execute", **given: Any) -> None:
        self.operator, self.context = operator, context
        self.result: Any = None
        self.error: BaseException | None = None
        self._call = lambda: getattr(operator, call)(context, **given)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error

    def join(self) -> "Task":
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self


Start = Callable[..., Task]


@pytest.fixture
def node(server: ApiServer) -> Iterator[Node]:
    client = server.client()
    account = {"metadata": {"name": "adutora-stage"}}
    client.call("POST", "/api/v1/namespaces/team/serviceaccounts", account)
    yield Node(client)
    client.call("DELETE", PODS + "?gracePeriodSeconds=0")
    client.close()


@pytest.fixture
def start(server: ApiServer, node: Node, monkeypatch: pytest.MonkeyPatch) -> Start:
    # The client reads KUBECONFIG when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig("admin")))
    monkeypatch.setattr(
        "kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(server.kubeconfig("admin"))
    )
    monkeypatch.setattr("adutora_airflow.attend.DRAIN", 0.2)

    def begin(stage: dict[str, Any], *others: dict[str, Any], **more: Any) -> Task:
        dag = make_dag(compiled(pipeline(*others, stage)))
        operator = dag.get_task(stage["name"])
        call, given = more.pop("call", "execute"), more.pop("given", {})
        return Task(operator, context_of(dag, stage["name"], **more), call, **given)

    return begin


STAGE = sql("a", output={"table": "gold.x"}, resources={"memory": "1Gi", "maxMemory": "2Gi"})


def test_done(start: Start, node: Node) -> None:
    task = start(STAGE)
    pod = node.next()
    assert pod["metadata"]["labels"]["adutora.dev/task"] == task_key("team.shop", "manual__1", "a", None)
    node.end(pod, outputs={"n": 1}, tables=[{"name": "gold.x", "version": 7, "changed": True}])
    assert task.join().result == {"n": 1}
    assert task.error is None
    (outlet,) = task.context["ti"].task.outlets
    assert task.context["outlet_events"][outlet].extra["version"] == 7
    assert node.pods() == []


def test_a_table_without_a_changed_row_is_no_event(start: Start, node: Node) -> None:
    task = start(STAGE)
    node.end(node.next(), tables=[{"name": "gold.x", "version": 7, "changed": False}])
    assert task.join().error is None
    assert task.context["ti"].task.outlets == []


@pytest.mark.parametrize(
    ("code", "error"),
    [(65, AirflowFailException), (78, AirflowFailException), (75, AirflowException), (70, AirflowException)],
)
def test_failed(code: int, error: type, start: Start, node: Node) -> None:
    task = start(STAGE)
    node.end(node.next(), code, error="too few rows", hint="more of them")
    assert type(task.join().error) is error
    assert str(task.error) == "too few rows (more of them)"
    assert node.pods() == []


def test_out_of_memory_and_eviction_make_another_pod_in_the_same_try(start: Start, node: Node) -> None:
    task = start(STAGE)
    node.end(node.next(), 137, "OOMKilled")
    second = node.next()
    assert second["spec"]["containers"][0]["resources"]["limits"]["memory"] == str(2 << 30)
    node.status(second, "Failed", reason="Evicted", message="The node was low on resource: memory.")
    third = node.next()
    assert third["spec"]["containers"][0]["resources"]["limits"]["memory"] == str(2 << 30)
    node.client.call("DELETE", f"{PODS}/{third['metadata']['name']}?gracePeriodSeconds=0")
    node.end(node.next())
    assert task.join().error is None


def test_a_later_try_goes_on_with_the_pod_of_a_dead_one(start: Start, node: Node) -> None:
    pod = manifest(stage_run(compiled(pipeline(STAGE)), "a"), Again())  # of a worker that has died
    assert node.client.call("POST", PODS, pod)[0] == 201
    node.status(pod, "Running", {"running": {}})
    second = start(STAGE, try_number=2)
    time.sleep(1)
    assert len(node.pods()) == 1
    node.end(pod, outputs={"n": 2})
    assert second.join().result == {"n": 2}


def test_a_pod_that_failed_or_is_of_another_revision_gives_way(start: Start, node: Node) -> None:
    old = manifest(stage_run(compiled(pipeline(STAGE)), "a"), Again())
    assert node.client.call("POST", PODS, old)[0] == 201
    node.seen.append(old)
    other = start({**STAGE, "sql": {"query": "SELECT 2 AS a"}}, try_number=2)
    new = node.next()
    assert [pod["metadata"]["name"] for pod in node.pods()] == [new["metadata"]["name"]]
    assert old["metadata"]["name"] != new["metadata"]["name"]
    node.end(new)
    assert other.join().error is None


def test_killed(start: Start, node: Node) -> None:
    task = start(STAGE)
    node.status(node.next(), "Running", {"running": {}})
    time.sleep(0.5)
    task.operator.on_kill()
    wait_for("no pod", lambda: not [pod for pod in node.pods() if not pod["metadata"].get("deletionTimestamp")])
    for pod in node.pods():
        node.client.call("DELETE", f"{PODS}/{pod['metadata']['name']}?gracePeriodSeconds=0")
    with contextlib.suppress(AssertionError):
        node.end(node.next())


def test_a_long_wait_goes_to_the_triggerer(start: Start, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADUTORA_DEFER_AFTER", "1")
    task = start(STAGE)
    pod = node.next()
    node.status(pod, "Running", {"running": {}})
    deferred = task.join().error
    assert isinstance(deferred, TaskDeferred)
    assert deferred.method_name == "resume"
    _, arguments = deferred.trigger.serialize()
    assert arguments == {"namespace": "team", "name": pod["metadata"]["name"], "since": ""}
    node.end(pod, 75, error="no answer")
    resumed = start(STAGE, call="resume", given={**(deferred.kwargs or {}), "event": {}}).join()
    assert str(resumed.error) == "no answer"
    assert node.pods() == []


def test_the_trigger_fires_at_the_end(start: Start, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setenv("ADUTORA_DEFER_AFTER", "1")
    task = start(STAGE)
    pod = node.next()
    node.status(pod, "Running", {"running": {}})
    deferred = task.join().error
    assert isinstance(deferred, TaskDeferred)
    monkeypatch.setattr("adutora_airflow.trigger.DRAIN", 0.2)

    async def wait() -> Any:
        events = deferred.trigger.run()
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(1)
        assert not waiting.done()
        await asyncio.to_thread(node.end, pod)
        event = await asyncio.wait_for(waiting, 20)
        await events.aclose()
        return event

    assert asyncio.run(wait()).payload == {"name": pod["metadata"]["name"]}


def test_a_killed_trigger_takes_the_pod_with_it(start: Start, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setenv("ADUTORA_DEFER_AFTER", "1")
    task = start(STAGE)
    node.status(node.next(), "Running", {"running": {}})
    deferred = task.join().error
    assert isinstance(deferred, TaskDeferred)
    assert len(node.pods()) == 1
    for _ in range(2):  # the second time it has gone
        asyncio.run(asyncio.wait_for(deferred.trigger.on_kill(), 20))
        assert node.pods() == []


def test_the_trigger_knows_that_it_runs_in_the_cluster(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import asyncio

    from adutora_airflow.trigger import PodTrigger

    account = tmp_path / "token"
    account.write_text(token("admin"))
    inside = "kubernetes_asyncio.config.incluster_config"
    monkeypatch.setattr(f"{inside}.SERVICE_TOKEN_FILENAME", str(account))
    monkeypatch.setattr(f"{inside}.SERVICE_CERT_FILENAME", str(server.ca))
    monkeypatch.setattr("kubernetes_asyncio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    host, _, port = server.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)

    async def gone() -> Any:
        events = PodTrigger("team", "no-such-pod").run()
        event = await asyncio.wait_for(anext(events), 20)
        await events.aclose()
        return event

    assert asyncio.run(gone()).payload == {"name": "no-such-pod"}


def test_a_missing_image_is_told(start: Start, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adutora_airflow.ending.SURE", 1.0)
    task = start(STAGE)
    pod = node.next()
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown"}}
    node.status(pod, "Pending", waiting)
    time.sleep(1.2)
    node.status(pod, "Pending", waiting, message="again")
    assert isinstance(task.join().error, AirflowFailException)
    assert "image i cannot be pulled: manifest unknown" in str(task.error)


def test_when_and_run_if(start: Start, node: Node) -> None:
    assert isinstance(start(sql("a", when=False)).join().error, AirflowSkipException)
    clean_up = sql("b", dependsOn=["a"], runIf="failed")
    skipped = start(clean_up, sql("a"), states={"a": "success"}).join()
    assert str(skipped.error) == "nothing that it depends on has failed"
    runs = start(clean_up, sql("a"), states={"a": "failed"})
    node.end(node.next())
    assert runs.join().error is None


def test_unknown_parameters_are_refused(start: Start) -> None:
    error = start(STAGE, conf={"inptu": 1}).join().error
    assert isinstance(error, AirflowFailException)
    assert "there is no parameter 'inptu'" in str(error)


def test_outputs_reach_the_next_stage(start: Start, node: Node) -> None:
    reader = {"name": "b", "container": {"image": "x", "env": [{"name": "N", "value": "n=$(stages.a.outputs.n)"}]}}
    task = start(reader, sql("a"), xcoms={"a": {"n": 5}})
    pod = node.next()
    assert pod["spec"]["containers"][0]["env"] == [{"name": "N", "value": "n=5"}]
    node.end(pod)
    assert task.join().error is None


def test_after_a_failed_item_no_further_one_is_started(start: Start, node: Node) -> None:
    fan = sql("a", forEach={"values": [1, 2, 3]})
    dag = make_dag(compiled(pipeline(fan)))

    def item(index: int, states: dict[str, str], **more: Any) -> Task:
        context = context_of(dag, "a", map_index=index, states=states, **more)
        operator = StageOperator(task_id="a", item={"value": index})
        return Task(operator, context)

    skipped = item(2, {"a_0": "success", "a_1": "failed", "a_2": "running"}).join()
    assert isinstance(skipped.error, AirflowSkipException)
    assert str(skipped.error) == "item 1 has failed, so no further one is started"
    assert node.pods() == []
    # One that is tried again goes on, and so does one whose neighbour may still do well.
    for states, attempt in (({"a_1": "failed"}, 2), ({"a_1": "up_for_retry", "a_0": "upstream_failed"}, 1)):
        runs = item(2, states, try_number=attempt)
        node.end(node.next())
        assert runs.join().error is None
