"""helm: its test, upgrade under a running pipeline, uninstall, install again; two teams at once."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import NAMESPACE, ROOT, Platform, pipeline, reached, sql
from tests.e2e.kubectl import Kubectl, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.disruptive]
TEAMS = ("a", "a-b")  # a.b-c and a-b.c, written with hyphens alone, would be one
SERVED = f"global.adutora.namespaces={{{','.join((NAMESPACE, *TEAMS))}}}"
# Busy for some seconds on one core, whatever the engine does to make it shorter.
BUSY = "SELECT count(*) AS n FROM range(120000000) AS a(i) WHERE md5(i::VARCHAR) < '1'"


class Release:
    """The release `adutora` on the cluster."""

    def __init__(self, kubectl: Kubectl, env: dict[str, str]) -> None:
        self.kubectl, self.env = kubectl, env

    def helm(self, *words: str, seconds: float = 900) -> str:
        """Run helm; returns what it printed."""
        done = subprocess.run(
            ["helm", *words, "--namespace", NAMESPACE],
            env=self.env, capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *words: str) -> None:
        """Install or upgrade as tools/e2e does."""
        done = subprocess.run(
            ["tools/install-platform", "--values", "tests/e2e/values.yaml", "--set", SERVED, *words],
            cwd=ROOT, env=self.env, capture_output=True, text=True, check=False, timeout=1800,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def release(cluster: dict[str, str], kubectl: Kubectl) -> Release:
    """The release, with the namespaces of two teams more."""
    path = cluster["PATH"].replace("$PATH", os.environ["PATH"])
    made = Release(kubectl, {**os.environ, "KUBECONFIG": cluster["KUBECONFIG"], "PATH": path})
    for team in TEAMS:
        kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team}})
    made.install()
    return made


@pytest.fixture
def platform(release: Release) -> Iterator[Platform]:
    """The platform as it is then: forwards of before an upgrade lead to pods that have gone."""
    with reached(release.kubectl) as found:
        yield found


def uid(kubectl: Kubectl, kind: str, name: str) -> str:
    found = kubectl.get(kind, name)
    assert found is not None, f"{kind} {name} has gone"
    return str(found["metadata"]["uid"])


def test_helm_test_passes(release: Release) -> None:
    assert "Succeeded" in release.helm("test", "adutora", "--timeout", "5m")


def test_two_teams_with_names_that_look_alike(release: Release, platform: Platform) -> None:
    for team, name in (("a", "b-c"), ("a-b", "c")):
        there = release.kubectl.within(team)
        there.apply(pipeline(name, sql("s", f"SELECT '{team}' AS team", "bronze.same")))
        wait_for("Ready", lambda there=there, name=name: (there.condition(name) or {}).get("status") == "True", 120)  # type: ignore[misc]
        platform.airflow.succeed(f"{team}.{name}")
        assert len(there.list("pipelinerevisions")) == 1
    # Each has its own table under the same name.
    roots = {team: lake_root(release.kubectl.within(team)) for team in TEAMS}
    assert len(set(roots.values())) == len(TEAMS), f"teams share a lake: {roots}"


def lake_root(kubectl: Kubectl) -> str:
    project = kubectl.get("project", "default")
    assert project is not None
    return str(project["spec"]["lake"]["root"])


def test_an_upgrade_under_a_running_pipeline(release: Release, platform: Platform) -> None:
    defaults = {"retries": 3, "retryDelay": "2s"}
    platform.apply(pipeline("upgraded", sql("busy", BUSY, "bronze.upgraded"), defaults=defaults))
    platform.ready("upgraded")
    run = platform.airflow.started(f"{NAMESPACE}.upgraded")

    def running() -> bool:
        pods = release.kubectl.list("pods", "adutora.dev/pipeline=upgraded")
        return any(each["status"].get("phase") == "Running" for each in pods)

    wait_for("a running pod", running, 120)
    keys = release.kubectl.get("secret", "adutora-airflow-keys")
    # A setting of Airflow's: every component is replaced.
    release.install("--set", "airflow.config.core.parallelism=6")
    assert platform.airflow.ended(f"{NAMESPACE}.upgraded", run, 600) == "success"
    assert len(platform.table("bronze.upgraded")) == 2
    assert (release.kubectl.get("secret", "adutora-airflow-keys") or {})["data"] == (keys or {})["data"]
    assert len(release.kubectl.list("pipelinerevisions", "adutora.dev/pipeline=upgraded")) == 1


def test_an_uninstall_leaves_data_and_an_install_goes_on_with_it(release: Release) -> None:
    kubectl = release.kubectl
    with reached(kubectl) as platform:
        platform.apply(pipeline("kept", sql("a", "SELECT 7 AS n", "bronze.kept")))
        platform.ready("kept")
        first = platform.airflow.succeed(f"{NAMESPACE}.kept")
    before = _data(kubectl)
    release.helm("uninstall", "adutora", "--wait", "--timeout", "5m")
    assert kubectl.list("deployments") == []
    assert kubectl.list("statefulsets") == []
    assert _data(kubectl) == before
    release.install()
    with reached(kubectl) as platform:
        platform.ready("kept", 180)
        assert uid(kubectl, "pipeline", "kept") == before["pipeline kept"]
        assert platform.table("bronze.kept")[1:] == [["7"]]
        assert platform.airflow.get(f"/dags/{NAMESPACE}.kept/dagRuns/{first}")["state"] == "success"
        assert len(kubectl.list("pipelinerevisions", "adutora.dev/pipeline=kept")) == 1
        platform.airflow.succeed(f"{NAMESPACE}.kept")


def _data(kubectl: Kubectl) -> dict[str, Any]:
    """What nobody wants to lose: volumes, pipelines with revisions, secrets with what they hold, by kind and name."""
    found: dict[str, Any] = {}
    for kind in ("pvc", "pipelines", "pipelinerevisions", "projects"):
        found |= {
            f"{kind.removesuffix('s')} {each['metadata']['name']}": each["metadata"]["uid"]
            for each in kubectl.list(kind)
        }
    secrets = kubectl.list("secrets", "app.kubernetes.io/name=adutora")
    return found | {f"secret {each['metadata']['name']}": json.dumps(each["data"], sort_keys=True) for each in secrets}
