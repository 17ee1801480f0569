"""One API server for all tests of a process; each test has a namespace `team` without objects, and operators to start."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.apiserver.running import OperatorProcess, Proxy
from tests.apiserver.server import GROUP, OPERATOR, PROGRAMS, ApiServer, Client, wait_for
from tests.cluster import binaries

REPOSITORY = Path(__file__).parents[2]
CRDS = REPOSITORY / "charts" / "adutora" / "files" / "crds"
ROLE = REPOSITORY / "charts" / "adutora" / "templates" / "operator" / "rbac.yaml"


def _rules() -> list[dict[str, Any]]:
    """What charts/adutora gives the operator in a namespace. No rule there is a template."""
    (role,) = [text for text in ROLE.read_text().split("---") if "\nkind: Role\n" in text]
    rules: list[dict[str, Any]] = yaml.safe_load(role[role.index("\nrules:") :])["rules"]
    return rules


def built(*names: str) -> None:
    """Go on where these programs are built. Elsewhere the test is not run; with CI=true it fails."""
    missing = [name for name in names if not binaries.path(name).exists()]
    if missing:
        reason = f"not built: {', '.join(missing)} (make cluster-bin, which needs Go 1.24 or later)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    built(*PROGRAMS)
    started = ApiServer.start(tmp_path_factory.mktemp("apiserver"))
    try:
        _prepare(started)
        yield started
    finally:
        started.close()


def _prepare(server: ApiServer) -> None:
    server.apply_files(sorted(CRDS.glob("*.yaml")))
    admin = server.client()
    try:
        for name in ("team", "other", "adutora"):
            admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        for namespace in ("team", "other"):
            where = f"{rbac}/namespaces/{namespace}"
            admin.call("POST", f"{where}/roles", {"metadata": {"name": "operator"}, "rules": _rules()})
            binding = {
                "metadata": {"name": "operator"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
                "subjects": [{"kind": "User", "name": OPERATOR}],
            }
            admin.call("POST", f"{where}/rolebindings", binding)
        for kind in ("pipelines", "projects", "pipelinerevisions", "modelservices"):
            wait_for(kind, lambda kind=kind: admin.call("GET", f"{GROUP}/{kind}")[0] == 200)
    finally:
        admin.close()


@pytest.fixture
def admin(server: ApiServer) -> Iterator[Client]:
    client = server.client()
    yield client
    for plural in ("pipelines", "projects", "pipelinerevisions"):
        for namespace in ("team", "other"):
            client.call("DELETE", f"{GROUP}/namespaces/{namespace}/{plural}")
    client.close()


@pytest.fixture
def proxy(server: ApiServer) -> Iterator[Proxy]:
    started = Proxy(server).start()
    yield started
    started.close()


@pytest.fixture
def operators(server: ApiServer, admin: Client) -> Iterator[Callable[..., OperatorProcess]]:
    """Start operators; they are ended before the objects are deleted."""
    made: list[OperatorProcess] = []

    def start(url: str | None = None, **env: Any) -> OperatorProcess:
        made.append(OperatorProcess(server, url, **env).start())
        return made[-1]

    start.made = made  # type: ignore[attr-defined]
    yield start
    for each in made:
        each.kill()
