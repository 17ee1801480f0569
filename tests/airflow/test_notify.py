"""Notifications on Airflow's side: who is told, in which pod, and that a run's state never depends on it."""

# ruff: noqa: F811 - fixtures of the API server are arguments here
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import TriggerRule
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from adutora_airflow.factory import make_dag
from adutora_airflow.notify import notice_of, tell_of_deadline
from tests.airflow.conftest import compiled, context_of, pipeline, sql
from tests.airflow.test_dev import over, serving
from tests.airflow.test_operator import Node, Start, node, start  # noqa: F401 - fixtures
from tests.apiserver.conftest import server  # noqa: F401 - a fixture
from tests.apiserver.server import wait_for

pytestmark = pytest.mark.integration

HOOK = {"name": "hook", "webhook": {}, "secretRef": {"name": "hook-secret"}}
LAKE = {"root": "s3://a/lake", "connection": "lake"}
LAKE_KEYS = {"name": "lake", "s3": {"bucket": "a"}, "secretRef": {"name": "lake-keys"}}
DB = {"name": "online", "redis": {}, "secretRef": {"name": "redis-password"}}


def dag_of(*stages: dict[str, Any], events: tuple[str, ...] = ("failure",), **spec: Any) -> Any:
    notify = [{"events": list(events), "connection": "hook"}]
    return make_dag(compiled(pipeline(*stages, **spec), notify=notify, lake=LAKE, connections=[HOOK, LAKE_KEYS, DB]))


def test_it_comes_after_all_and_decides_nothing() -> None:
    dag = dag_of(sql("a"), sql("b", dependsOn=["a"]), sql("c", runIf="always", dependsOn=["b"]))
    task = dag.get_task("_notify")
    assert task.upstream_task_ids == {"a", "b", "c", "_result"}
    assert (task.is_teardown, task.on_failure_fail_dagrun) == (True, False)
    assert task.trigger_rule == TriggerRule.ALL_DONE_SETUP_SUCCESS
    assert task.retries == 0
    assert not make_dag(compiled(pipeline(sql("a")))).has_task("_notify")


def test_a_deadline_is_told_by_a_callback() -> None:
    assert dag_of(sql("a"), events=("deadline",)).has_on_failure_callback
    assert dag_of(sql("a"), events=("failure",)).has_on_failure_callback
    assert not dag_of(sql("a"), events=("success",)).has_on_failure_callback


def test_what_is_told() -> None:
    dag = dag_of(sql("a"), sql("b"), sql("c", dependsOn=["a"], forEach={"values": [1, 2]}))
    states = {"a": "failed", "b": "success", "c_0": "success", "c_1": "failed"}
    errors = {"a": "no rows", "c": [None, "item is odd"]}
    notice = notice_of(context_of(dag, "_notify", states=states, errors=errors))
    assert (notice.state, notice.pipeline, notice.run, notice.date) == (
        "failure",
        "team.shop",
        "manual__1",
        "2026-05-10",
    )
    assert [(each.stage, each.error) for each in notice.failed] == [("a", "no rows"), ("c", "item is odd")]
    assert notice.url == "https://airflow/dags/team.shop/runs/manual__1"
    assert notice_of(context_of(dag, "_notify", states={"a": "success", "b": "skipped"})).state == "success"
    assert notice_of(context_of(dag, "_notify", states={"a": "upstream_failed"})).state == "failure"


def test_where_nobody_asked_no_pod_starts() -> None:
    dag = dag_of(sql("a"))
    with pytest.raises(AirflowSkipException, match="nobody is told of a success"):
        dag.get_task("_notify").execute(context_of(dag, "_notify", states={"a": "success"}))


@pytest.fixture
def told(start: Start, node: Node) -> Any:
    from tests.airflow.test_operator import Task

    def begin(stage: dict[str, Any], **more: Any) -> Task:
        dag = dag_of(stage)
        return Task(dag.get_task("_notify"), context_of(dag, "_notify", **more))

    return begin


