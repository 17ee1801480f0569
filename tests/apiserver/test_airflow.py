"""What the operator reads from a real Airflow: parsed DAGs, import errors, runs; and its pause button."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adutora_operator.airflow import Airflow, AirflowError, View
from adutora_operator.settings import AirflowSettings
from tests.apiserver.server import free_port, wait_for

pytest.importorskip("airflow", reason="Airflow is not installed here")
pytestmark = [pytest.mark.integration, pytest.mark.slow]
GOOD = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG("team.one", schedule=None, tags=["adutora"], is_paused_upon_creation=False):
    EmptyOperator(task_id="s")
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSettings]:
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    dags = home / "dags"
    dags.mkdir()
    (dags / "team.one.py").write_text(GOOD)
    (dags / "team.two.py").write_text(
        "import airflow  # else no DAG is looked for\nraise ValueError('this file is broken')\n"
    )
    (home / "passwords.json").write_text(json.dumps({"operator": "secret"}))
    (home / "password").write_text("secret\n")
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "operator:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__SECRET_KEY": "x" * 32,
        "AIRFLOW__API_AUTH__JWT_SECRET": "y" * 64,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "1",
    }
    airflow = str(Path(sys.executable).parent / "airflow")
    with (home / "log").open("ab") as log:
        subprocess.run([airflow, "db", "migrate"], env=env, check=True, stdout=log, stderr=log)
        commands = (["api-server", "--workers=1", f"--port={port}", "--host=127.0.0.1"], ["dag-processor"])
        processes = [subprocess.Popen([airflow, *command], env=env, stdout=log, stderr=log) for command in commands]
    try:
        wait_for("Airflow", lambda: _answers(port), 180, 1)
        yield AirflowSettings(f"http://127.0.0.1:{port}", "operator", home / "password")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/api/v2/version", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_what_airflow_says(settings: AirflowSettings) -> None:
    async def main() -> None:
        airflow = Airflow(settings)
        try:
            await listen(airflow)
        finally:
            await airflow.close()

    async def listen(airflow: Airflow) -> None:
        assert not airflow.view("team.one").polled
        changed: set[str] = set()
        for _ in range(120):
            changed |= await airflow.poll()
            if airflow.view("team.one").parsed_at and airflow.view("team.two").error:
                break
            await asyncio.sleep(1)
        assert {"", "team.one", "team.two"} <= changed
        assert "this file is broken" in (airflow.view("team.two").error or "")
        assert airflow.view("team.one").error is None
        assert airflow.view("team.one").paused is False
        assert airflow.view("team.none") == View()
        assert await airflow.poll() == set()
        await airflow.pause("team.one", True)
        await airflow._request("POST", "dags/team.one/dagRuns", {"logical_date": None, "dag_run_id": "first"})
        assert await airflow.poll() == {"team.one"}
        view = airflow.view("team.one")
        assert (view.paused, (view.last_run or {})["id"], (view.last_run or {})["state"]) == (True, "first", "queued")
        airflow._token = "expired"
        assert await airflow.poll() == set()

    asyncio.run(main())


def test_an_airflow_that_is_not_there(settings: AirflowSettings) -> None:
    async def main() -> None:
        wrong = AirflowSettings("http://127.0.0.1:1", "operator", settings.password_file)
        airflow = Airflow(wrong)
        with pytest.raises(AirflowError, match="did not answer"):
            await airflow.poll()
        assert not airflow.view("team.one").polled
        await airflow.close()

    asyncio.run(main())
