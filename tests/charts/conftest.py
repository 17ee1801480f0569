"""helm, and the umbrella with the stand-in for Airflow's chart, and with the official one where a copy is given."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from tests.charts.rendering import Helm, assemble, helm_program


def not_run(reason: str) -> NoReturn:
    """Skip; with CI=true fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def helm() -> Helm:
    """helm, without a cluster."""
    program = helm_program()
    if program is None:
        not_run("helm is not there: `make cluster-bin` builds it with Go, or set HELM")
    return Helm(program)


@pytest.fixture(scope="session")
def umbrella(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """charts/adutora-platform with the stand-in."""
    return assemble(tmp_path_factory.mktemp("umbrella"), "--stand-in")


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """charts/adutora-platform with Airflow's own chart. Who has no copy may do without, with CI=true too; that is told."""
    chart = os.environ.get("AIRFLOW_CHART")
    if not chart:
        pytest.skip("no copy of Airflow's chart is given (AIRFLOW_CHART=FILE)")
    return assemble(tmp_path_factory.mktemp("official"), chart=chart)
