"""People are told of a run's end on a cluster: by a pod that holds the secret, through the NetworkPolicies."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql
from tests.e2e.kubectl import wait_for

pytestmark = pytest.mark.cluster
NAME, PORT = "e2e-hook", 8000
PROGRAM = f"""
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("", {PORT}), Hook).serve_forever()
"""
LABELS = {"app": NAME}
CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
RECEIVER = {
    "apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": LABELS},
    "spec": {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {"name": "hook", "image": "adutora/stages:dev", "imagePullPolicy": "IfNotPresent", "securityContext": CONFINED,
             "command": ["python", "-c", PROGRAM], "readinessProbe": {"tcpSocket": {"port": PORT}}}
        ],
    },
}  # fmt: skip
SERVICE = {
    "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
    "spec": {"selector": LABELS, "ports": [{"port": PORT}]},
}  # fmt: skip
# Stages reach the platform's stores and nothing else; an installation names where its hooks are (stageEgress).
EGRESS = {
    "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": NAME},
    "spec": {
        "podSelector": {"matchLabels": {"app.kubernetes.io/component": "stage"}}, "policyTypes": ["Egress"],
        "egress": [{"to": [{"podSelector": {"matchLabels": LABELS}}], "ports": [{"port": PORT}]}],
    },
}  # fmt: skip
SECRET = {
    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME},
    "stringData": {"url": f"http://{NAME}.{NAMESPACE}:{PORT}/s3cret-path"},
}  # fmt: skip
CONNECTION = {"name": NAME, "webhook": {}, "secretRef": {"name": NAME}}


@pytest.fixture
def hook(platform: Platform) -> Iterator[str]:
    """A receiver in the cluster, and a connection of the Project to it; the name of that connection."""
    kubectl = platform.kubectl
    place = len((kubectl.get("project", "default") or {})["spec"]["connections"])
    kubectl.apply(RECEIVER, SERVICE, EGRESS, SECRET)
    patch = [{"op": "add", "path": f"/spec/connections/{place}", "value": CONNECTION}]
    kubectl.run("patch", "project", "default", "--type", "json", "-p", json.dumps(patch))
    kubectl.run("wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=90s")
    yield NAME
    kubectl.delete("pipeline", "notified")
    undo = [{"op": "remove", "path": f"/spec/connections/{place}"}]
    kubectl.run("patch", "project", "default", "--type", "json", "-p", json.dumps(undo))
    for kind in ("pod", "service", "networkpolicy", "secret"):
        kubectl.delete(kind, NAME)


def told(platform: Platform) -> list[dict[str, Any]]:
    return [json.loads(line) for line in platform.kubectl.run("logs", NAME).splitlines() if line.startswith("{")]


def test_the_end_of_a_run_is_told(platform: Platform, hook: str) -> None:
    stage = sql("a", "SELECT CASE WHEN $(params.bad) THEN error('rows are odd') END AS n", "bronze.notified")
    route = {"events": ["failure", "recovery"], "connection": hook}
    params = [{"name": "bad", "type": "boolean", "default": False}]
    platform.apply(pipeline("notified", stage, params=params, notify=[route], defaults={"retries": 0}))
    platform.ready("notified")
    dag = f"{NAMESPACE}.notified"
    run = platform.airflow.started(dag, bad=True)
    assert platform.airflow.ended(dag, run) == "failed"
    (failure,) = wait_for("the failure", lambda: told(platform), 60)
    assert (failure["event"], failure["pipeline"], failure["run"]) == ("failure", dag, run)
    assert failure["failed"][0]["stage"] == "a"
    assert "rows are odd" in failure["failed"][0]["error"]
    platform.airflow.succeed(dag)
    assert [each["event"] for each in wait_for("the recovery", lambda: told(platform)[1:], 60)] == ["recovery"]
    log = platform.airflow.log(dag, run, "_notify")
    assert "told e2e-hook" in log
    assert "s3cret-path" not in log
    wait_for("no pod", lambda: not platform.kubectl.list("pods", "adutora.dev/stage=notify"), 60)
    # A hook that has gone: the run succeeds, and the task says why nobody was told.
    platform.kubectl.delete("pod", NAME)
    run = platform.airflow.started(dag, bad=True)
    assert platform.airflow.ended(dag, run) == "failed"
    assert platform.airflow.tasks(dag, run)["_notify"]["state"] == "failed"
    assert "was not told of the failure" in platform.airflow.log(dag, run, "_notify")


def test_a_files_trigger_rests_where_nothing_is_new(platform: Platform) -> None:
    """The first run of the listing goes on or not by the ledger alone; a run by hand always does."""
    name = "watching"
    land = {
        "name": "land",
        "ingest": {"files": {"path": "in/*.csv", "read": "new"}},
        "output": {"table": "bronze.watching", "mode": "append"},
    }
    platform.apply(pipeline(name, land, triggers=[{"files": {"stage": "land", "listEvery": "1m"}}]))
    try:
        platform.ready(name)
        dag = f"{NAMESPACE}.{name}"

        def listed() -> dict[str, Any] | None:
            runs = platform.airflow.get(f"/dags/{dag}/dagRuns", run_type="scheduled")["dag_runs"]
            return next((each for each in runs if each["state"] == "success"), None)

        wait_for("the DAG", lambda: platform.airflow.dag(dag), 90)
        run = wait_for("a listing", listed, 180)["dag_run_id"]
        states = {task: one["state"] for task, one in platform.airflow.tasks(dag, run).items()}
        assert states == {"_files": "success", "land": "skipped"}
    finally:
        platform.kubectl.delete("pipeline", name)
