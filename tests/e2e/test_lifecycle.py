"""From `kubectl apply` to `kubectl delete`: what a user does to a pipeline, and what becomes of it."""

import time
from typing import Any

import pytest

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql
from tests.e2e.kubectl import wait_for

pytestmark = pytest.mark.cluster
SLOW = "SELECT count(*) AS n FROM range(100000000000) AS a(i) WHERE md5(i::VARCHAR) < '1'"


def revisions(platform: Platform, name: str) -> list[dict[str, Any]]:
    found = platform.kubectl.list("pipelinerevisions", f"adutora.dev/pipeline={name}")
    return sorted(found, key=lambda each: each["spec"]["sequence"])


def task_ids(platform: Platform, name: str) -> set[str]:
    return {each["task_id"] for each in platform.airflow.get(f"/dags/{NAMESPACE}.{name}/tasks")["tasks"]}


@pytest.fixture
def one(platform: Platform, request: pytest.FixtureRequest) -> Any:
    """A pipeline of one stage that goes after the test; returns its name and a function that applies a query."""
    name = f"t-{abs(hash(request.node.name)) % 10_000_000}"

    def apply(*stages: dict[str, Any], **spec: Any) -> str:
        platform.apply(
            pipeline(name, *(stages or (sql("a", "SELECT 1 AS n", f"bronze.{name.replace('-', '_')}"),)), **spec)
        )
        return name

    yield apply
    platform.kubectl.delete("pipeline", name)


def test_an_edit_is_a_new_revision_and_dag_version(platform: Platform, one: Any) -> None:
    name = one()
    platform.ready(name)
    platform.airflow.succeed(f"{NAMESPACE}.{name}")  # Airflow replaces a version that never ran
    table = f"bronze.{name.replace('-', '_')}"
    one(sql("a", "SELECT 1 AS n", table), sql("b", "SELECT 2 AS n", f"{table}_b", dependsOn=["a"]))
    wait_for("stage b", lambda: task_ids(platform, name) == {"a", "b"}, 60)
    platform.ready(name)
    assert [each["spec"]["sequence"] for each in revisions(platform, name)] == [1, 2]
    versions = platform.airflow.get(f"/dags/{NAMESPACE}.{name}/dagVersions")["dag_versions"]
    assert len(versions) == 2


def test_an_unchanged_apply_writes_nothing(platform: Platform, one: Any) -> None:
    name = one()
    platform.ready(name)
    wait_for("Parsed", lambda: (platform.kubectl.condition(name, "Parsed") or {}).get("status") == "True", 60)
    before = platform.kubectl.get("pipeline", name)
    assert "unchanged" in platform.apply(pipeline(name, *before["spec"]["stages"])) if before else False
    time.sleep(8)
    after = platform.kubectl.get("pipeline", name)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]  # type: ignore[index]
    assert len(revisions(platform, name)) == 1


def test_delete_removes_dag_revisions_and_pods(platform: Platform, one: Any) -> None:
    name = one(sql("slow", SLOW, "bronze.never"))
    platform.ready(name)
    platform.airflow.started(f"{NAMESPACE}.{name}")
    wait_for("a pod", lambda: platform.kubectl.list("pods", f"adutora.dev/pipeline={name}") or None, 90)
    platform.kubectl.delete("pipeline", name)
    wait_for("end of revisions", lambda: not revisions(platform, name), 60)
    wait_for("end of pods", lambda: not platform.kubectl.list("pods", f"adutora.dev/pipeline={name}"), 90)

    def gone() -> bool:
        dag = platform.airflow.dag(f"{NAMESPACE}.{name}")
        return dag is None or dag["is_stale"]

    wait_for("end of the DAG", gone, 60)


def test_a_broken_pipeline_says_why_and_its_neighbours_run_on(platform: Platform, one: Any, gone: list[str]) -> None:
    name = one()
    gone.append("beside-a-broken-one")
    platform.apply(pipeline("beside-a-broken-one", sql("a", "SELECT 1 AS n", "bronze.beside_a_broken_one")))
    platform.ready(name)
    platform.ready("beside-a-broken-one")
    one(sql("a", "SELEC 1", f"bronze.{name.replace('-', '_')}"))

    def refused() -> dict[str, Any] | None:
        found = platform.kubectl.condition(name, "Accepted")
        return found if found and found["status"] == "False" else None

    condition = wait_for("Accepted=False", refused, 30)
    assert "spec.stages[0].sql.query" in condition["message"]
    platform.airflow.succeed(f"{NAMESPACE}.beside-a-broken-one")
    # The last good revision runs on.
    platform.airflow.succeed(f"{NAMESPACE}.{name}")
    assert len(revisions(platform, name)) == 1


def test_suspend_and_resume(platform: Platform, one: Any) -> None:
    name = one()
    dag = f"{NAMESPACE}.{name}"
    platform.ready(name)
    wait_for("the DAG", lambda: (platform.airflow.dag(dag) or {}).get("is_paused") is False, 60)
    one(sql("a", "SELECT 1 AS n", f"bronze.{name.replace('-', '_')}"), suspend=True)
    wait_for("the pause", lambda: platform.airflow.dag(dag)["is_paused"] is True, 60)  # type: ignore[index]
    one(sql("a", "SELECT 1 AS n", f"bronze.{name.replace('-', '_')}"), suspend=False)
    wait_for("the end of the pause", lambda: platform.airflow.dag(dag)["is_paused"] is False, 60)  # type: ignore[index]


def test_parameters_by_the_rest_api(platform: Platform, one: Any) -> None:
    name = one(
        sql("a", "SELECT $(params.n) AS n", "bronze.params_test"),
        params=[
            {"name": "n", "type": "integer", "default": 1, "title": "How many"},
            {"name": "day", "type": "date", "default": "2026-01-01"},
        ],
    )
    dag = f"{NAMESPACE}.{name}"
    platform.ready(name)
    platform.airflow.succeed(dag, n=42)
    assert platform.table("bronze.params_test")[1:] == [["42"]]
    wrong = platform.airflow.trigger(dag, n="many")
    assert wrong.status_code == 400, wrong.text
    assert "n" in wrong.text
    assert platform.airflow.trigger(dag, day="tomorrow").status_code == 400
    form = platform.airflow.get(f"/dags/{dag}/details")["params"]
    assert list(form) == ["n", "day"]


def test_jinja_in_every_text_stays_text(platform: Platform, one: Any) -> None:
    jinja = "{{ 7 * 7 }} {% raw %}"
    name = one(
        sql("a", f"SELECT '{jinja}' AS n", "bronze.jinja_test", description=jinja),
        description=jinja,
        owner="{{ 7 * 7 }}",
        params=[{"name": "p", "type": "string", "default": jinja}],
    )
    platform.ready(name)
    platform.airflow.succeed(f"{NAMESPACE}.{name}")
    assert platform.table("bronze.jinja_test")[1:] == [[jinja]]
