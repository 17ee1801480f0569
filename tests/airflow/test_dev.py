"""`adutora dev`: files become revisions, stages run as processes, and the whole of it in a real Airflow."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from adutora.cli.dev import _airflow_side
from adutora.dev.airflow import free_port
from adutora.dev.pipelines import Pipelines
from adutora.errors import ConfigError
from adutora_airflow.factory import make_dag
from adutora_airflow.folder import Folder
from adutora_airflow.stub import dag_of
from tests.airflow.conftest import context_of
from tests.apiserver.server import wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
ARGS = argparse.Namespace(lake=None, state=None)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLES / "01-first-table", tmp_path / "one", ignore=shutil.ignore_patterns("lake", ".adutora"))
    return tmp_path / "one" / "pipeline.yaml"


def loaded(root: Path, *files: Path) -> tuple[Pipelines, list[str]]:
    told: list[str] = []
    pipelines = Pipelines([str(file) for file in files], root, ARGS, told.append)
    assert pipelines.load().ok
    return pipelines, told


def test_a_changed_file_is_a_new_revision(root: Path, example: Path) -> None:
    pipelines, told = loaded(root, example)
    assert told == ["default.first-table: revision 1"]
    assert not pipelines.changed()
    good = example.read_text()
    example.write_text(good.replace("spec:\n", "spec:\n  owner: somebody\n", 1))
    assert pipelines.changed()
    assert pipelines.load().ok
    assert told[1:] == ["default.first-table: revision 2"]
    example.write_text("kind: Pipeline\n")
    assert not pipelines.load().ok
    history = Folder(root).history("default.first-table")
    assert history is not None
    assert history.at(None) == 2  # the last good one stays
    loaded(root, example.with_name("other.yaml") if example.with_name("other.yaml").exists() else _other(example))
    assert Folder(root).dag_ids() == {"default.second"}


def _other(example: Path) -> Path:
    other = example.with_name("second.yaml")
    text = (EXAMPLES / "01-first-table" / "pipeline.yaml").read_text()
    other.write_text(text.replace("first-table", "second"))
    return other


def test_starting_again_with_the_same_files_changes_nothing(root: Path, example: Path) -> None:
    loaded(root, example)
    assert loaded(root, example)[1] == []


def test_without_airflow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="adutora dev needs Apache Airflow") as caught:
        _airflow_side()
    assert caught.value.hint == "pip install 'adutora[airflow]'"


def test_stages_run_as_processes(root: Path, example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADUTORA_STAGES", "local")
    loaded(root, example)
    dag = dag_of(str(root / "current" / "default.first-table.py"))
    for task in dag.tasks:
        context = context_of(dag, task.task_id)
        task.execute(context)
        (outlet,) = context["ti"].task.outlets
        assert context["outlet_events"][outlet].extra["version"] is not None
    assert (example.parent / "lake").is_dir()


def test_how_a_process_ends_decides(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADUTORA_STAGES", "local")
    file = tmp_path / "pipeline.yaml"
    bad = "apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: bad}\nspec:\n  stages:\n"
    bad += "    - {name: wrong, sql: {query: SELECT nothing}, output: {table: gold.x}}\n"
    bad += "    - {name: slow, timeout: 1s, python: {function: 'slow:run'}, output: {table: gold.y}}\n"
    file.write_text(bad)
    (tmp_path / "slow.py").write_text("import time\n\ndef run(inputs):\n    time.sleep(60)\n    return []\n")
    loaded(root, file)
    dag = dag_of(str(root / "current" / "default.bad.py"))
    with pytest.raises(AirflowFailException, match="nothing"):
        dag.get_task("wrong").execute(context_of(dag, "wrong"))
    with pytest.raises(AirflowException, match="took longer than its timeout of 1 s"):
        dag.get_task("slow").execute(context_of(dag, "slow"))
    assert make_dag(dag.user_defined_macros["adutora"])  # type: ignore[index]


@pytest.fixture
def served(example: Path, tmp_path: Path) -> Iterator[str]:
    with serving(tmp_path, example) as url:
        yield url


@contextlib.contextmanager
def serving(tmp_path: Path, *files: Path) -> Iterator[str]:
    """`adutora dev` as a process; the address of its Airflow."""
    port, state = free_port(), str(tmp_path / "state")
    command = [sys.executable, "-m", "adutora.cli", "dev", *map(str, files), "--port", str(port), "--state", state]
    with (tmp_path / "dev.log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            wait_for("Airflow", lambda: "Airflow is at" in (tmp_path / "dev.log").read_text() or process.poll(), 300)
            assert process.poll() is None, (tmp_path / "dev.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
    assert process.returncode == 0, (tmp_path / "dev.log").read_text()
    assert not _left(tmp_path), "processes of Airflow are left"


def _left(folder: Path) -> list[str]:
    left = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"AIRFLOW_HOME={folder}".encode() in (each / "environ").read_bytes() and int(each.name) != os.getpid():
                left.append((each / "cmdline").read_text())
    return left


@pytest.mark.slow
@pytest.mark.integration
def test_a_run_in_a_real_airflow(served: str, example: Path) -> None:
    with httpx.Client(base_url=served, timeout=60) as http:
        token = http.get("/auth/token").json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        wait_for("the DAG", lambda: http.get("/api/v2/dags/default.first-table").status_code == 200, 120)
        answer = http.post("/api/v2/dags/default.first-table/dagRuns", json={"logical_date": None, "conf": {}})
        run = f"/api/v2/dags/default.first-table/dagRuns/{answer.json()['dag_run_id']}"
        state = wait_for("its end", lambda: over(http.get(run).json()), 300)
        assert state["state"] == "success", http.get(f"{run}/taskInstances").text
        assert state["bundle_version"]
        example.write_text(example.read_text().replace("spec:\n", "spec:\n  owner: somebody-else\n", 1))
        page = lambda: "somebody-else" in http.get("/api/v2/dags/default.first-table/details").text  # noqa: E731
        wait_for("the edit", page, 60)
        events: Any = http.get("/api/v2/assets/events").json()
        assert events["total_entries"] >= 1, json.dumps(events)


def over(run: dict[str, Any]) -> dict[str, Any] | None:
    time.sleep(0.5)
    return run if run["state"] in ("success", "failed") else None
