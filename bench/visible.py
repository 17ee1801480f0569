"""From `kubectl apply` to a DAG in Airflow's API, against the same DAG in a ConfigMap that is mounted into Airflow.

A sample starts when `kubectl apply` is started, and ends when GET /api/v2/dags/{id} is 200. Ours are taken on the
installed platform with 1, 100 and 1,000 Pipelines present, spread over the bundle's refresh interval.

The peer is an Airflow of its own with the same image and Airflow's defaults: it looks for new files every 300 s. Its
DAGs are keys of one ConfigMap; the kubelet's delay is part of the sample. The mount lies beside the DAG folder and is
copied into it every second, for mounted as the DAG folder itself its link `..data` crashes Airflow's dag-processor. It
is measured with a handful of DAGs, its best case, and that stands for all counts. As its samples take minutes they
overlap: the applies are spread over its refresh interval.

    .venv-platform/bin/python -m bench.visible [--counts 1,100,1000] [--applies 10] [--peer-applies 5]
"""

import argparse
import contextlib
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

import httpx

from bench.cluster import NAMESPACE, Json, Platform, connected, pipeline, remove, wait_for
from bench.common import machine, verdict
from tests.e2e.kubectl import Kubectl

STAGE = {"name": "a", "container": {"image": "adutora/stages:dev", "command": ["true"]}}
REFRESH = 5.0  # seconds between two looks of the platform's dag-processor at the side-car's folder
PEER_REFRESH = 300.0  # Airflow's default
PATIENCE, PEER_PATIENCE = 300.0, 900.0
PEER_NAMESPACE = "adutora-bench"
AIMS = {100: 5.0, 1000: 10.0}  # p95 in seconds
DAG = """\
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG

with DAG("{dag}", schedule=None, tags=["adutora"]):
    KubernetesPodOperator(task_id="a", name="a", namespace="adutora", image="adutora/stages:dev", cmds=["true"])
"""
AIRFLOW = """\
mkdir -p /opt/airflow/dags
airflow db migrate
airflow api-server &
while sleep 1; do cp -u /config/*.py /opt/airflow/dags/; done &
exec airflow dag-processor
"""
PEER: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "airflow"},
    "spec": {
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "airflow",
                "image": "adutora/airflow:dev",
                "command": ["bash", "-euc", AIRFLOW],
                "env": [
                    {"name": "AIRFLOW__CORE__LOAD_EXAMPLES", "value": "False"},
                    {"name": "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "value": "True"},
                ],
                "volumeMounts": [{"name": "dags", "mountPath": "/config"}],
            }
        ],
        "volumes": [{"name": "dags", "configMap": {"name": "dags"}}],
    },
}


def fill(platform: Platform, count: int) -> None:
    """Have `count` Pipelines present, all of them in Airflow."""
    pattern = "bench-fill-"
    names = [f"{pattern}{number}" for number in range(count)]
    begun = time.monotonic()
    for start in range(0, count, 100):
        text = "\n---\n".join(map(json.dumps, (pipeline(name, STAGE) for name in names[start : start + 100])))
        platform.kubectl.run("apply", "--server-side", "-f", "-", given=text, seconds=600)

    def all_there() -> bool:
        options = {"dag_id_pattern": f"{NAMESPACE}.{pattern}%", "limit": 1}
        return bool(platform.airflow.get("/dags", **options)["total_entries"] >= count)

    wait_for(f"{count} Pipelines in Airflow", all_there, 3600, every=2)
    print(f"{count:,} Pipelines present, after {time.monotonic() - begun:.0f} s", flush=True)
    time.sleep(2 * REFRESH)


def product(platform: Platform, applies: int) -> list[float]:
    """Return the seconds of each sample."""
    seconds = []
    for number in range(applies):
        time.sleep(REFRESH * number / applies)  # another moment of the refresh interval each time
        name = f"bench-visible-{uuid4().hex[:8]}"
        begun = time.monotonic()
        platform.kubectl.apply(pipeline(name, STAGE))
        wait_for(f"DAG of {name}", partial(platform.airflow.dag, f"{NAMESPACE}.{name}"), PATIENCE, every=0.1)
        seconds.append(time.monotonic() - begun)
    return seconds


@contextlib.contextmanager
def peer_airflow(platform: Platform) -> Iterator[tuple[Kubectl, httpx.Client]]:
    """An Airflow with its defaults and one DAG, in a namespace of its own."""
    kubectl = platform.kubectl.within(PEER_NAMESPACE)
    kubectl.delete("namespace", PEER_NAMESPACE, "--wait=true")
    kubectl.run("create", "namespace", PEER_NAMESPACE)
    try:
        kubectl.apply(config_map(["first"]), PEER)
        kubectl.run("wait", "pod/airflow", "--for=condition=Ready", "--timeout=120s", seconds=150)
        with kubectl.forward("pod/airflow", 8080) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            wait_for("first DAG of the peer", lambda: there(http, "first"), PEER_PATIENCE, every=1)
            yield kubectl, http
    finally:
        kubectl.delete("namespace", PEER_NAMESPACE, "--wait=false")


def config_map(names: list[str]) -> Json:
    data = {f"{name}.py": DAG.format(dag=f"bench.{name}") for name in names}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dags"}, "data": data}


def there(http: httpx.Client, name: str) -> bool:
    """Say whether the peer's Airflow shows a DAG."""
    try:
        return http.get(f"/api/v2/dags/bench.{name}", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def peer(kubectl: Kubectl, shows: Callable[[str], bool], applies: int) -> list[float]:
    """Return the seconds of each sample."""
    names, found = ["first"], dict[str, float]()
    due = [time.monotonic() + PEER_REFRESH * number / applies for number in range(applies)]
    applied: dict[str, float] = {}
    while len(found) < applies:
        if due and time.monotonic() >= due[0]:
            del due[0]
            names.append(f"visible-{len(names)}")
            applied[names[-1]] = time.monotonic()
            kubectl.apply(config_map(names))
        for name in applied.keys() - found.keys():
            if shows(name):
                found[name] = time.monotonic() - applied[name]
            elif time.monotonic() - applied[name] > PEER_PATIENCE:
                sys.exit(f"the peer did not show {name} within {PEER_PATIENCE:.0f} s")
        time.sleep(0.2)
    return [found[name] for name in sorted(found)]


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least a share of all do not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def told(name: str, seconds: list[float]) -> float:
    """Print a side's figures. Returns the median."""
    middle = statistics.median(seconds)
    print(
        f"{name}: p50 {middle:.2f} s, p95 {percentile(seconds, 0.95):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} "
        f"s, {len(seconds)} applies",
        flush=True,
    )
    return middle


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", default="1,100,1000", help="how many Pipelines are present, ascending")
    parser.add_argument("--applies", type=int, default=10, help="samples of ours at each count")
    parser.add_argument("--peer-applies", type=int, default=5)
    args = parser.parse_args()
    counts = sorted(int(count) for count in args.counts.split(","))
    print(machine(), flush=True)
    mine: dict[int, float] = {}
    with connected() as platform:
        for count in counts:
            fill(platform, count)
            seconds = product(platform, args.applies)
            mine[count] = told(f"adutora, {count:,} present", seconds)
            if count in AIMS:
                print(f"  the aim is a p95 of {AIMS[count]:g} s; it is {percentile(seconds, 0.95):.2f} s", flush=True)
        remove(platform)
        with peer_airflow(platform) as (kubectl, http):
            theirs = told("ConfigMap", peer(kubectl, partial(there, http), args.peer_applies))
    met = [verdict(f"visible-{count}", theirs / mine[count], 10) for count in counts]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
