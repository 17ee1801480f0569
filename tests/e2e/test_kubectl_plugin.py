"""`kubectl adutora` as a user types it: through kubectl itself, with its kubeconfig."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql
from tests.e2e.kubectl import wait_for

pytestmark = pytest.mark.cluster
Plugin = Callable[..., subprocess.CompletedProcess[str]]
PLUGIN = """#!/bin/sh
exec "{python}" -m adutora.kubectl "$@"
"""


@pytest.fixture(scope="module")
def plugin(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """Run `kubectl adutora …` with the plugin on PATH and the namespace in the context of the kubeconfig."""
    import sys

    folder = tmp_path_factory.mktemp("bin")
    program = folder / "kubectl-adutora"
    program.write_text(PLUGIN.format(python=sys.executable))
    program.chmod(0o755)
    config = folder / "config"
    config.write_bytes(platform.kubectl.kubeconfig.read_bytes())
    path = f"{folder}:{Path(platform.kubectl.program).parent}:{os.environ['PATH']}"
    env = {**os.environ, "KUBECONFIG": str(config), "PATH": path}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [platform.kubectl.program, *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)

    run("config", "set-context", "--current", f"--namespace={NAMESPACE}")
    return run


@pytest.fixture(scope="module")
def well(platform: Platform) -> Iterator[str]:
    """A pipeline that works, with a parameter."""
    params = [{"name": "n", "type": "integer", "default": 1, "min": 0}]
    platform.apply(pipeline("plugin-well", sql("a", "SELECT $(params.n) AS n", "bronze.plugin_well"), params=params))
    platform.ready("plugin-well")
    wait_for("the DAG", lambda: platform.airflow.dag(f"{NAMESPACE}.plugin-well"), 90)
    yield "plugin-well"
    platform.kubectl.delete("pipeline", "plugin-well")


def test_trigger_with_a_parameter_and_wait(platform: Platform, plugin: Plugin, well: str) -> None:
    done = plugin("adutora", "trigger", well, "-p", "n=42", "--wait")
    assert done.returncode == 0, done.stderr
    run, state = done.stdout.split()
    assert state == "success"
    assert platform.table("bronze.plugin_well")[1:] == [["42"]]
    listed = plugin("adutora", "runs", well).stdout
    assert run in listed
    assert "success" in listed
    logs = plugin("adutora", "logs", well, run, "a")
    assert logs.returncode == 0, logs.stderr
    assert logs.stdout.startswith("== a: success\n")
    assert "rows out 1, rows rejected 0" in logs.stdout
    why = plugin("adutora", "why", well)
    assert why.stdout == f"nothing is wrong with pipeline {well}\n"


def test_a_wrong_parameter_is_refused(plugin: Plugin, well: str) -> None:
    wrong = {"n=many": (78, "many"), "n=-1": (65, "-1 is less than the minimum of 0"), "m=1": (78, "m")}
    for given, (code, reason) in wrong.items():
        done = plugin("adutora", "trigger", well, "-p", given)
        assert (done.returncode, reason in done.stderr) == (code, True), done


def test_what_is_not_there(plugin: Plugin) -> None:
    for command in ("trigger", "runs", "logs", "why"):
        done = plugin("adutora", command, "plugin-none")
        assert done.returncode == 78, (command, done)
        assert "plugin-none" in done.stderr
        assert "Traceback" not in done.stderr


def test_why_of_a_failed_run_and_of_a_broken_edit(platform: Platform, plugin: Plugin) -> None:
    name, table = "plugin-bad", "bronze.plugin_bad"
    try:
        platform.apply(
            pipeline(
                name,
                sql("a", "SELECT 1 AS n WHERE error('no such shop') IS NULL", table),
                sql("b", "SELECT 2 AS n", f"{table}_b", dependsOn=["a"]),
                defaults={"retries": 0},
            )
        )
        platform.ready(name)
        wait_for("the DAG", lambda: platform.airflow.dag(f"{NAMESPACE}.{name}"), 90)
        done = plugin("adutora", "trigger", name, "--wait")
        assert done.returncode == 1, done
        assert done.stdout.split()[-1] == "failed"
        said = plugin("adutora", "why", name).stdout
        assert "stage a failed at try 1" in said
        assert "no such shop" in said
        assert "stage b did not run: one before it failed" in said
        assert "no such shop" in plugin("adutora", "logs", name).stdout
        platform.apply(pipeline(name, sql("a", "SELEC 1", table)))
        wait_for(
            "the refusal", lambda: (platform.kubectl.condition(name, "Accepted") or {}).get("status") == "False", 60
        )
        said = plugin("adutora", "why", name).stdout
        assert "Accepted is False: InvalidSpec: spec.stages[0].sql.query" in said
    finally:
        platform.kubectl.delete("pipeline", name)
