"""Trouble, on the real node: each fault ends as it should, and nothing is lost."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import clusters
from tests.e2e.conftest import NAMESPACE, Platform, deployed, pipeline, sql
from tests.e2e.kubectl import Kubectl, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
# Busy for some seconds on one core, whatever the engine does to make it shorter.
BUSY = "SELECT count(*) AS n FROM range(60000000) AS a(i) WHERE md5(i::VARCHAR) < '1'"


def component(name: str) -> str:
    return f"app.kubernetes.io/component={name}"


def restart_of(part: str) -> None:
    """Restart a part of the node, and see that another process has taken its place."""
    node = clusters.find(os.environ.get("ADUTORA_CLUSTER", "adutora"))
    before = node.running(part)
    assert before, f"{part} does not run"
    subprocess.run(
        [sys.executable, "-m", "tests.cluster", "restart", part], cwd=Path(__file__).parents[2], check=True, timeout=240
    )
    wait_for(f"new process of {part}", lambda: node.running(part) not in (None, "", before), 60)


def pods(platform: Platform, name: str) -> list[dict[str, Any]]:
    return platform.kubectl.list("pods", f"adutora.dev/pipeline={name}")


def running_pod(platform: Platform, name: str) -> dict[str, Any]:
    """Wait for a pod of the pipeline that runs."""

    def probe() -> dict[str, Any] | None:
        return next((each for each in pods(platform, name) if each["status"].get("phase") == "Running"), None)

    return wait_for(f"running pod of {name}", probe, 120)


def tries(platform: Platform, dag: str, run: str, task: str) -> int:
    """How often a task was begun; 0 while Airflow does not know of it."""
    return int(platform.airflow.tasks(dag, run).get(task, {}).get("try_number") or 0)


@contextlib.contextmanager
def down(kubectl: Kubectl, statefulset: str) -> Iterator[None]:
    """Take a store away for a while."""
    kubectl.run("scale", "statefulset", statefulset, "--replicas=0")
    wait_for("its end", lambda: (kubectl.get("statefulset", statefulset) or {})["status"].get("replicas", 0) == 0, 60)
    try:
        yield
    finally:
        kubectl.run("scale", "statefulset", statefulset, "--replicas=1")
        kubectl.run("rollout", "status", "statefulset", statefulset, "--timeout=120s")


@pytest.mark.disruptive
def test_operator_killed_while_pipelines_arrive(platform: Platform, gone: list[str]) -> None:
    names = [f"killed-{index}" for index in range(12)]
    gone += names
    for index, name in enumerate(names):
        platform.apply(pipeline(name, sql("a", f"SELECT {index} AS n", f"bronze.killed_{index}")))
        if index % 4 == 1:
            platform.kubectl.run("delete", "pod", "-l", component("operator"), "--grace-period=0", "--force")
    for name in names:
        platform.ready(name)
        assert len(platform.kubectl.list("pipelinerevisions", f"adutora.dev/pipeline={name}")) == 1


@pytest.mark.disruptive
def test_api_server_and_kubelet_restarted_mid_run(platform: Platform, gone: list[str]) -> None:
    gone.append("restarts")
    dag = deployed(
        platform, "restarts", sql("busy", BUSY, "bronze.restarts"), defaults={"retries": 3, "retryDelay": "2s"}
    )
    run = platform.airflow.started(dag)
    running_pod(platform, "restarts")
    restart_of("kube-apiserver")
    restart_of("kubelet")
    assert platform.airflow.ended(dag, run, 300) == "success"
    assert len(platform.table("bronze.restarts")) == 2
    wait_for("the end of its pods", lambda: not pods(platform, "restarts"), 60)


@pytest.mark.disruptive
def test_scheduler_killed_mid_stage(platform: Platform, gone: list[str]) -> None:
    gone.append("scheduler-gone")
    dag = deployed(
        platform,
        "scheduler-gone",
        sql("busy", BUSY, "bronze.scheduler_gone"),
        defaults={"retries": 3, "retryDelay": "2s"},
    )
    run = platform.airflow.started(dag)
    running_pod(platform, "scheduler-gone")
    platform.kubectl.run("delete", "pod", "-l", "component=scheduler", "--grace-period=0", "--force")
    most = 0

    def ended() -> bool:
        nonlocal most
        alive = [
            each for each in pods(platform, "scheduler-gone") if each["status"].get("phase") in ("Pending", "Running")
        ]
        most = max(most, len(alive))
        return platform.airflow.get(f"/dags/{dag}/dagRuns/{run}")["state"] in ("success", "failed")

    wait_for("end of the run", ended, 600)
    assert platform.airflow.ended(dag, run) == "success"
    assert most <= 1, "two pods of one task at once"
    assert len(platform.table("bronze.scheduler_gone")) == 2


@pytest.mark.disruptive
@pytest.mark.parametrize(("store", "task"), [("redis", "publish"), ("s3", "a"), ("postgresql", None)])
def test_a_store_down_for_a_while(platform: Platform, gone: list[str], store: str, task: str | None) -> None:
    name = f"{store}-down"
    gone.append(name)
    table = f"gold.{store}_down"
    dag = deployed(
        platform,
        name,
        sql("a", "SELECT 'x' AS k, 1 AS n", table),
        {"name": "publish", "input": {"table": table}, "publish": {"key": ["k"], "prefix": name}},
        defaults={"retries": 6, "retryDelay": "10s"},
    )
    wait_for("the DAG", lambda: platform.airflow.dag(dag), 60)
    if task is None:  # Airflow's own: nothing can be asked of it meanwhile
        run = platform.airflow.started(dag)
        with down(platform.kubectl, f"adutora-{store}"):
            time.sleep(60)
    else:
        with down(platform.kubectl, f"adutora-{store}"):
            run = platform.airflow.started(dag)
            # The outage lasts until a try has failed of it: clients try again by themselves, for how long is theirs.
            wait_for(f"second try of {task}", lambda: tries(platform, dag, run, task) > 1, 400)
    assert platform.airflow.ended(dag, run, 600) == "success"


def test_out_of_memory_is_tried_with_more(platform: Platform, gone: list[str]) -> None:
    gone.append("hungry")
    dag = deployed(
        platform,
        "hungry",
        {
            "name": "eat",
            "container": {
                "image": "adutora/stages:dev",
                "command": ["python", "-c", "x = bytearray(300 << 20); x[:] = b'1' * len(x)"],
            },
            "resources": {"memory": "128Mi", "maxMemory": "1Gi", "cpu": "100m"},
        },
        defaults={"retries": 0},
    )
    run = platform.airflow.succeed(dag)
    assert "want of memory" in platform.airflow.log(dag, run, "eat")


def test_an_evicted_pod_is_made_again(platform: Platform, gone: list[str]) -> None:
    gone.append("evicted")
    dag = deployed(platform, "evicted", sql("busy", BUSY, "bronze.evicted"), defaults={"retries": 0})
    run = platform.airflow.started(dag)
    pod = running_pod(platform, "evicted")["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    platform.kubectl.run(
        "create",
        "--raw",
        f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction",
        "-f",
        "-",
        given=str(eviction).replace("'", '"'),
    )
    assert platform.airflow.ended(dag, run, 300) == "success"
    assert "Another pod is made within this try" in platform.airflow.log(dag, run, "busy")


def test_a_long_wait_is_handed_to_the_triggerer(platform: Platform, gone: list[str]) -> None:
    gone.append("long")
    script = "import time\nprint('said at the start', flush=True)\ntime.sleep(75)\nprint('said at the end', flush=True)"
    dag = deployed(
        platform,
        "long",
        {"name": "wait", "container": {"image": "adutora/stages:dev", "command": ["python", "-c", script]},
         "resources": {"cpu": "50m"}},
        defaults={"retries": 0},
    )  # fmt: skip
    run = platform.airflow.started(dag)
    running_pod(platform, "long")
    wait_for("its first line", lambda: "said at the start" in platform.airflow.log(dag, run, "wait"), 30)
    assert platform.airflow.tasks(dag, run)["wait"]["state"] == "running"
    assert platform.airflow.ended(dag, run) == "success"
    log = platform.airflow.log(dag, run, "wait")
    assert "the triggerer waits for it" in log
    assert "said at the end" in log


def test_a_long_wait_ends_with_its_task_or_run(platform: Platform, gone: list[str]) -> None:
    """In the triggerer too: of a task that somebody marks, and of a run that takes too long, no pod is left."""
    names = ["marked", "too-long"]
    gone += names
    script = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); time.sleep(900)"
    stage = {
        "name": "wait", "resources": {"cpu": "50m"},
        "container": {"image": "adutora/stages:dev", "command": ["python", "-c", script]},
    }  # fmt: skip
    dags = [deployed(platform, names[0], stage), deployed(platform, names[1], stage, timeout="75s")]
    starts = [platform.airflow.started(dag) for dag in dags]
    task = [f"/dags/{dag}/dagRuns/{run}/taskInstances/wait" for dag, run in zip(dags, starts, strict=True)]
    wait_for("the triggerer", lambda: platform.airflow.get(task[0])["state"] == "deferred", 150)
    assert pods(platform, names[0])
    platform.airflow.request("PATCH", task[0], json={"new_state": "failed"}).raise_for_status()
    assert [platform.airflow.ended(dag, run, 150) for dag, run in zip(dags, starts, strict=True)] == ["failed"] * 2
    for name in names:
        wait_for(f"the end of the pod of {name}", lambda name=name: not pods(platform, name), 60)  # type: ignore[misc]


def test_an_image_that_is_not_there(platform: Platform, gone: list[str]) -> None:
    gone.append("no-image")
    dag = deployed(
        platform,
        "no-image",
        {"name": "a", "container": {"image": "adutora/none:1", "command": ["true"]}, "timeout": "40s"},
        defaults={"retries": 0},
    )
    run = platform.airflow.started(dag)
    assert platform.airflow.ended(dag, run, 300) == "failed"
    assert "adutora/none:1" in platform.airflow.log(dag, run, "a")
    wait_for("the end of its pod", lambda: not pods(platform, "no-image"), 60)


def test_a_revision_deleted_by_hand_comes_again(platform: Platform, gone: list[str]) -> None:
    gone.append("deleted-revision")
    dag = deployed(platform, "deleted-revision", sql("a", "SELECT 1 AS n", "bronze.deleted_revision"))
    before = platform.kubectl.get("pipelinerevision", "deleted-revision-1")
    platform.kubectl.delete("pipelinerevision", "deleted-revision-1")
    after = wait_for("the revision", lambda: platform.kubectl.get("pipelinerevision", "deleted-revision-1"), 60)
    assert before is not None
    assert after["spec"] == before["spec"]
    platform.airflow.succeed(dag)


@pytest.mark.disruptive
def test_two_operators_by_mistake(platform: Platform, gone: list[str]) -> None:
    [operator] = platform.kubectl.list("deployments", component("operator"))
    name = operator["metadata"]["name"]
    platform.kubectl.run("scale", "deployment", name, "--replicas=2")
    try:
        platform.kubectl.run("rollout", "status", "deployment", name, "--timeout=120s")
        gone.append("two-operators")
        deployed(platform, "two-operators", sql("a", "SELECT 1 AS n", "bronze.two_operators"))
        # Each has asked Airflow by then; before, the one may take back what the other knows already.
        time.sleep(30)
        versions = set()
        for _ in range(10):
            found = platform.kubectl.get("pipeline", "two-operators")
            versions.add(found["metadata"]["resourceVersion"] if found else None)
            time.sleep(1)
        assert len(versions) == 1, "they write against one another"
        assert len(platform.kubectl.list("pipelinerevisions", "adutora.dev/pipeline=two-operators")) == 1
    finally:
        platform.kubectl.run("scale", "deployment", name, "--replicas=1")


def test_a_pipeline_at_the_size_limit(platform: Platform, gone: list[str]) -> None:
    """200 KiB is less than what `kubectl apply` may note in an annotation, 256 KiB: the rule that refuses is ours."""
    gone += ["large", "too-large"]

    def stages(name: str, count: int) -> list[dict[str, Any]]:
        comment = "-- " + "x" * 10_000
        return [sql(f"s-{n}", f"{comment}\nSELECT {n} AS n", f"bronze.{name}_{n}") for n in range(count)]

    platform.apply(pipeline("large", *stages("large", 20)))
    platform.ready("large")
    wait_for("its DAG", lambda: platform.airflow.dag(f"{NAMESPACE}.large"), 60)
    platform.apply(pipeline("too-large", *stages("too", 21)))
    condition = wait_for("its refusal", lambda: platform.kubectl.condition("too-large", "Accepted"), 60)
    assert (condition["status"], condition["reason"]) == ("False", "TooLarge")
    assert "200 KiB" in condition["message"]
    assert not platform.kubectl.list("pipelinerevisions", "adutora.dev/pipeline=too-large")
