"""A chain of four trivial stages through Airflow, against the same four pods made one after the other by hand.

The stages print a line each, in an image that the node has. A run counts from its start to its end, as Airflow has
them; the log lines must be in Airflow's logs. The peer takes the pods that the chain made, specs untouched, and makes
them in turn: create, watch until the end, read the log, delete. Both take turns, so that the machine's noise meets
both. Where the time of a stage goes is told by Airflow's task instances and by a watch on the pods:

    queue    the stage before has ended (the run has started) until the task is queued
    start    until its process has begun: the executor's queue, fork
    pod      until the pod is made: Airflow's task context, parsing, one call
    begin    until the container runs: Kubernetes' scheduler, kubelet, containerd
    run      until the watch tells of its end
    finish   until the task has ended: last log lines, deletion, result

    .venv-platform/bin/python -m bench.chain [--tries 3] [--stages 4]
"""

import argparse
import contextlib
import datetime as dt
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from bench.cluster import NAMESPACE, Json, Platform, connected, deploy, pipeline, wait_for
from bench.common import machine, verdict

NAME = "bench-chain"
DAG = f"{NAMESPACE}.{NAME}"
LABELS = f"adutora.dev/pipeline={NAME}"
LINE = "a line of stage"
PARTS = ("queue", "start", "pod", "begin", "run", "finish")
# Set by the API server or the scheduler, not by whoever makes a pod.
_GIVEN = ("nodeName", "preemptionPolicy", "priority")


@dataclass
class Seen:
    """What the watch saw of a pod: its object as made, and when (epoch seconds) it was made, ran and ended."""

    pod: Json
    made: float
    ran: float = 0.0
    ended: float = 0.0


@dataclass
class Watched:
    """The pods of the chain, by stage, from a watch in a thread of its own."""

    core: CoreV1Api
    pods: dict[str, Seen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._watch = Watch()
        self._version = self.core.list_namespaced_pod(NAMESPACE, label_selector=LABELS).metadata.resource_version
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        options: Json = {"label_selector": LABELS, "resource_version": self._version}
        with contextlib.suppress(HTTPError):  # that is how it ends when it is stopped
            for event in self._watch.stream(self.core.list_namespaced_pod, NAMESPACE, **options):
                if event is not None:  # an empty line
                    self._take(event["raw_object"], time.time())

    def _take(self, pod: Json, now: float) -> None:
        seen = self.pods.setdefault(pod["metadata"]["labels"]["adutora.dev/stage"], Seen(pod, now))
        state = container(pod)
        if not seen.ran and ("running" in state or "terminated" in state):
            seen.ran = now
        if not seen.ended and "terminated" in state:
            seen.ended = now

    def stop(self) -> None:
        self._watch.stop()
        self._thread.join(1)


def container(pod: Json) -> Json:
    """The state of the only container; empty before there is one."""
    statuses = pod.get("status", {}).get("containerStatuses") or [{}]
    return statuses[0].get("state") or {}


def stages(count: int) -> list[Json]:
    """A chain of stages that each print a line."""
    return [
        {
            "name": f"s{number}",
            "container": {
                "image": "adutora/stages:dev",
                "command": ["python3", "-c", f"print('{LINE} {number}')"],
            },
            "resources": {"cpu": "100m", "memory": "128Mi"},
            **({"dependsOn": [f"s{number - 1}"]} if number else {}),
        }
        for number in range(count)
    ]  # fmt: skip


def moment(text: str) -> float:
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def product(platform: Platform, count: int) -> tuple[float, list[list[float]], list[Json]]:
    """Run the chain. Returns its seconds, the parts of each stage's time, and the pods as they were made."""
    watched = Watched(platform.core())
    try:
        asked = time.time()
        run = platform.airflow.started(DAG)
        state = platform.airflow.ended(DAG, run)
        if state != "success":
            sys.exit(f"the chain ended as {state}")
        tasks = platform.airflow.tasks(DAG, run)
        for number in range(count):
            if f"{LINE} {number}" not in platform.airflow.log(DAG, run, f"s{number}"):
                sys.exit(f"the line of stage s{number} is not in Airflow's log")
    finally:
        watched.stop()
    if any(f"s{number}" not in watched.pods or not watched.pods[f"s{number}"].ended for number in range(count)):
        sys.exit("the watch on the pods broke off, or a pod was evicted: run it again")
    found = platform.airflow.get(f"/dags/{DAG}/dagRuns/{run}")
    begun, ended = moment(found["start_date"]), moment(found["end_date"])
    parts, before = [], begun
    for number in range(count):
        task, pod = tasks[f"s{number}"], watched.pods[f"s{number}"]
        last = moment(task["end_date"])
        marks = [before, moment(task["queued_when"]), moment(task["start_date"]), pod.made, pod.ran, pod.ended, last]
        parts.append([later - earlier for earlier, later in pairwise(marks)])
        before = last
    print(
        f"  airflow: {ended - begun:.2f} s; {begun - asked:.2f} s from asking for it to its start, "
        f"{ended - before:.2f} s from its last task's end to its own",
        flush=True,
    )
    return ended - begun, parts, [watched.pods[f"s{number}"].pod for number in range(count)]


def again(pod: Json) -> Json:
    """Return a pod as it was made by whoever made it; the labels that tell tasks apart are left out."""
    meta = pod["metadata"]
    labels = {k: v for k, v in meta["labels"].items() if k not in ("adutora.dev/task", "adutora.dev/try")}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"bare-{meta['name']}", "labels": {**labels, "adutora.dev/pipeline": "bench-bare"}},
        "spec": {key: value for key, value in pod["spec"].items() if key not in _GIVEN},
    }


