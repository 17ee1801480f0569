"""Imports what tasks need before Airflow's components fork: each child then starts with all of it.

Called by `airflow_local_settings.py`: `from adutora_airflow.preload import preload; preload()`.
"""

import gc
import importlib
import sys

_MODULES = (
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.triggers.temporal",
    "adutora_airflow.operator",
    "adutora_airflow.trigger",
    "kubernetes_asyncio.client",  # imported in the triggerer's loop it would hold up every wait
    "adutora_airflow.factory",
    "adutora_airflow.files",
    "adutora_airflow.items",
    "adutora_airflow.notify",
    "adutora_airflow.pace",
    "adutora_airflow.cleanup",
    "adutora_airflow.stub",
    "adutora_airflow.bundle",
    "adutora.runtime.substitution",
)
_COMMANDS = frozenset({"scheduler", "dag-processor", "triggerer", "standalone"})


def preload(command: list[str] | None = None) -> bool:
    """Import, if this process is one that forks tasks or parsers. Returns whether it is."""
    if not _COMMANDS.intersection(sys.argv if command is None else command):
        return False
    for module in _MODULES:
        importlib.import_module(module)
    _warm_up()
    gc.collect()
    gc.freeze()  # a collection in a child would write to every page that it shares with us
    return True


def _warm_up() -> None:
    """Do once what Airflow does at the first asset (it loads every provider that knows any) and the first context."""
    from airflow.sdk.plugins_manager import integrate_macros_plugins

    from adutora.dagconfig import DagConfig, StageConfig
    from adutora_airflow.factory import make_dag

    stage = StageConfig(
        "a", "sql", {}, (), 1, 1, 60, {}, run_if="always", for_each={"values": [1], "maxParallel": 1},
        output={"table": "warm.up"},
    )  # fmt: skip
    make_dag(DagConfig("up", "warm", (stage,), "UTC", {}, triggers=({"cron": "@daily", "startDate": "2026-01-01"},)))
    integrate_macros_plugins()
