"""The umbrella on a real API server: what it takes, what an upgrade keeps, what an uninstall leaves.

No kubelet: nothing runs here. tests/e2e runs what this installs.
"""

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.apiserver.server import PROGRAMS, ApiServer
from tests.charts.conftest import not_run
from tests.charts.rendering import CHART, UMBRELLA, Helm, Json, assemble
from tests.cluster import binaries

pytestmark = [pytest.mark.integration, pytest.mark.slow]
NAMESPACE = "platform"
VALUES = ("--set", "global.adutora.namespaces={platform,team-b}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    missing = [name for name in PROGRAMS if not binaries.path(name).exists()]
    if missing:
        not_run(f"{', '.join(missing)} not built (`make cluster-up` builds them)")
    api = ApiServer.start(tmp_path_factory.mktemp("api"))
    for name in (NAMESPACE, "team-b"):
        api.kubectl("create", "namespace", name)
        # The API server itself says whether a pod passes.
        api.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted",
                    "pod-security.kubernetes.io/warn=restricted")  # fmt: skip
    yield api
    api.close()


class Release:
    """One release on the API server."""

    def __init__(self, helm: Helm, api: ApiServer) -> None:
        self.helm, self.api = helm, api

    def run(self, *arguments: str | Path, check: bool = True) -> str:
        """Run a command of helm's on the release; return what it printed."""
        where = (f"--kubeconfig={self.api.kubeconfig('admin')}", f"--namespace={NAMESPACE}")
        done = self.helm.run(*arguments, *where, check=check)
        return done.stdout + done.stderr

    def secrets(self) -> dict[str, Json]:
        """What our Secrets hold, by namespace and name."""
        text = self.api.kubectl("get", "secrets", "-A", "-l", "app.kubernetes.io/name=adutora", "-o", "json")
        return {f"{s['metadata']['namespace']}/{s['metadata']['name']}": s["data"] for s in json.loads(text)["items"]}

    def project(self, namespace: str = NAMESPACE) -> Json:
        """Return the Project."""
        found: Json = json.loads(self.api.kubectl("get", "-n", namespace, "project", "default", "-o", "json"))
        return found


@pytest.fixture(scope="module")
def release(helm: Helm, server: ApiServer, umbrella: Path) -> Release:
    made = Release(helm, server)
    printed = made.run("install", "adutora", umbrella, *VALUES)
    assert "would violate PodSecurity" not in printed
    return made


def test_a_first_install_brings_the_project_though_it_brings_its_kind_too(release: Release) -> None:
    assert release.project()["spec"]["lake"]["root"] == "s3://adutora-lake"
    assert release.project("team-b")["spec"]["lake"]["root"] == "s3://adutora-lake/_namespaces/team-b"


def test_an_upgrade_keeps_what_was_generated(release: Release, umbrella: Path) -> None:
    before = release.secrets()
    assert len(before) >= 13
    release.run("upgrade", "adutora", umbrella, *VALUES)
    assert release.secrets() == before


def test_an_upgrade_changes_the_project_that_the_install_made(release: Release, umbrella: Path) -> None:
    release.run("upgrade", "adutora", umbrella, *VALUES, "--set", "adutora.project.spec.defaults.retries=7")
    assert release.project()["spec"]["defaults"] == {"retries": 7}
    uid = release.project()["metadata"]["uid"]
    release.run("rollback", "adutora", "1")
    assert release.project()["metadata"]["uid"] == uid


def test_an_upgrade_brings_newer_crds(release: Release, umbrella: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(umbrella, newer)
    file = newer / "charts" / "adutora" / "files" / "crds" / "projects.yaml"
    crd = yaml.safe_load(file.read_text())
    crd["spec"]["names"]["shortNames"] = ["newer"]
    file.write_text(yaml.safe_dump(crd))
    release.run("upgrade", "adutora", newer, *VALUES)
    assert '"newer"' in release.api.kubectl("get", "crd", "projects.adutora.dev", "-o", "json")
    release.run("upgrade", "adutora", umbrella, *VALUES)


def test_a_namespace_that_is_added_gets_the_same_keys(release: Release, umbrella: Path, server: ApiServer) -> None:
    server.kubectl("create", "namespace", "team-c")
    release.run("upgrade", "adutora", umbrella, "--set", "global.adutora.namespaces={platform,team-b,team-c}")
    secrets = release.secrets()
    assert secrets["team-c/adutora-lake"] == secrets[f"{NAMESPACE}/adutora-s3"]
    release.run("upgrade", "adutora", umbrella, *VALUES)


def test_a_secret_of_ones_own_is_used(helm: Helm, server: ApiServer) -> None:
    server.kubectl("create", "namespace", "own")
    server.kubectl("create", "secret", "generic", "-n", "own", "mine", "--from-literal=password=p ss/word")
    release = Release(helm, server)
    where = (f"--kubeconfig={server.kubeconfig('admin')}", "--namespace=own")
    release.helm.run(
        "install", "own", CHART, *where, "--set", "crds.install=false", "--set", "airflow.enabled=true",
        "--set", "stores.postgresql.enabled=true", "--set", "stores.postgresql.existingSecret=mine",
    )  # fmt: skip
    text = release.secrets()["own/adutora-airflow-metadata"]["connection"]
    assert (
        base64.b64decode(text).decode()
        == "postgresql+psycopg2://airflow:p+ss%2Fword@adutora-postgresql.own:5432/airflow"
    )
    release.helm.run("uninstall", "own", *where)


@pytest.mark.parametrize(
    "name", ["values-kind.yaml", "values-eks.yaml", "values-kubernetes-executor.yaml", "values-celery.yaml"]
)
def test_the_api_server_takes_every_object_of_the_official_chart(
    helm: Helm, server: ApiServer, release: Release, official: Path, name: str
) -> None:
    server.kubectl("create", "namespace", "dry", check=False)
    server.kubectl("label", "namespace", "dry", "pod-security.kubernetes.io/warn=restricted", "--overwrite")
    options = ("-f", UMBRELLA / name, "--set", "adutora.crds.install=false", "--set", "global.adutora.namespaces={dry}")
    text = helm.run("template", "adutora", official, "--namespace=dry", "--kube-version=1.34.4", *options).stdout
    printed = server.kubectl("apply", "--dry-run=server", "--validate=strict", "-n", "dry", "-f", "-", text=text)
    assert "PodSecurity" not in printed


def test_an_uninstall_leaves_data_and_an_install_finds_it(release: Release, umbrella: Path, server: ApiServer) -> None:
    pipeline = (Path(__file__).parents[2] / "examples" / "02-city-features" / "pipeline.yaml").read_text()
    server.kubectl("apply", "-n", "team-b", "-f", "-", text=pipeline)
    before = release.secrets()
    release.run("uninstall", "adutora")
    assert not server.kubectl("get", "deployments,statefulsets,roles", "-n", NAMESPACE, "-o", "name").strip()
    assert "city-features" in server.kubectl("get", "pipelines", "-n", "team-b")
    assert release.secrets() == before
    release.run("install", "adutora", umbrella, *VALUES)
    assert release.secrets() == before
    assert "city-features" in server.kubectl("get", "pipelines", "-n", "team-b")


def test_the_umbrella_is_assembled_anew_each_time(umbrella: Path) -> None:
    (umbrella / "charts" / "left-over").mkdir()
    assert assemble(umbrella.parent, "--stand-in") == umbrella
    assert {path.name for path in (umbrella / "charts").iterdir()} == {"adutora", "airflow"}
