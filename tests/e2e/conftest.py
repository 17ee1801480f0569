"""The platform that `make cluster-up` left: kubectl, Airflow's API, the lake and the online store of it."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.e2e.airflow_api import Airflow
from tests.e2e.kubectl import Kubectl, wait_for
from tests.golden_tables import EXAMPLES, Rows, rows_of

ROOT = Path(__file__).parents[2]
NAMESPACE = "adutora"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest, that the others fit beside it."""
    items.sort(key=lambda item: item.path.name != "test_spark.py")


@dataclass
class Platform:
    """What a user of the installed platform has at hand."""

    kubectl: Kubectl
    airflow: Airflow
    online: redis.Redis
    lake_root: str
    files_root: str
    lake_options: dict[str, str]

    def apply(self, *objects: dict[str, Any] | str) -> str:
        """Apply Pipelines."""
        return self.kubectl.apply(*objects)

    def ready(self, name: str, seconds: float = 180) -> dict[str, Any]:
        """Wait until the Pipeline is Ready; returns the condition."""

        def probe() -> dict[str, Any] | None:
            found = self.kubectl.condition(name)
            return found if found and found["status"] == "True" else None

        try:
            return wait_for(f"Ready of {name}", probe, seconds)
        except AssertionError as error:
            found = self.kubectl.get("pipeline", name) or {}
            raise AssertionError(f"{error}: {found.get('status')}") from None

    def push(self, example: str) -> None:
        """Upload the files of an example."""
        env = {
            **os.environ,
            "AWS_ENDPOINT_URL": self.lake_options["AWS_ENDPOINT_URL"],
            "AWS_ACCESS_KEY_ID": self.lake_options["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": self.lake_options["AWS_SECRET_ACCESS_KEY"],
        }
        done = subprocess.run(
            [sys.executable, "-m", "adutora.cli", "push", str(EXAMPLES / example / "pipeline.yaml"),
             "--namespace", NAMESPACE, "--to", self.files_root],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def table(self, name: str) -> Rows:
        """Rows of a table of the lake, as text."""
        return rows_of(f"{self.lake_root}/{name.replace('.', '/')}", self.lake_options)


def _cluster() -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "env"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = [line.removeprefix("export ") for line in done.stdout.splitlines() if "=" in line]
    return {key: value.strip("'\"") for key, _, value in (line.partition("=") for line in lines)}


@pytest.fixture(scope="session")
def cluster() -> dict[str, str]:
    """Environment of the cluster for tests: KUBECONFIG, and PATH with kubectl and helm."""
    found = _cluster()
    if not found.get("KUBECONFIG") or not Path(found["KUBECONFIG"]).exists():
        reason = "no cluster is up (make cluster-up)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def kubectl(cluster: dict[str, str]) -> Kubectl:
    """kubectl in the platform's namespace."""
    program = shutil.which("kubectl", path=cluster.get("PATH", os.environ["PATH"]))
    assert program is not None
    return Kubectl(program, Path(cluster["KUBECONFIG"]), NAMESPACE)


def secret(kubectl: Kubectl, name: str) -> dict[str, str]:
    """Values of a Secret."""
    found = kubectl.get("secret", name)
    assert found is not None, name
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


@pytest.fixture(scope="session")
def platform(kubectl: Kubectl) -> Iterator[Platform]:
    """The installed platform, reached through port-forwards."""
    with reached(kubectl) as found:
        yield found


@contextlib.contextmanager
def reached(kubectl: Kubectl) -> Iterator[Platform]:
    """A platform, reached through port-forwards while the block runs."""
    project = kubectl.get("project", "default")
    assert project is not None, "the platform is not installed (make cluster-up)"
    lake, connections = project["spec"]["lake"], {each["name"]: each for each in project["spec"]["connections"]}
    s3, store = connections[lake["connection"]], connections["online"]
    s3_keys = secret(kubectl, s3["secretRef"]["name"])
    users = secret(kubectl, "adutora-airflow-admin")
    with (
        kubectl.forward("svc/airflow-api-server", 8080) as web,
        kubectl.forward("svc/adutora-s3", 7070) as lake_port,
        kubectl.forward(f"svc/{store['redis']['host'].partition('.')[0]}", 6379) as redis_port,
    ):
        options = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{lake_port}",
            "AWS_ACCESS_KEY_ID": s3_keys["accessKey"],
            "AWS_SECRET_ACCESS_KEY": s3_keys["secretKey"],
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }
        password = secret(kubectl, store["secretRef"]["name"]).get("password") if "secretRef" in store else None
        with (
            Airflow(f"http://127.0.0.1:{web}", users["username"], users["password"]) as airflow,
            redis.Redis(port=redis_port, password=password, decode_responses=True) as online,
        ):
            yield Platform(kubectl, airflow, online, lake["root"], project["spec"]["filesRoot"], options)


# The example itself listens on the loopback address alone.
SERVE = (
    "import sys; sys.path.insert(0, '/api'); import api; api.ThreadingHTTPServer(('', 8377), api.Shop).serve_forever()"
)
SHOP: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-api"}, "stringData": {"user": "demo", "password": "demo"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-api"}, "data": {"api.py": (EXAMPLES / "06-http/api.py").read_text()}},
    {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop-api"}, "spec": {"selector": {"app": "shop-api"}, "ports": [{"port": 8377}]}},
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "shop-api", "labels": {"app": "shop-api"}},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "api",
                    "image": "adutora/stages:dev",
                    "command": ["python", "-c", SERVE],
                    "readinessProbe": {"tcpSocket": {"port": 8377}, "periodSeconds": 1},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "api", "mountPath": "/api"}],
                }
            ],
            "volumes": [{"name": "api", "configMap": {"name": "shop-api"}}],
        },
    },
]  # fmt: skip


@pytest.fixture
def shop_api(platform: Platform) -> Iterator[None]:
    """The API of example 06, in a pod."""
    platform.apply(*SHOP)
    platform.kubectl.run("wait", "pod/shop-api", "--for=condition=Ready", "--timeout=90s")
    yield
    for each in SHOP:
        platform.kubectl.delete(each["kind"], each["metadata"]["name"], "--wait=false")


@pytest.fixture
def gone(platform: Platform) -> Iterator[list[str]]:
    """Pipelines that are deleted after the test."""
    names: list[str] = []
    yield names
    for name in names:
        platform.kubectl.delete("pipeline", name)


def pipeline(name: str, *stages: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A Pipeline object."""
    return {
        "apiVersion": "adutora.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": name},
        "spec": {**json.loads(json.dumps(spec)), "stages": list(stages)},
    }


def sql(name: str, query: str, table: str | None = None, **more: Any) -> dict[str, Any]:
    """A sql stage."""
    out = {"name": name, "sql": {"query": query}, **more}
    return {**out, "output": {"table": table}} if table else out


def deployed(platform: Platform, name: str, *stages: dict[str, Any], **spec: Any) -> str:
    """Apply a Pipeline and wait until it is Ready; returns the id of its DAG."""
    platform.apply(pipeline(name, *stages, **spec))
    platform.ready(name)
    return f"{NAMESPACE}.{name}"