@pytest.mark.integration
def test_a_pod_tells_with_the_secrets_of_its_routes_alone(told: Any, node: Node) -> None:
    jinja = "{{ 7 * 7 }} $(ADUTORA_SECRETS_DIR) $HOME"
    task = told(sql("notify", output={"table": "a.b"}), states={"notify": "failed"}, errors={"notify": jinja})
    pod = node.next()
    container = pod["spec"]["containers"][0]
    assert container["command"][-3:] == ["-m", "adutora.runtime.pod", "notify"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert "$" not in env["ADUTORA_NOTICE"].replace("$$", "")
    notice = json.loads(env["ADUTORA_NOTICE"].replace("$$", "$"))
    assert notice["failed"] == [{"stage": "notify", "error": jinja}]
    secrets = {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}
    assert secrets == {"hook-secret", "lake-keys"}
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "adutora.dev/task" in pod["metadata"]["labels"]
    node.end(pod)
    assert task.join().error is None
    assert node.pods() == []


@pytest.mark.integration
def test_a_pod_that_could_not_tell_fails_the_task_alone(told: Any, node: Node) -> None:
    task = told(sql("a"), states={"a": "failed"})
    node.end(node.next(), 75, error="hook was not told of the failure: connection hook answers 503")
    assert isinstance(task.join().error, AirflowException)
    assert "connection hook answers 503" in str(task.error)


@pytest.mark.integration
def test_a_run_that_took_too_long_is_told_by_the_callback(start: Start, node: Node) -> None:
    dag = dag_of(sql("a"), events=("deadline",))
    context = {**context_of(dag, "_notify"), "reason": "timed_out"}
    thread = threading.Thread(target=tell_of_deadline, args=(context,))
    thread.start()
    pod = node.next()
    env = {each["name"]: each.get("value") for each in pod["spec"]["containers"][0]["env"]}
    assert json.loads(env["ADUTORA_NOTICE"])["state"] == "deadline"
    node.end(pod)
    thread.join(30)
    assert not thread.is_alive()
    assert node.pods() == []
    tell_of_deadline({**context, "reason": "task_failure"})
    assert node.pods() == []


@pytest.mark.integration
def test_a_stage_leaves_why_it_failed_where_somebody_is_told(start: Start, node: Node) -> None:
    from tests.airflow.test_operator import Task

    dag = dag_of(sql("a"))
    failing = Task(dag.get_task("a"), context_of(dag, "a"))
    node.end(node.next(), 65, error="too few rows", hint="more of them")
    assert isinstance(failing.join().error, AirflowFailException)
    assert failing.context["ti"].errors == {"a": "too few rows (more of them)"}
    unknown = Task(dag.get_task("a"), context_of(dag, "a", conf={"x": 1})).join()
    assert unknown.context["ti"].errors == {"a": "there is no parameter 'x'"}


@pytest.fixture
def hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{started.server_port}/", bodies
        started.shutdown()


SHOP = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  params: [{name: bad, type: boolean, default: false}]
  defaults: {retries: 0}
  stages:
    - {name: each, forEach: {values: [0, 1, 2, 3], maxParallel: 1}, python: {function: "odd:run", args: {n: $(item), bad: $(params.bad)}}}
    - {name: after, dependsOn: [each], sql: {query: SELECT 1 AS a}, output: {table: gold.a}}
"""
SLOW = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: slow}
spec:
  timeout: 3s
  stages: [{name: s, python: {function: "odd:sleep"}, output: {table: gold.b}}]
"""
PROJECT = """
apiVersion: adutora.dev/v1alpha1
kind: Project
metadata: {name: default}
spec:
  connections:
    - {name: hook, webhook: {}, secretRef: {name: hook}}
    - {name: away, webhook: {}, secretRef: {name: away}}
  notify:
    - {events: [failure, recovery, deadline], connection: hook}
    - {events: [success], connection: away}
"""
ODD = """
import time

def run(inputs, n, bad):
    if bad and n == 1:
        raise ValueError("item is odd")
    return None

def sleep(inputs):
    time.sleep(60)
    return []
"""


@pytest.mark.slow
@pytest.mark.integration
def test_a_real_airflow_tells_and_its_runs_end_as_without(tmp_path: Path, hook: Any) -> None:
    url, bodies = hook
    for name, text in (("shop.yaml", SHOP), ("slow.yaml", SLOW), ("adutora.yaml", PROJECT), ("odd.py", ODD)):
        (tmp_path / name).write_text(text)
    for name, secret in (("hook", url), ("away", "http://127.0.0.1:1/")):
        path = tmp_path / ".adutora" / "secrets" / name / "url"
        path.parent.mkdir(parents=True)
        path.write_text(secret)
    with serving(tmp_path, tmp_path / "shop.yaml", tmp_path / "slow.yaml") as address:
        http = httpx.Client(base_url=address, timeout=60)
        http.headers["Authorization"] = f"Bearer {http.get('/auth/token').json()['access_token']}"

        def run(name: str, **conf: Any) -> tuple[str, dict[str, str]]:
            dag = f"/api/v2/dags/default.{name}"
            wait_for("the DAG", lambda: http.get(dag).status_code == 200, 120)
            answer = http.post(f"{dag}/dagRuns", json={"logical_date": None, "conf": conf}).json()
            path = f"{dag}/dagRuns/{answer['dag_run_id']}"
            state = wait_for("its end", lambda: over(http.get(path).json()), 300)["state"]
            tasks = http.get(f"{path}/taskInstances").json()["task_instances"]
            key = lambda each: each["task_id"] + (f"_{each['map_index']}" if each["map_index"] >= 0 else "")  # noqa: E731
            return state, {key(each): each["state"] for each in tasks}

        state, tasks = run("shop", bad=True)
        assert state == "failed"
        assert tasks == {
            "each_0": "success", "each_1": "failed", "each_2": "skipped", "each_3": "skipped",
            "after": "upstream_failed", "_notify": "success",
        }  # fmt: skip
        assert [(body["event"], body["pipeline"]) for body in bodies] == [("failure", "default.shop")]
        (failed,) = bodies[0]["failed"]
        assert failed["stage"] == "each"
        assert "item is odd" in failed["error"]
        # The success goes to a hook that does not answer: the recovery is told, and the run has succeeded all the same.
        state, tasks = run("shop")
        assert (state, tasks["_notify"], tasks["after"]) == ("success", "failed", "success")
        assert [body["event"] for body in bodies] == ["failure", "recovery"]
        state, tasks = run("slow")
        assert (state, tasks["_notify"]) == ("failed", "skipped")
        wait_for("the deadline", lambda: len(bodies) == 3, 60)
        assert (bodies[2]["event"], bodies[2]["pipeline"]) == ("deadline", "default.slow")
        http.close()
