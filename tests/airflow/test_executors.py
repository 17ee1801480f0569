"""The executors that the chart offers can be imported: a newer Celery once broke its provider."""

import subprocess
import sys

import pytest

EXECUTORS = [
    "airflow.executors.local_executor.LocalExecutor",
    "airflow.providers.cncf.kubernetes.executors.kubernetes_executor.KubernetesExecutor",
    "airflow.providers.celery.executors.celery_executor.CeleryExecutor",
]


@pytest.mark.slow
@pytest.mark.parametrize("path", EXECUTORS)
def test_executor_imports(path: str) -> None:
    module, _, name = path.rpartition(".")
    done = subprocess.run(
        [sys.executable, "-c", f"import {module} as m; m.{name}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
