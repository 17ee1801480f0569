"""Thousands of Pipelines on a real API server: the operator against a kopf handler that does next to nothing.

Both start with the same CRs in place, none of them handled. The product validates, compiles, writes a revision and
the status of each; the peer writes one annotation (and kopf its own). Time runs from the start of the process until
a watch has seen the last one done; memory is the peak of the process. API server and etcd share the machine.

    python -m bench.operator [--pipelines 5000] [--idle 20]
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from bench.common import ROOT, proportional, tree
from tests.apiserver.server import GROUP, PROGRAMS, ApiServer, free_port, token, wait_for
from tests.cluster import binaries

Json = dict[str, Any]
EXAMPLE = ROOT / "examples" / "02-city-features" / "pipeline.yaml"
NAMESPACE = "bench"


@dataclass
class Result:
    """Seconds until all were done, peak memory in bytes, CPU seconds, and idle CPU as a share of one core."""

    seconds: float
    peak: int
    cpu: float
    idle: float


def body(number: int) -> Json:
    """The example, with tables and prefix of its own."""
    text = EXAMPLE.read_text().replace("gold.", f"gold.n{number}_").replace("prefix: ", f"prefix: n{number}-")
    value: Json = yaml.load(text, yaml.CSafeLoader)
    value["metadata"] = {"name": f"p{number}", "namespace": NAMESPACE}
    return value


def fill(server: ApiServer, count: int) -> None:
    """Create the Pipelines anew."""
    admin = server.client()
    for plural in ("pipelinerevisions", "pipelines"):
        admin.call("DELETE", f"{GROUP}/namespaces/{NAMESPACE}/{plural}")
        wait_for("deletion", lambda plural=plural: not admin.list(plural, NAMESPACE), 120, 1)
    for number in range(count):
        status, answer = admin.create(body(number))
        if status != 201:
            sys.exit(f"Pipeline {number}: {answer}")
    admin.close()


def cpu(pid: int) -> float:
    """CPU seconds that a process used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def events(server: ApiServer, version: str) -> Iterator[Json]:
    """Watch the Pipelines until the API server ends it."""
    url = f"{server.url}{GROUP}/namespaces/{NAMESPACE}/pipelines?watch=true&resourceVersion={version}"
    headers = {"Authorization": f"Bearer {token('admin')}"}
    context = ssl.create_default_context(cafile=server.ca)
    with httpx.stream("GET", url, headers=headers, verify=context, timeout=None) as stream:
        for line in stream.iter_lines():
            yield json.loads(line)


def watch(server: ApiServer, done: Callable[[Json], bool], count: int, ended: threading.Event) -> threading.Thread:
    """Set `ended` when `count` Pipelines are done."""
    admin = server.client()
    version = admin.call("GET", f"{GROUP}/namespaces/{NAMESPACE}/pipelines?limit=1")[1]["metadata"]["resourceVersion"]
    admin.close()

    def run() -> None:
        seen: set[str] = set()
        last = version
        while len(seen) < count:  # the API server ends a watch that reads too slowly
            for event in events(server, last):
                last = event["object"]["metadata"]["resourceVersion"]
                if event["type"] == "MODIFIED" and done(event["object"]):
                    seen.add(event["object"]["metadata"]["name"])
                if len(seen) == count:
                    break
        ended.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def measure(server: ApiServer, command: list[str], done: Callable[[Json], bool], count: int, idle: float) -> Result:
    fill(server, count)
    ended = threading.Event()
    thread = watch(server, done, count, ended)
    env = {
        "PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'operators'}",
        "KUBECONFIG": str(server.kubeconfig("admin")), "ADUTORA_NAMESPACES": NAMESPACE,
        "ADUTORA_HEALTH_PORT": str(free_port()), "ADUTORA_METRICS_PORT": str(free_port()),
    }  # fmt: skip
    with (server.folder / "bench.log").open("ab") as log:
        begun = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        peak = 0
        while not ended.wait(0.2):
            peak = max(peak, sum(map(proportional, tree(process.pid))))
            if process.poll() is not None or time.perf_counter() - begun > 900:
                sys.exit(f"{' '.join(command)}: not done; see {server.folder}/bench.log")
        seconds, used = time.perf_counter() - begun, cpu(process.pid)
        time.sleep(10)  # its queues run empty
        before = cpu(process.pid)
        time.sleep(idle)
        resting = (cpu(process.pid) - before) / idle
        process.kill()
        process.wait()
    thread.join(5)
    return Result(seconds, peak, used, resting)


def annotated(value: Json) -> bool:
    return "bench.adutora.dev/seen" in value["metadata"].get("annotations", {})


def rendered(value: Json) -> bool:
    conditions = (value.get("status") or {}).get("conditions", [])
    return any(each["type"] == "Rendered" and each["status"] == "True" for each in conditions)


def report(name: str, result: Result, count: int) -> None:
    print(
        f"{name}: {result.seconds:.1f} s for {count:,} Pipelines, {count / result.seconds:,.0f} a second; "
        f"peak {result.peak / 1e6:.0f} MB; {result.cpu:.1f} s of CPU; idle {result.idle:.1%} of a core"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipelines", type=int, default=5000)
    parser.add_argument("--idle", type=float, default=20)
    args = parser.parse_args()
    binaries.build(list(PROGRAMS))
    with tempfile.TemporaryDirectory() as folder:
        server = ApiServer.start(Path(folder))
        try:
            server.apply_files(sorted((ROOT / "charts" / "adutora" / "files" / "crds").glob("*.yaml")))
            server.kubectl("create", "namespace", NAMESPACE)
            kopf = [
                sys.executable,
                "-m",
                "kopf",
                "run",
                "--standalone",
                "-n",
                NAMESPACE,
                str(ROOT / "bench" / "noop_operator.py"),
            ]
            peer = measure(server, kopf, annotated, args.pipelines, args.idle)
            report("kopf, no-op", peer, args.pipelines)
            product = measure(
                server, [sys.executable, "-P", "-m", "adutora_operator"], rendered, args.pipelines, args.idle
            )
            report("adutora", product, args.pipelines)
        finally:
            server.close()
    rate, memory = peer.seconds / product.seconds, product.peak / peer.peak
    lines = [
        f"operator-rate ratio={rate:.2f} goal=0.5 {'ok' if rate >= 0.5 else 'short'}",
        f"operator-memory ratio={memory:.2f} goal=2 {'ok' if memory <= 2 else 'short'}",
    ]
    print(*lines, sep="\n")
    return 0 if all(line.endswith("ok") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
