"""A cluster for tests. `ADUTORA_CLUSTER=NAME` takes one that is up, and leaves it; else one is made, and ended after the tests."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # tests are imported by file, their package by name

from tests.cluster import binaries, clusters, images
from tests.cluster.node import Node

OWN = f"pytest-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
WANTED = {"Linux": sys.platform == "linux", "root": os.geteuid() == 0}


@pytest.fixture(scope="session", autouse=True)
def asked(request: pytest.FixtureRequest) -> None:
    """One cluster for one process, and only for those who ask."""
    if "cluster" not in request.config.option.markexpr:
        pytest.skip("make test-cluster: one process, root, about a minute")
    if missing := [name for name, there in WANTED.items() if not there]:
        pytest.skip(f"a cluster needs {' and '.join(missing)}")


@pytest.fixture(scope="session")
def our_node(asked: None) -> None:
    """Before anything is created: clusters of this machine are nodes of our own."""
    if clusters.by_kind():
        pytest.skip("these tests look into a node of our own, and this machine has kind's")


@pytest.fixture(scope="session")
def cluster(our_node: None) -> Iterator[Node]:
    """A cluster that is up, with an image that has a shell."""
    given = os.environ.get("ADUTORA_CLUSTER")
    made = clusters.create(given or OWN)
    assert isinstance(made, Node)
    made.up()
    made.load_image(images.stand_in("redis"))
    yield made
    if not given:
        made.down()


class Kubectl:
    """kubectl in one namespace."""

    def __init__(self, node: Node, namespace: str) -> None:
        self.command = [
            str(binaries.path("kubectl")),
            f"--kubeconfig={node.site.kubeconfig}",
            f"--namespace={namespace}",
        ]

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def apply(self, *documents: dict[str, Any]) -> None:
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))

    def phase(self, pod: str, wanted: str, seconds: float = 60) -> float:
        """Wait for a pod's phase; how long it took."""
        started = time.monotonic()
        self("wait", f"--for=jsonpath={{.status.phase}}={wanted}", f"pod/{pod}", f"--timeout={seconds:.0f}s")
        return time.monotonic() - started


@pytest.fixture
def kubectl(cluster: Node, request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl in a new namespace, deleted after the test. Pods must obey PodSecurity `restricted` in it."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))[:60].strip("-")
    ask = Kubectl(cluster, name)
    ask("create", "namespace", name)
    ask("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    while not ask("get", "serviceaccount", "default", "--ignore-not-found"):
        time.sleep(0.05)
    yield ask
    ask("delete", "namespace", name, "--wait=false")


Pod = Callable[..., dict[str, Any]]


@pytest.fixture
def pod() -> Pod:
    """Make a pod that obeys `restricted`; further arguments go into its spec."""

    def make(name: str, *command: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        secure = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        image = images.stand_in("redis").reference  # unlike the public one it has Python
        container = {"name": "c", "image": image, "command": list(command), "securityContext": secure}
        container["volumeMounts"] = spec.pop("mounts", [])
        user = {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "securityContext": user}
            | {"containers": [container]}
            | spec,
        }

    return make
