"""DagConfig -> DAG. Nothing that a user wrote is run or rendered: it is data of operators without template fields."""

import datetime as dt
import importlib
import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, TriggerRule

from adutora.dagconfig import DagConfig, StageConfig
from adutora.runtime.notices import concerns
from adutora_airflow.params import form_of
from adutora_airflow.schedule import asset, min_interval, schedule_of, start_of

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

LONGEST_DELAY = 600  # seconds between two tries
TAG = "adutora"
CONFIG, OWNER = "adutora", "adutora_owner"  # where a DAG keeps its DagConfig and the uid of its Pipeline
STAGES_ENV = "ADUTORA_STAGES"  # `local`: stages are processes of this machine
# A stage's name has no underscore, so these cannot be one.
PACE, FILES, RESULT, NOTIFY, ITEMS = "_wait", "_files", "_result", "_notify", "{}_items"
_RULES = {
    "succeeded": TriggerRule.ALL_SUCCESS,
    # Airflow's ONE_FAILED does not wait for the others, and counts what was never started.
    "failed": TriggerRule.ALL_DONE,
    "always": TriggerRule.ALL_DONE,
}


def make_dag(config: DagConfig, number: int | None = None, owner: str | None = None) -> DAG:
    """Return the DAG of a pipeline.

    `number` is that of its revision, which its description shows; `owner` the uid of the Pipeline, which owns pods.
    """
    dag = DAG(
        config.dag_id,
        description=_summary(config.description, number),
        doc_md=_documentation(config, number),
        tags=sorted({TAG, *config.tags}),
        params=form_of(config),
        schedule=schedule_of(config),
        start_date=start_of(config),
        catchup=any(trigger.get("catchup") for trigger in config.triggers),
        is_paused_upon_creation=bool(config.suspend),
        max_active_runs=config.concurrency,
        dagrun_timeout=None if config.timeout is None else dt.timedelta(seconds=config.timeout),
        on_failure_callback=_deadline(config),
        default_args={"owner": config.owner or config.namespace},
        user_defined_macros={CONFIG: config, OWNER: owner},
    )
    tasks: dict[str, BaseOperator] = {}
    for stage in config.stages:
        tasks[stage.name] = _task(dag, config, stage, tasks)
    _pace(dag, config, tasks)
    _files(dag, config)
    _result(dag, config, tasks)
    _notify(dag, config)
    return dag


def _task(dag: DAG, config: DagConfig, stage: StageConfig, tasks: "dict[str, Any]") -> "Any":
    operator = _operator()
    options: dict[str, Any] = {
        "task_id": stage.name,
        "dag": dag,
        "doc_md": f"{stage.description}\n" if stage.description else None,
        "trigger_rule": _RULES[stage.run_if],
        "retries": stage.retries,
        "retry_delay": dt.timedelta(seconds=max(1, stage.retry_delay)),
        "retry_exponential_backoff": True,
        "max_retry_delay": dt.timedelta(seconds=LONGEST_DELAY),
        "on_failure_callback": _left_behind(),
        "outlets": [asset(config.namespace, stage.output["table"])] if stage.output else [],
    }
    upstream = [tasks[name] for name in stage.depends_on]
    if stage.for_each is None:
        task = operator(**options)
        task.set_upstream(upstream)
        return task
    items = _items(dag, stage, options, upstream)
    if not isinstance(items, list):  # the task that works out the items has judged already whether the stage runs
        options["trigger_rule"], upstream = TriggerRule.ALL_SUCCESS, []
    mapped = operator.partial(**options, max_active_tis_per_dagrun=stage.for_each["maxParallel"]).expand(item=items)
    mapped.set_upstream(upstream)
    return mapped


def _items(dag: DAG, stage: StageConfig, options: dict[str, Any], upstream: list[Any]) -> Any:
    """Return what a fan-out runs over: its values as they stand, or those that a task of its own works out."""
    from adutora_airflow.items import ItemsOperator, needs_run, wrapped

    values = stage.for_each["values"] if stage.for_each else []
    if stage.when is None and stage.run_if != "failed" and not needs_run(values):
        return wrapped(values)
    own = {"task_id": ITEMS.format(stage.name), "outlets": [], "retries": 0, "on_failure_callback": None}
    task = ItemsOperator(**{**options, **own}, stage=stage.name)
    task.set_upstream(upstream)
    return task.output


