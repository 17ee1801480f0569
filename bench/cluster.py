"""The installed platform as benchmarks use it: the cluster for tests, Airflow's API and Kubernetes' API.

The cluster is the one that ADUTORA_CLUSTER names, with the platform installed by tools/install-platform.
"""

import contextlib
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import CoreV1Api

from tests.e2e.airflow_api import Airflow
from tests.e2e.conftest import NAMESPACE, _cluster, secret
from tests.e2e.kubectl import Kubectl, wait_for

Json = dict[str, Any]
LABEL = "adutora.dev/bench"


@dataclass
class Platform:
    """kubectl in the namespace of the platform, its Airflow, and a client of the API server."""

    kubectl: Kubectl
    airflow: Airflow

    def core(self) -> CoreV1Api:
        """Return a client with connections of its own."""
        return CoreV1Api(config.new_client_from_config(str(self.kubectl.kubeconfig)))


def pipeline(name: str, *stages: Json, **spec: Any) -> Json:
    """A Pipeline that `remove` finds."""
    meta = {"name": name, "labels": {LABEL: "true"}}
    return {
        "apiVersion": "adutora.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": meta,
        "spec": {**spec, "stages": list(stages)},
    }


def deploy(platform: Platform, *pipelines: Json) -> None:
    """Apply Pipelines, and wait until each is Ready."""
    platform.kubectl.apply(*pipelines)
    for each in pipelines:
        name = each["metadata"]["name"]
        wait_for(f"Ready of {name}", lambda name=name: _is_ready(platform, name), 120)  # type: ignore[misc]


def _is_ready(platform: Platform, name: str) -> bool:
    return (platform.kubectl.condition(name) or {}).get("status") == "True"


def remove(platform: Platform) -> None:
    """Delete every Pipeline that a benchmark made, and wait until they are gone."""
    platform.kubectl.run("delete", "pipelines", "-l", LABEL, "--ignore-not-found", "--wait=true", seconds=900)


@contextlib.contextmanager
def connected() -> Iterator[Platform]:
    """Reach the platform; the Pipelines of benchmarks are removed at the end. Raises SystemExit where there is none."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # what it made goes with it
    env = _cluster()
    kubeconfig = Path(env.get("KUBECONFIG", "/nowhere"))
    program = shutil.which("kubectl", path=env.get("PATH"))
    if program is None or not kubeconfig.exists():
        sys.exit("not run: no cluster is up (make cluster-up)")
    kubectl = Kubectl(program, kubeconfig, NAMESPACE)
    if kubectl.get("project", "default") is None:
        sys.exit("not run: the platform is not installed (tools/install-platform)")
    user = secret(kubectl, "adutora-airflow-admin")
    with (
        kubectl.forward("svc/airflow-api-server", 8080) as port,
        Airflow(f"http://127.0.0.1:{port}", user["username"], user["password"]) as airflow,
    ):
        platform = Platform(kubectl, airflow)
        remove(platform)
        try:
            yield platform
        finally:
            remove(platform)


__all__ = ["LABEL", "NAMESPACE", "Json", "Kubectl", "Platform", "connected", "deploy", "pipeline", "remove", "wait_for"]
