"""The side-car against a real API server."""

# ruff: noqa: F811 - fixtures of the API server are arguments here
import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adutora_airflow.folder import Folder
from adutora_airflow.stub import find
from tests.airflow.conftest import compiled, pipeline
from tests.apiserver.conftest import admin, proxy, server  # noqa: F401 - fixtures
from tests.apiserver.server import ApiServer, Client, wait_for

pytestmark = pytest.mark.integration
Json = dict[str, Any]


class Cluster:
    """Plays the operator: writes Pipelines, their revisions and what should run."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def pipeline(self, name: str = "shop") -> Json:
        body = pipeline({"name": "s", "sql": {"query": "SELECT 1"}}, name=name)
        status, made = self.client.apply(body)
        assert status in (200, 201), made
        return made

    def revision(self, owner: Json, number: int, stage: str, **changes: Any) -> tuple[int, Json]:
        name = owner["metadata"]["name"]
        text = json.dumps(compiled(pipeline({"name": stage, "sql": {"query": "SELECT 1"}}, name=name)).to_json())
        reference = {
            "apiVersion": "adutora.dev/v1alpha1", "kind": "Pipeline", "name": name, "uid": owner["metadata"]["uid"],
            "controller": True, "blockOwnerDeletion": True,
        }  # fmt: skip
        spec = {"pipeline": name, "sequence": number, "hash": hashlib.sha256(text.encode()).hexdigest(), "config": text}
        return self.client.create({
            "apiVersion": "adutora.dev/v1alpha1", "kind": "PipelineRevision",
            "metadata": {
                "name": f"{name}-{number}", "namespace": "team", "labels": {"adutora.dev/pipeline": name},
                "ownerReferences": changes.pop("owners", [reference]),
            },
            "spec": {**spec, **changes},
        })  # fmt: skip

    def run(self, number: int, name: str = "shop", **status: Any) -> None:
        code, body = self.client.patch("pipelines", name, {"status": {"revision": number, **status}}, sub="/status")
        assert code == 200, body

    def at(self, number: int, stage: str, name: str = "shop") -> Json:
        owner = self.pipeline(name)
        code, body = self.revision(owner, number, stage)
        assert code == 201, body
        self.run(number, name)
        return owner


@pytest.fixture
def cluster(admin: Client) -> Cluster:
    return Cluster(admin)


@pytest.fixture
def side_car(server: ApiServer, root: Path) -> Iterator[Callable[..., Any]]:
    """Start the side-car as a process."""
    made: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, url: str | None = None, wait: bool = False) -> subprocess.Popen[bytes]:
        env = {
            **os.environ, "KUBECONFIG": str(server.kubeconfig("admin", url)), "ADUTORA_NAMESPACES": "team",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }  # fmt: skip
        with (root.parent / "sync.log").open("ab") as log:
            command = [sys.executable, "-P", "-m", "adutora_airflow.sync", *arguments]
            made.append(subprocess.Popen(command, env=env, stderr=log))
        if wait:
            assert made[-1].wait(60) == 0
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait(10)


def running(root: Path, name: str = "shop") -> int | None:
    history = Folder(root).history(f"team.{name}")
    return history.at(None) if history else None


def test_pipelines_come_change_and_go(cluster: Cluster, side_car: Any, root: Path, admin: Client) -> None:
    side_car()
    wait_for("the empty folder", lambda: Folder(root).version)
    owner = cluster.at(1, "one")
    wait_for("first revision", lambda: running(root) == 1)
    # The version is not that of the revision, which is older: the operator waits for that of its own status.
    said = (admin.get("pipelines", "shop") or {})["metadata"]["resourceVersion"]
    wait_for("its version", lambda: Folder(root).version == said)
    before = Folder(root).version
    cluster.revision(owner, 2, "two")
    cluster.run(2)
    wait_for("second revision", lambda: running(root) == 2)
    assert Folder(root).version != before
    number, path, uid = find(Folder(root), "team.shop", int(before or 0))
    assert (number, uid) == (1, owner["metadata"]["uid"])
    assert json.loads(path.read_text())["stages"][0]["name"] == "one"
    cluster.run(1)  # a pin
    wait_for("pin", lambda: running(root) == 1)
    deleted = Folder(root).version
    admin.delete("pipelines", "shop")
    wait_for("deletion", lambda: not (root / "current" / "team.shop.py").exists())
    wait_for("its version", lambda: Folder(root).version != deleted)


def test_a_namesake_is_another_pipeline(cluster: Cluster, side_car: Any, root: Path, admin: Client) -> None:
    cluster.at(1, "one")
    side_car()
    wait_for("first", lambda: running(root) == 1)
    admin.delete("pipelines", "shop")
    admin.delete("pipelinerevisions", "shop-1")
    cluster.at(1, "other")
    wait_for(
        "namesake", lambda: running(root) == 1 and "other" in (root / "revisions" / "team.shop" / "1.json").read_text()
    )


FORGED: list[tuple[str, Json]] = [
    ("another owner", {"owners": [{"apiVersion": "adutora.dev/v1alpha1", "kind": "Pipeline", "name": "shop",
                                   "uid": "00000000-0000-0000-0000-000000000000", "controller": True}]}),
    ("no owner", {"owners": []}),
    ("another hash", {"hash": "0" * 64}),
    ("another pipeline", {"pipeline": "bank"}),
    ("no config", {"config": "{}", "hash": hashlib.sha256(b"{}").hexdigest()}),
]  # fmt: skip


@pytest.mark.parametrize("changes", [each for _, each in FORGED], ids=[name for name, _ in FORGED])
def test_a_forged_revision_is_left_out(changes: Json, cluster: Cluster, side_car: Any, root: Path) -> None:
    owner = cluster.at(1, "one")
    cluster.at(1, "fine", "neighbour")
    code, body = cluster.revision(owner, 2, "two", **changes)
    if code == 422:
        return  # the CRD refuses it already
    assert code == 201, body
    cluster.run(2)
    side_car("--once", wait=True)
    assert running(root) is None
    assert running(root, "neighbour") == 1
    assert "team.shop is left as it was" in (root.parent / "sync.log").read_text()


def test_the_operators_books_decide(cluster: Cluster, side_car: Any, root: Path) -> None:
    cluster.at(1, "one")
    cluster.run(1, revisions=[{"sequence": 1, "hash": "a" * 64}])
    side_car("--once", wait=True)
    assert running(root) is None


def test_an_api_server_that_is_away_changes_nothing(
    cluster: Cluster,
    side_car: Any,
    root: Path,
    server: ApiServer,
) -> None:
    cluster.at(1, "one")
    process = side_car()
    wait_for("first", lambda: running(root) == 1)
    version = Folder(root).version
    server.stop("kube-apiserver", kill=True)
    try:
        wait_for("trouble in the log", lambda: "again in" in (root.parent / "sync.log").read_text(), 90)
        assert (Folder(root).version, running(root)) == (version, 1)
        assert process.poll() is None
    finally:
        server.start_apiserver()
    cluster.at(2, "two")
    wait_for("second", lambda: running(root) == 2, 90)


def test_a_restart_finds_the_past(cluster: Cluster, side_car: Any, root: Path) -> None:
    """A new pod has an empty folder: which revision ran when follows from the revisions' own versions."""
    cluster.at(1, "one")
    side_car("--once", wait=True)
    first = int(Folder(root).version or 0)
    cluster.at(2, "two")
    for path in (root / "version", root / "seen"):
        path.unlink()
    Folder(root).remove("team.shop")
    side_car("--once", wait=True)
    history = Folder(root).history("team.shop")
    assert history is not None
    assert [number for _, number in history.entries] == [1, 2]
    assert history.at(first) == 1
    assert history.at(None) == 2
    assert not Folder(root).config_path("team.shop", 1).exists()  # fetched when a task asks


