"""What the driver of a Spark application may make and remove, on a real API server: executors, and nothing else."""

import copy
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import built
from tests.apiserver.server import DRIVER, ApiServer, Client, wait_for
from tests.cluster import binaries

pytestmark = pytest.mark.integration
CHART = Path(__file__).parents[2] / "charts" / "adutora"
PODS = "/api/v1/namespaces/team/pods"
Pod = dict[str, Any]
EXECUTOR: Pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "exec-1",
        "labels": {"app.kubernetes.io/managed-by": "adutora", "app.kubernetes.io/component": "executor"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "driver", "uid": "1", "controller": True}],
    },
    "spec": {
        "serviceAccountName": "adutora-spark-executor",
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "executor",
                "image": "spark",
                "env": [
                    {"name": "A", "value": "a"},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                ],
            }
        ],
        "volumes": [{"name": "work", "emptyDir": {}}],
    },
}


@pytest.fixture(scope="module")
def driver(server: ApiServer) -> Iterator[Client]:
    """A driver, with the rights and under the policy of the chart."""
    built("helm")
    helm = binaries.path("helm")
    files = ("templates/spark/rbac.yaml", "templates/spark/admission.yaml")
    command = [
        helm, "template", "x", CHART, "--namespace=adutora", *(f"--show-only={each}" for each in files),
        "--set=global.adutora.namespaces={team}", "--kube-version=1.34.4",
    ]  # fmt: skip
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    server.kubectl("apply", "-f", "-", text=text)
    client = server.client(DRIVER)
    # A policy holds some moments after it was written.
    wait_for("the policy", lambda: _denied(client), 30)
    yield client
    client.close()
    server.kubectl("delete", "-f", "-", text=text)


def _denied(client: Client) -> bool:
    body = changed(lambda pod: pod["metadata"].update(name="probe", labels={}))
    status, _ = client.call("POST", PODS, body)
    client.call("DELETE", f"{PODS}/probe")
    time.sleep(0.1)
    return status == 403


def changed(change: Callable[[Pod], object]) -> Pod:
    pod = copy.deepcopy(EXECUTOR)
    change(pod)
    return pod


@pytest.fixture
def pods(admin: Client) -> Iterator[Client]:
    yield admin
    admin.call("DELETE", f"{PODS}?gracePeriodSeconds=0")


def test_it_makes_executors_and_takes_them_away(driver: Client, pods: Client) -> None:
    status, body = driver.call("POST", PODS, EXECUTOR)
    assert status == 201, body
    assert driver.call("GET", f"{PODS}?labelSelector=app.kubernetes.io/component=executor")[0] == 200
    assert driver.call("DELETE", f"{PODS}/exec-1?gracePeriodSeconds=0")[0] == 200
    assert driver.call("POST", PODS, EXECUTOR)[0] == 201
    selector = "labelSelector=app.kubernetes.io/component=executor&gracePeriodSeconds=0"
    assert driver.call("DELETE", f"{PODS}?{selector}")[0] == 200
    assert pods.call("GET", f"{PODS}/exec-1")[0] == 404


def volume(source: Pod) -> Callable[[Pod], object]:
    return lambda pod: pod["spec"]["volumes"].append({"name": "more", **source})


def variable(source: Pod) -> Callable[[Pod], object]:
    return lambda pod: pod["spec"]["containers"][0]["env"].append({"name": "B", "valueFrom": source})


TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token", "audience": "sts.amazonaws.com"}}]}}


def test_a_webhook_may_add_a_token_for_the_cloud(driver: Client, pods: Client) -> None:
    status, body = driver.call("POST", PODS, changed(volume(TOKEN)))
    assert status == 201, body


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda pod: pod["metadata"].update(labels={}), "and no other pod"),
        (lambda pod: pod["metadata"]["labels"].update({"app.kubernetes.io/component": "stage"}), "and no other pod"),
        (lambda pod: pod["metadata"].pop("ownerReferences"), "belongs to the pod of its driver"),
        (lambda pod: pod["spec"].update(serviceAccountName="default"), "runs as adutora-spark-executor"),
        (lambda pod: pod["spec"].update(automountServiceAccountToken=True), "without a token"),
        (lambda pod: pod["spec"].pop("automountServiceAccountToken"), "without a token"),
        (volume({"secret": {"secretName": "online"}}), "empty volumes alone"),
        (volume({"configMap": {"name": "some"}}), "empty volumes alone"),
        (volume({"hostPath": {"path": "/"}}), "empty volumes alone"),
        (volume({"persistentVolumeClaim": {"claimName": "data"}}), "empty volumes alone"),
        (volume({"projected": {"sources": [{"secret": {"name": "online"}}]}}), "empty volumes alone"),
        (variable({"secretKeyRef": {"name": "online", "key": "password"}}), "takes nothing from Secrets"),
        (lambda pod: pod["spec"]["containers"][0].update(envFrom=[{"secretRef": {"name": "online"}}]), "nothing from"),
        (
            lambda pod: pod["spec"].update(
                initContainers=[{"name": "i", "image": "x", "envFrom": [{"secretRef": {"name": "online"}}]}]
            ),
            "takes nothing from Secrets",
        ),
    ],
)
def test_what_would_have_the_namespaces_secrets_is_refused(
    driver: Client, pods: Client, change: Callable[[Pod], object], says: str
) -> None:
    status, body = driver.call("POST", PODS, changed(change))
    assert (status, says in body["message"]) == (403, True), body


def test_it_removes_no_pod_of_others(driver: Client, pods: Client) -> None:
    stage = changed(lambda pod: pod["metadata"].update(name="stage", labels={"app.kubernetes.io/component": "stage"}))
    assert pods.call("POST", PODS, stage)[0] == 201
    assert driver.call("DELETE", f"{PODS}/stage")[0] == 403
    driver.call("DELETE", PODS)
    assert pods.call("GET", f"{PODS}/stage")[0] == 200


def test_it_reads_no_secret_and_enters_no_pod(driver: Client) -> None:
    for path in ("secrets", "configmaps", "pods/driver/exec"):
        assert driver.call("GET", f"/api/v1/namespaces/team/{path}")[0] == 403, json.dumps(path)


def test_others_are_not_hindered(driver: Client, pods: Client) -> None:
    plain = changed(
        lambda pod: (pod["metadata"].update(name="own", labels={}), volume({"configMap": {"name": "a"}})(pod))
    )
    assert pods.call("POST", PODS, plain)[0] == 201
