"""What the operator reads from a real Airflow: parsed DAGs, import errors, runs; and its pause button."""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from adutora_airflow.folder import Folder, History
from adutora_operator.airflow import Airflow, AirflowError, View
from adutora_operator.settings import AirflowSettings
from tests.airflow.conftest import compiled, pipeline
from tests.apiserver.server import free_port, wait_for

pytest.importorskip("airflow", reason="Airflow is not installed here")
pytestmark = [pytest.mark.integration, pytest.mark.slow]
NAMES = ("one", "three")


def show(folder: Folder, name: str, number: int, version: int) -> None:
    """Bring a pipeline to a revision, as the side-car does."""
    stage = {"name": f"s{number}", "sql": {"query": "SELECT 1"}}
    config = compiled(pipeline(stage, name=name))
    history = folder.history(config.dag_id) or History("uid", "team", name)
    folder.keep(config.dag_id, number, config.to_json())
    history.add(version, number)
    published = folder.show(config.dag_id, history, history.entries[-1][0])
    folder.publish(version, None if published else version)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AirflowSettings]:
    home, port = tmp_path_factory.mktemp("airflow"), free_port()
    folder = Folder(home / "bundle")
    folder.current.mkdir(parents=True)
    (folder.current / "team.two.py").write_text(
        "import airflow  # else no DAG is looked for\nraise ValueError('this file is broken')\n"
    )
    for name in NAMES:
        show(folder, name, 1, 100)
    bundle = {
        "name": "adutora",
        "classpath": "adutora_airflow.bundle.AdutoraDagBundle",
        "kwargs": {"refresh_interval": 1},
    }
    (home / "passwords.json").write_text(json.dumps({"operator": "secret"}))
    (home / "password").write_text("secret\n")
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "ADUTORA_BUNDLE_ROOT": str(folder.root),
        "ADUTORA_IMAGES": '{"default": "registry.test/stages:1"}',
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
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
            if airflow.view("team.one").revision and airflow.view("team.two").error:
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
        assert view.paused is True
        assert view.last_run is not None
        assert (view.last_run["id"], view.last_run["state"], view.last_run["revision"]) == ("first", "queued", 1)
        airflow._token = "expired"
        assert await airflow.poll() == set()

    asyncio.run(main())


def test_a_revision_is_never_booked_under_an_older_version(settings: AirflowSettings) -> None:
    """Whoever starts a run at any moment gets the revision that Airflow shows."""
    folder = Folder(settings.password_file.parent / "bundle")

    async def main() -> None:
        airflow = Airflow(settings)
        try:
            for number in range(2, 8):
                version = number * 100
                await asyncio.sleep(random.uniform(0, 2))
                show(folder, "three", number, version)
                await until(airflow, number, version)
        finally:
            await airflow.close()

    async def until(airflow: Airflow, number: int, version: int) -> None:
        for _ in range(400):
            await airflow.poll()
            view = airflow.view("team.three")
            if view.revision is not None:
                assert view.version >= 100 * view.revision, view
                if (view.revision, view.version) == (number, version):
                    return
            await asyncio.sleep(0.05)
        raise AssertionError(f"revision {number} is not read: {airflow.view('team.three')}")

    asyncio.run(main())


def test_runs_of_long_ago_are_read_after_a_restart(settings: AirflowSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adutora_operator.airflow.FIRST_LOOK_BACK", timedelta(0))

    async def main() -> None:
        airflow = Airflow(settings)
        try:
            for name in NAMES:
                for number in range(3):
                    body = {"logical_date": None, "dag_run_id": f"old-{name}-{number}"}
                    await airflow._request("POST", f"dags/team.{name}/dagRuns", body)
            await asyncio.sleep(0.1)
            await airflow.poll()
            last = {name: airflow.view(f"team.{name}").last_run or {} for name in NAMES}
            assert {name: run["id"] for name, run in last.items()} == {name: f"old-{name}-2" for name in NAMES}
        finally:
            await airflow.close()

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
