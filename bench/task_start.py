"""Seconds from a task's process start to its parsed DAG. Run by `bench.parse` in the environment of either side.

A task of the LocalExecutor is a fork of the scheduler. This process imports what `airflow scheduler` imports, settings
and airflow_local_settings with it, and forks; each child imports Airflow's task runner and lets it parse the DAG that
its task belongs to.

    python task_start.py BUNDLE VERSION FILE DAG TASK TRIES     (VERSION may be empty; prints a JSON list of seconds)
"""

import datetime as dt
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

bundle, version, file, dag_id, task_id, tries = sys.argv[1:]
sys.argv = ["airflow", "scheduler"]  # airflow_local_settings may go by it


def scheduler() -> None:
    """Import what stands in the scheduler when it forks."""
    from airflow import settings
    from airflow.executors import local_executor  # noqa: F401
    from airflow.jobs import scheduler_job_runner  # noqa: F401
    from airflow.sdk.execution_time import supervisor  # noqa: F401

    settings.initialize()  # type: ignore[no-untyped-call]


def details() -> Any:
    """Return what the supervisor tells a task's process."""
    from airflow.sdk.api.datamodels._generated import (
        BundleInfo,
        DagRun,
        DagRunState,
        DagRunType,
        TaskInstance,
        TIRunContext,
    )
    from airflow.sdk.execution_time.comms import StartupDetails

    now = dt.datetime.now(dt.UTC)
    run = DagRun(
        dag_id=dag_id, run_id="bench", logical_date=None, data_interval_start=None, data_interval_end=None,
        run_after=now, start_date=now, end_date=None, run_type=DagRunType.MANUAL, state=DagRunState.RUNNING,
        consumed_asset_events=[], partition_key=None,
    )  # fmt: skip
    return StartupDetails(
        ti=TaskInstance(
            id=uuid4(), task_id=task_id, dag_id=dag_id, run_id="bench", try_number=1, dag_version_id=uuid4()
        ),
        dag_rel_path=file, bundle_info=BundleInfo(name=bundle, version=version or None), start_date=now,
        ti_context=TIRunContext(dag_run=run, max_tries=0), sentry_integration="",
    )  # fmt: skip


def parsed() -> None:
    """Do what Airflow's task runner does before it runs a task. Raises SystemExit where the DAG is not found."""
    import structlog
    from airflow.sdk.definitions._internal.dag_parsing_context import _airflow_parsing_context_manager
    from airflow.sdk.execution_time import task_runner

    told = details()
    with _airflow_parsing_context_manager(dag_id=dag_id, task_id=task_id):
        found = task_runner.parse(told, structlog.get_logger())
    assert found.task.dag.dag_id == dag_id


def once() -> float:
    """Fork, and return the seconds until the child has its DAG."""
    reader, writer = os.pipe()
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            parsed()
            os.write(writer, str(time.monotonic() - begun).encode())
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    if os.waitpid(child, 0)[1] != 0 or not text:
        sys.exit(f"the task's process did not find {dag_id} in {file}")
    return float(text)


if __name__ == "__main__":
    answer = os.dup(1)
    os.dup2(2, 1)  # Airflow's log has no place among the figures
    scheduler()
    seconds = [once() for _ in range(int(tries))]
    Path(f"/dev/fd/{answer}").write_text(json.dumps(seconds))
