"""The `files` trigger: a run goes on only where something is new."""

# ruff: noqa: F811 - fixtures of the API server are arguments here
import datetime as dt
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from adutora_airflow.factory import make_dag
from tests.airflow.conftest import compiled, context_of, pipeline, sql
from tests.airflow.test_dev import over, serving
from tests.airflow.test_operator import Node, Start, Task, node, start  # noqa: F401 - fixtures
from tests.apiserver.conftest import server  # noqa: F401 - a fixture
from tests.apiserver.server import wait_for

pytestmark = pytest.mark.integration

LAND = {
    "name": "land",
    "ingest": {"files": {"path": "in/*.csv", "read": "new"}},
    "output": {"table": "bronze.a", "mode": "append"},
}
WATCH = {"files": {"stage": "land", "listEvery": "15m"}}
CLEAN_UP = sql("tidy", runIf="always", dependsOn=["land"])


def dag_of(*triggers: dict[str, Any]) -> Any:
    return make_dag(compiled(pipeline(LAND, CLEAN_UP, triggers=list(triggers))))


def context(dag: Any, **more: Any) -> dict[str, Any]:
    at = dt.datetime(2026, 5, 10, 12, 7, tzinfo=dt.UTC)
    return context_of(dag, "_files", **{"run_type": "scheduled", "logical_date": at, **more})


def test_it_comes_before_all() -> None:
    dag = dag_of(WATCH)
    assert dag.get_task("_files").downstream_task_ids == {"land"}
    assert dag.get_task("_files").stages == ["land"]
    assert not dag_of({"cron": "@daily"}).has_task("_files")
    both = dag_of(WATCH, {"assets": {"any": ["x.y"]}, "minInterval": "1h"})
    assert both.get_task("_files").downstream_task_ids == {"_wait"}


@pytest.mark.parametrize(
    ("run_type", "time"),
    [("manual", "12:07"), ("asset_triggered", "12:07"), ("backfill", "12:07"), ("scheduled", "12:00")],
)
def test_a_run_that_no_listing_started_goes_on(run_type: str, time: str) -> None:
    at = dt.datetime.fromisoformat(f"2026-05-10T{time}:00+00:00")
    dag = dag_of(WATCH, {"cron": "0 12 * * *"})
    assert dag.get_task("_files").execute(context(dag, run_type=run_type, logical_date=at)) is None


@pytest.mark.integration
def test_without_anything_new_nothing_else_is_done(start: Start, node: Node) -> None:
    dag = dag_of(WATCH)
    task = Task(dag.get_task("_files"), context(dag))
    pod = node.next()
    container = pod["spec"]["containers"][0]
    assert container["command"][-1] == "files"
    told = json.loads({each["name"]: each.get("value") for each in container["env"]}["ADUTORA_TASK"].replace("$$", "$"))
    assert (told["stage"], told["item_index"]) == ("land", None)
    node.end(pod, outputs={"new": 0}, message="nothing is new")
    error = task.join().error
    assert isinstance(error, DownstreamTasksSkipped)
    assert set(error.tasks) == {"land", "tidy", "_result"}  # the clean-up too, which runs whatever became of others
    stage = Task(dag.get_task("land"), context_of(dag, "land"))
    own = node.next()
    assert own["metadata"]["labels"]["adutora.dev/task"] != pod["metadata"]["labels"]["adutora.dev/task"]
    node.end(own)
    assert stage.join().error is None


@pytest.mark.integration
@pytest.mark.parametrize("outputs", [{"new": 3}, {"new": None}, {}])
def test_with_something_new_or_unknown_the_run_goes_on(outputs: Any, start: Start, node: Node) -> None:
    dag = dag_of(WATCH)
    task = Task(dag.get_task("_files"), context(dag))
    node.end(node.next(), outputs=outputs)
    assert task.join().error is None


@pytest.mark.integration
def test_a_source_that_cannot_be_read_fails_the_run(start: Start, node: Node) -> None:
    dag = dag_of(WATCH)
    task = Task(dag.get_task("_files"), context(dag))
    node.end(node.next(), 78, error="there is no bucket a")
    assert isinstance(task.join().error, AirflowFailException)


WATCHING = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: watching}
spec:
  triggers: [{files: {stage: land, listEvery: 1m}}]
  stages:
    - {name: land, ingest: {files: {path: "in/*.csv", read: new}}, output: {table: bronze.a, mode: append}}
    - {name: gold, input: {table: bronze.a}, sql: {query: SELECT count(*) AS n FROM bronze.a}, output: {table: gold.n}}
"""


@pytest.mark.slow
@pytest.mark.integration
def test_a_real_airflow_loads_each_file_once_and_rests(tmp_path: Path) -> None:
    (tmp_path / "watching.yaml").write_text(WATCHING)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("x\n1\n")
    with serving(tmp_path, tmp_path / "watching.yaml") as address:
        http = httpx.Client(base_url=address, timeout=60)
        http.headers["Authorization"] = f"Bearer {http.get('/auth/token').json()['access_token']}"
        path = "/api/v2/dags/default.watching/dagRuns"

        def run(number: int) -> dict[str, str]:
            runs = lambda: http.get(path, params={"order_by": "run_after"}).json().get("dag_runs", [])  # noqa: E731
            wait_for("the run", lambda: len(runs()) > number and over(runs()[number]), 240)
            found = runs()[number]
            assert found["state"] == "success"
            tasks = http.get(f"{path}/{found['dag_run_id']}/taskInstances").json()["task_instances"]
            return {each["task_id"]: each["state"] for each in tasks}

        assert run(0) == {"_files": "success", "land": "success", "gold": "success"}
        assert run(1) == {"_files": "success", "land": "skipped", "gold": "skipped"}
        http.close()