def _local() -> bool:
    return os.environ.get(STAGES_ENV) == "local"


def _operator() -> Any:
    """Return the operator that runs stages here."""
    return _own("operator", "Stage")


def _own(module: str, name: str) -> Any:
    """Return an operator of ours: `<name>Operator` of a module, or `Local<name>Operator` where there is no cluster."""
    if _local():
        return getattr(importlib.import_module("adutora_airflow.local"), f"Local{name}Operator")
    return getattr(importlib.import_module(f"adutora_airflow.{module}"), f"{name}Operator")


def _left_behind() -> Any:
    """Return what Airflow calls when a task has failed for good."""
    if _local():
        return None
    from adutora_airflow.cleanup import remove_pods

    return remove_pods


def _watched(config: DagConfig) -> Any:
    """Return a table that starts runs."""
    names = [name for trigger in config.triggers for names in trigger.get("assets", {}).values() for name in names]
    return asset(config.namespace, names[0])


def _pace(dag: DAG, config: DagConfig, tasks: "dict[str, Any]") -> None:
    """Put a wait before all, where changed tables may start runs too soon after one another."""
    seconds = min_interval(config)
    if seconds is not None:
        from adutora_airflow.pace import PaceOperator

        first = PaceOperator(task_id=PACE, dag=dag, seconds=seconds, inlets=[_watched(config)])
        first.set_downstream([task for task in dag.tasks if not task.upstream_task_ids and task is not first])


def _files(dag: DAG, config: DagConfig) -> None:
    """Put a look before all, where runs start whenever a source is to be listed: most find nothing new."""
    stages = sorted({trigger["files"]["stage"] for trigger in config.triggers if "files" in trigger})
    if not stages:
        return
    options: dict[str, Any] = {"retries": 2, "retry_delay": dt.timedelta(seconds=10)}
    first = _own("files", "Files")(task_id=FILES, dag=dag, stages=stages, **options)
    first.set_downstream([task for task in dag.tasks if not task.upstream_task_ids and task is not first])


def _result(dag: DAG, config: DagConfig, tasks: "dict[str, Any]") -> None:
    """Let a run fail if any stage has failed: Airflow goes by the last tasks, and a clean-up would hide the failure."""
    if any(stage.run_if != "succeeded" for stage in config.stages):
        from airflow.providers.standard.operators.empty import EmptyOperator

        last = EmptyOperator(task_id=RESULT, dag=dag, trigger_rule=TriggerRule.NONE_FAILED)
        last.set_upstream(list(tasks.values()))


def _notify(dag: DAG, config: DagConfig) -> None:
    """Put a teardown after all, which tells people how a run ended: it always runs, and the run's state is not its."""
    if not config.notify:
        return
    task = _own("notify", "Notify")(task_id=NOTIFY, dag=dag, retries=0)
    task.set_upstream([each for each in dag.tasks if each is not task])
    task.as_teardown()


def _deadline(config: DagConfig) -> Any:
    """Return what Airflow calls when a run has failed: of one that took too long no task is left to tell."""
    if not config.notify or not concerns(config, "deadline"):
        return None
    if _local():
        from adutora_airflow.local import tell_of_deadline_here

        return tell_of_deadline_here
    from adutora_airflow.notify import tell_of_deadline

    return tell_of_deadline


def _summary(text: str | None, number: int | None) -> str | None:
    """Return the first line of a description, and at its end the revision: there the operator reads it."""
    line = (text or "").strip().partition("\n")[0].strip("# ")
    revision = "" if number is None else f"revision {number}"
    return " · ".join(filter(None, (line[:200], revision))) or None


def _documentation(config: DagConfig, number: int | None) -> str:
    """Return the page that Airflow shows. Its end keeps Airflow from taking a text like `x.md` for a file's name."""
    revision = "" if number is None else f"Revision {number}, "
    return f"{config.description or ''}\n\n---\n{revision}`{config.hash[:19]}`\n"
