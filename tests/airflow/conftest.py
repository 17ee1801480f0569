"""Airflow's own home in a temporary folder, and pipelines as DagConfigs and as running tasks."""

import datetime as dt
import importlib
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

# Before Airflow is imported: it writes its configuration where this points.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="adutora-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault(
    "ADUTORA_IMAGES",
    '{"default": "registry.test/stages:1", "python": "registry.test/python:1", "spark": "registry.test/spark:1"}',
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Airflow's own
    for _module in (
        "adutora_airflow.bundle", "adutora_airflow.operator", "adutora_airflow.factory", "adutora_airflow.trigger",
        "airflow.serialization.serialized_objects", "airflow.providers.standard.operators.empty",
    ):  # fmt: skip
        importlib.import_module(_module)

from adutora.compile import compile_pipeline
from adutora.dagconfig import DagConfig
from adutora.runtime.task import RunInfo
from adutora.spec.pipeline import Pipeline
from adutora.spec.project import EMBEDDED, Project
from adutora_airflow.task import StageRun

Compile = Callable[..., DagConfig]
AT = dt.datetime(2026, 5, 10, 12, 30, tzinfo=dt.UTC)


def pipeline(*stages: dict[str, Any], name: str = "shop", namespace: str = "team", **spec: Any) -> dict[str, Any]:
    """A Pipeline as users write it."""
    return {
        "apiVersion": "adutora.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**spec, "stages": list(stages)},
    }


def compiled(body: dict[str, Any], **project: Any) -> DagConfig:
    """Its DagConfig, with a Project of the given spec."""
    data = {"apiVersion": "adutora.dev/v1alpha1", "kind": "Project", "metadata": {"name": "default"}, "spec": project}
    return compile_pipeline(Pipeline.model_validate(body), Project.model_validate(data) if project else EMBEDDED)


def sql(name: str, **more: Any) -> dict[str, Any]:
    """A sql stage."""
    return {"name": name, "sql": {"query": "SELECT 1 AS a"}, **more}


def stage_run(config: DagConfig, stage: str, **more: Any) -> StageRun:
    """A stage in a run."""
    info = RunInfo("manual__1", "2026-05-10", None, None, None, AT.isoformat())
    given: dict[str, Any] = {"params": {}, "given_params": (), "attempt": 1, **more}
    return StageRun(config=config, stage=config.stage(stage), run=info, **given)


class Ti(SimpleNamespace):
    """What a task asks of its task instance."""

    def xcom_pull(self, task_ids: str, map_indexes: int | None = None, key: str = "return_value") -> Any:
        return self.xcoms.get(task_ids) if key == "return_value" else self.errors.get(task_ids)

    def xcom_push(self, key: str, value: Any) -> None:
        assert key == "error"
        self.errors[self.task.task_id] = value

    def get_task_states(self, dag_id: str, task_ids: list[str] | None, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {run_ids[0]: {key: self.states[key] for key in self.states}}


def context_of(dag: Any, task_id: str, **more: Any) -> dict[str, Any]:
    """Airflow's context of a task, of a run by hand."""
    given = {"conf": {}, "run_type": "manual", "logical_date": None, "xcoms": {}, "states": {}, "errors": {},
             "try_number": 1, **more}  # fmt: skip
    ti = Ti(
        try_number=given["try_number"], map_index=given.get("map_index", -1), task=dag.get_task(task_id),
        xcoms=given["xcoms"], states=given["states"], errors=given["errors"],
        log_url=f"https://airflow/dags/{dag.dag_id}/runs/manual__1/tasks/{task_id}",
    )  # fmt: skip
    run = SimpleNamespace(
        run_id="manual__1", run_type=given["run_type"], logical_date=given["logical_date"], start_date=AT,
        run_after=AT, conf=given["conf"],
    )  # fmt: skip
    params = {name: param.value for name, param in dag.params.items()} | given["conf"]
    events: dict[Any, Any] = {each: SimpleNamespace(extra={}) for each in ti.task.outlets or []}
    return {"dag": dag, "ti": ti, "dag_run": run, "run_id": "manual__1", "params": params, "outlet_events": events}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the side-car fills."""
    monkeypatch.setenv("ADUTORA_BUNDLE_ROOT", str(tmp_path / "bundle"))
    return tmp_path / "bundle"