def bare(core: CoreV1Api, pods: list[Json]) -> tuple[float, list[list[float]]]:
    """Run the pods in turn. Returns seconds, and for each the seconds until it ran, ended, and was deleted."""
    begun, parts = time.monotonic(), []
    for number, pod in enumerate(pods):
        marks = [time.monotonic(), *_bare(core, again(pod), f"{LINE} {number}"), time.monotonic()]
        parts.append([later - earlier for earlier, later in pairwise(marks)])
    return time.monotonic() - begun, parts


def _bare(core: CoreV1Api, pod: Json, line: str) -> tuple[float, float]:
    """Run one pod to its end. Returns when it ran and when it ended. Raises SystemExit where it fails."""
    name = pod["metadata"]["name"]
    made = core.create_namespaced_pod(NAMESPACE, pod)
    options: Json = {"field_selector": f"metadata.name={name}", "resource_version": made.metadata.resource_version}
    ran, watch = 0.0, Watch()
    for event in watch.stream(core.list_namespaced_pod, NAMESPACE, timeout_seconds=300, **options):
        state = container(event["raw_object"]) if event else {}
        ran = ran or (time.monotonic() if state.keys() & {"running", "terminated"} else 0.0)
        if "terminated" in state:
            watch.stop()
            break
    ended = time.monotonic()
    log = core.read_namespaced_pod_log(name, NAMESPACE)
    core.delete_namespaced_pod(name, NAMESPACE)
    if line not in log:
        sys.exit(f"the bare pod {name} left this log: {log!r}")
    return ran, ended


def gone(core: CoreV1Api) -> None:
    """Wait until no pod of either side is left."""
    wait_for("end of the pods", lambda: not core.list_namespaced_pod(
        NAMESPACE, label_selector=f"adutora.dev/pipeline in ({NAME}, bench-bare)").items, 90)  # fmt: skip


def averages(tries: list[list[list[float]]]) -> list[float]:
    """The mean of each part, over all tries and stages: so they add up."""
    every: list[list[float]] = [stage for one in tries for stage in one]
    return [statistics.fmean(column) for column in zip(*every, strict=True)]


def compare(platform: Platform, count: int, tries: int) -> float:
    """Run both sides in turn. Returns the ratio of their medians."""
    core = platform.core()
    mine: list[float] = []
    others: list[float] = []
    parts: list[Any] = []
    peers: list[Any] = []
    for number in range(tries + 1):
        gone(core)
        seconds, where, pods = product(platform, count)
        gone(core)
        plain, there = bare(core, pods)
        print(f"  bare:    {plain:.2f} s{'' if number else '; a warm-up, which does not count'}", flush=True)
        if number:
            mine, others = [*mine, seconds], [*others, plain]
            parts, peers = [*parts, where], [*peers, there]
    told = ", ".join(f"{name} {value:.2f}" for name, value in zip(PARTS, averages(parts), strict=True))
    print(f"airflow, median: {statistics.median(mine):.2f} s; of a stage's seconds, on average: {told}", flush=True)
    told = ", ".join(f"{n} {v:.2f}" for n, v in zip(("begin", "run", "finish"), averages(peers), strict=True))
    print(f"bare, median: {statistics.median(others):.2f} s; of a pod's seconds, on average: {told}", flush=True)
    return statistics.median(mine) / statistics.median(others)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--tries", type=int, default=3, help="runs of each side after a warm-up; the medians count")
    args = parser.parse_args()
    print(machine(), flush=True)
    with connected() as platform:
        deploy(platform, pipeline(NAME, *stages(args.stages)))
        # Airflow remembers a DAG of this name that went with an earlier benchmark: it is stale then.
        wait_for(f"DAG {DAG}", lambda: (platform.airflow.dag(DAG) or {}).get("is_stale") is False, 120)
        try:
            ratio = compare(platform, args.stages, args.tries)
        finally:
            with contextlib.suppress(ApiException):
                platform.core().delete_collection_namespaced_pod(
                    NAMESPACE, label_selector="adutora.dev/pipeline=bench-bare"
                )
    return 0 if verdict("chain", ratio, 1.5, at_most=True) else 1


if __name__ == "__main__":
    sys.exit(main())
