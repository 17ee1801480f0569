"""The admission policies of the chart, on a real API server, for users who have every right of RBAC in the namespace."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import built
from tests.apiserver.objects import pipeline, project, revisions, up_to_date
from tests.apiserver.running import OperatorProcess
from tests.apiserver.server import ApiServer, Client, wait_for
from tests.apiserver.test_faults import forged
from tests.cluster import binaries

pytestmark = pytest.mark.integration
CHART = Path(__file__).parents[2] / "charts" / "adutora"
ALL = {"apiGroups": ["adutora.dev"], "resources": ["*"], "verbs": ["*"]}


@pytest.fixture(scope="module")
def policies(server: ApiServer) -> Iterator[None]:
    built("helm")
    helm = binaries.path("helm")
    command = [
        helm, "template", "x", CHART, "--namespace=adutora", "--show-only=templates/admission.yaml",
        "--set=global.adutora.namespaces={team}", "--kube-version=1.34.4",
    ]  # fmt: skip
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    server.kubectl("apply", "-f", "-", text=text)
    admin = server.client()
    # A policy holds some moments after it was written.
    wait_for("the policies", lambda: _probe(admin, "pipelinerevisions") and _probe_secret(server, admin), 30)
    yield
    server.kubectl("delete", "-f", "-", text=text)
    wait_for("their end", lambda: not _probe(admin, "pipelinerevisions"), 30)
    admin.close()


def _probe(admin: Client, plural: str) -> bool:
    body: dict[str, Any] = {
        "apiVersion": "adutora.dev/v1alpha1", "kind": "PipelineRevision", "metadata": {"name": "probe-1", "namespace": "team"},
        "spec": {"pipeline": "probe", "sequence": 1, "hash": "0" * 64, "config": "{}"},
    }  # fmt: skip
    denied = admin.create(body)[0] == 403
    admin.delete(plural, "probe-1")
    time.sleep(0.1)
    return denied


def _probe_secret(server: ApiServer, admin: Client) -> bool:
    alice = user(server, "alice", [ALL])
    denied = alice.apply(named("probe"))[0] == 403
    admin.delete("projects", "default")
    alice.close()
    return denied


def user(server: ApiServer, name: str, rules: list[dict[str, Any]]) -> Client:
    """Return the client of a user with these rules in `team`."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": "team"},
        "rules": rules,
    }
    binding = {
        **role, "kind": "RoleBinding", "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "User", "name": name}],
    }  # fmt: skip
    del binding["rules"]
    for each in (role, binding):
        server.kubectl("apply", "-f", "-", text=json.dumps(each))
    return server.client(name)


@pytest.fixture
def users(server: ApiServer) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(name: str, *rules: dict[str, Any]) -> Client:
        made.append(user(server, name, [ALL, *rules]))
        return made[-1]

    yield make
    for each in made:
        each.close()


def named(*secrets: str, **more: Any) -> dict[str, Any]:
    connections = [
        {"name": f"c{n}", "redis": {"host": "redis"}, "secretRef": {"name": name}} for n, name in enumerate(secrets)
    ]
    return project(connections=connections, **more)


def test_only_the_operator_writes_revisions(
    policies: None, users: Callable[..., Client], admin: Client, operators: Callable[..., OperatorProcess]
) -> None:
    operator = operators()
    alice = users("alice")
    assert alice.apply(pipeline())[0] in {200, 201}
    body = up_to_date(admin, Ready="True Ready")
    true = revisions(admin)[1]
    for client in (alice, admin):
        status, answer = client.create(forged(true, 2))
        assert (status, "only the operator writes revisions" in answer["message"]) == (403, True)
        assert client.patch("pipelinerevisions", "one-1", {"metadata": {"ownerReferences": []}})[0] == 403
        books = {"status": {"revision": 7}}
        assert client.patch("pipelines", "one", books, sub="/status")[0] == 403
    assert admin.get("pipelines", "one") == body
    assert alice.delete("pipelinerevisions", "one-1") == 200
    wait_for("the revision", lambda: revisions(admin).get(1))
    assert operator.process is not None
    assert operator.process.poll() is None


def test_who_names_a_secret_may_read_it(policies: None, users: Callable[..., Client], admin: Client) -> None:
    alice = users("alice")
    assert alice.apply(project(description="no secret"))[0] in {200, 201}
    status, answer = alice.apply(named("redis"))
    assert status == 403
    assert "this one names redis" in answer["message"]
    # One Secret by name.
    one = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["redis"]}
    bob = users("bob", one)
    assert bob.apply(named("redis"))[0] == 200
    assert bob.apply(named("redis", "admin"))[0] == 403
    assert bob.apply(named("redis", "redis", "redis"))[0] == 403  # too many to look at one by one
    # Where a connection leads is part of it; what is no part of the spec is not.
    other = named("redis")
    other["spec"]["connections"][0]["redis"]["host"] = "evil.example"
    assert alice.apply(other)[0] == 403
    assert alice.patch("projects", "default", {"metadata": {"labels": {"a": "b"}}})[0] == 200
    every = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    bob = users("bob", every)
    assert bob.apply(named(*(f"s{n}" for n in range(200))))[0] == 200


def test_who_names_a_service_account_may_create_pods(
    policies: None, users: Callable[..., Client], admin: Client
) -> None:
    """`admin` tidies up."""
    profiles = [{"name": "big", "serviceAccount": "airflow"}, {"name": "own", "serviceAccount": "adutora-stage"}]
    status, answer = users("alice").apply(project(profiles=profiles))
    assert status == 403
    assert answer["message"].endswith("this one names airflow")
    assert users("alice").apply(project(profiles=profiles[1:]))[0] in {200, 201}
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}
    assert users("bob", pods).apply(project(profiles=profiles))[0] in {200, 201}
