"""DagConfig -> DAG: what Airflow sees of a pipeline."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from airflow.serialization.serialized_objects import DagSerialization

from adutora.compile import compile_pipeline
from adutora.validate import validate_files
from adutora_airflow.factory import make_dag
from adutora_airflow.operator import StageOperator
from tests.airflow.conftest import compiled, pipeline, sql

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/pipeline.yaml"))


def serialized(dag: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(DagSerialization.to_dict(dag)))["dag"]
    return data


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_each_example_is_a_dag(path: Path) -> None:
    for loaded in validate_files([path]).pipelines:
        config = compile_pipeline(loaded.pipeline, loaded.project)
        dag = make_dag(config, 3)
        assert {stage.name for stage in config.stages} <= set(dag.task_ids)
        for stage in config.stages:
            task = dag.get_task(stage.name)
            items = f"{stage.name}_items"
            judge = dag.get_task(items) if items in task.upstream_task_ids else task
            assert judge.upstream_task_ids == set(stage.depends_on)
            assert task.retries == stage.retries
        assert dag.tags == {"adutora", *config.tags}
        assert serialized(dag)["dag_id"] == config.dag_id


def test_what_a_run_is_bound_by() -> None:
    dag = make_dag(compiled(pipeline(sql("a", retries=4, retryDelay="7s"), concurrency=3, timeout="2h", owner="ann")))
    assert (dag.max_active_runs, dag.dagrun_timeout, dag.owner) == (3, dt.timedelta(hours=2), "ann")
    assert dag.is_paused_upon_creation is False
    task = dag.get_task("a")
    assert (task.retries, task.retry_delay) == (4, dt.timedelta(seconds=7))
    assert task.retry_exponential_backoff
    assert task.max_retry_delay == dt.timedelta(seconds=600)
    assert make_dag(compiled(pipeline(sql("a"), suspend=True))).is_paused_upon_creation is True


def test_another_revision_is_another_dag_version() -> None:
    one, two = (make_dag(compiled(pipeline({"name": "a", "sql": {"query": q}})), 1) for q in ("SELECT 1", "SELECT 2"))
    assert serialized(one)["doc_md"] != serialized(two)["doc_md"]


HOSTILE = "{{ 1/0 }}{% raise %}${HOME} $(x) .md"


def test_text_of_users_is_data() -> None:
    config = compiled(
        pipeline(
            {"name": "a", "description": HOSTILE, "sql": {"query": f"SELECT '{HOSTILE.replace('$', '')}'"}},
            {"name": "b", "dependsOn": ["a"], "container": {"image": "x", "command": ["{{ 1/0 }}"], "args": ["{% if %}"],
             "env": [{"name": "A", "value": "{{ 1/0 }}"}]}},
            description="{{ 1/0 }} x.md", owner=HOSTILE, tags=[HOSTILE],
            params=[{"name": "p", "default": HOSTILE, "title": HOSTILE, "description": HOSTILE, "enum": [HOSTILE]}],
        )
    )  # fmt: skip
    dag = make_dag(config)
    assert serialized(dag)
    assert dag.doc_md is not None
    assert not dag.doc_md.endswith(".md")  # Airflow would read a file of that name
    for task in dag.tasks:
        assert tuple(task.template_fields) == ()
        assert not (task.doc_md or "").endswith(".md")
        before = dict(vars(task))
        task.render_template_fields({"dag": dag})
        assert {name: value for name, value in vars(task).items() if before.get(name) is not value} == {}


def test_stages_that_run_after_a_failure_do_not_hide_it() -> None:
    config = compiled(pipeline(sql("a"), sql("tidy", dependsOn=["a"], runIf="always"), sql("ok", dependsOn=["a"])))
    dag = make_dag(config)
    assert dag.get_task("tidy").trigger_rule == "all_done"
    last = dag.get_task("_result")
    assert last.trigger_rule == "none_failed"
    assert last.upstream_task_ids == {"a", "tidy", "ok"}
    assert "_result" not in make_dag(compiled(pipeline(sql("a")))).task_ids


def test_fan_out_over_fixed_values_needs_no_further_task() -> None:
    dag = make_dag(
        compiled(pipeline(sql("a", forEach={"values": ["x", "y"], "maxParallel": 2}), sql("b", dependsOn=["a"])))
    )
    assert dag.task_ids == ["a", "b"]
    mapped = dag.get_task("a")
    assert mapped.max_active_tis_per_dagrun == 2
    assert mapped.expand_input.value == {"item": [{"value": "x"}, {"value": "y"}]}
    assert issubclass(mapped.operator_class, StageOperator)
    assert serialized(dag)


def test_fan_out_over_values_of_the_run() -> None:
    fan = sql("b", forEach={"values": "$(stages.a.outputs.pages)"}, runIf="always")
    dag = make_dag(compiled(pipeline(sql("a"), fan)))
    assert dag.get_task("b_items").upstream_task_ids == {"a"}
    assert dag.get_task("b_items").trigger_rule == "all_done"
    assert dag.get_task("b").upstream_task_ids == {"b_items"}
    assert dag.get_task("b").trigger_rule == "all_success"
    assert serialized(dag)


def test_tables_are_outlets() -> None:
    dag = make_dag(compiled(pipeline(sql("a", output={"table": "gold.x"}))))
    (outlet,) = dag.get_task("a").outlets
    assert (outlet.name, outlet.uri) == ("team.gold.x", "adutora://team/gold.x")