def test_an_older_revision_is_fetched_when_a_task_asks(
    cluster: Cluster,
    side_car: Any,
    root: Path,
    server: ApiServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.at(1, "one")
    cluster.at(2, "two")
    side_car("--once", wait=True)
    history = Folder(root).history("team.shop")
    assert history is not None
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig("admin")))
    _, path, _ = find(Folder(root), "team.shop", history.entries[0][0])
    assert json.loads(path.read_text())["stages"][0]["name"] == "one"


def test_names_that_could_be_another_teams(side_car: Any, root: Path, cluster: Cluster) -> None:
    from adutora_airflow.revision import Wanted

    meta = {"namespace": "a", "uid": "u", "resourceVersion": "1"}
    for name in ("b.c", "..", "../x", "", "A", "x/y", "-x"):
        assert Wanted.of({"metadata": {**meta, "name": name}}) is None


def test_the_sign_of_life(side_car: Any, root: Path, cluster: Cluster) -> None:
    side_car("--once", wait=True)
    assert side_car("--check", "60").wait(30) == 0
    os.utime(root / "alive", (1, 1))
    assert side_car("--check", "60").wait(30) == 1
    with contextlib.suppress(FileNotFoundError):
        (root / "alive").unlink()
    assert side_car("--check", "60").wait(30) == 1
