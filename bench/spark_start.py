"""How long a stage on Spark takes from its pod to its first Spark job, against a bare `spark-submit` in the same pod.

The stage is `SELECT 1` with `engine: spark`, whose first job writes its result. The peer is the pod that Airflow made
for it, spec untouched but for its command: `spark-submit` of a file of five lines that writes the same, with the Spark
properties that the stage ran with, as its event log tells them. Both begin when the pod is made, and the first job is
when the event log says; they take turns. So what is measured is what our process does before, and around, Spark's own.

    .venv-platform/bin/python -m bench.spark_start [--tries 3]
"""

import argparse
import json
import statistics
import sys
import time
from typing import Any

import pyarrow as pa
from pyarrow.fs import FileSelector, FileType, S3FileSystem

from bench.cluster import NAMESPACE, Json, Platform, connected, deploy, pipeline, wait_for
from bench.common import machine, verdict
from tests.e2e.conftest import secret

NAME, STAGE = "bench-spark-start", "one"
DAG = f"{NAMESPACE}.{NAME}"
GOAL = 1.15
SCRIPT = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
spark.sql("SELECT 1 AS n").write.mode("overwrite").parquet("{target}")
spark.stop()
"""
# Of one run, or told by spark-submit itself.
_OWN = ("spark.app.id", "spark.app.startTime", "spark.app.submitTime", "spark.submit.", "spark.executor.id",
        "spark.driver.host", "spark.driver.bindAddress", "spark.kubernetes.driver.pod.name", "spark.repl.",
        "spark.kubernetes.executor.podNamePrefix", "spark.driver.extraJavaOptions",
        "spark.kubernetes.executor.podTemplateFile", "spark.local.dir", "spark.sql.warehouse.dir")  # fmt: skip
# Set by the API server or the scheduler, not by whoever makes a pod.
_GIVEN = ("nodeName", "preemptionPolicy", "priority")
_BARE = """
import json, os
properties = json.loads(os.environ["BARE_PROPERTIES"])
open("/work/executor.json", "w").write(os.environ["ADUTORA_SPARK_EXECUTOR_TEMPLATE"])
properties |= {
    "spark.driver.host": os.environ["ADUTORA_POD_IP"], "spark.driver.bindAddress": os.environ["ADUTORA_POD_IP"],
    "spark.kubernetes.driver.pod.name": os.environ["ADUTORA_POD_NAME"],
    "spark.kubernetes.executor.podTemplateFile": "/work/executor.json", "spark.local.dir": "/work/spark",
}
open("/work/properties", "w").writelines(f"{name}={value}\\n" for name, value in properties.items())
open("/work/app.py", "w").write(os.environ["BARE_SCRIPT"])
os.execvp("spark-submit", ["spark-submit", "--properties-file", "/work/properties", "/work/app.py"])
"""


class Logs:
    """Event logs of Spark in the development lake."""

    def __init__(self, platform: Platform, port: int) -> None:
        keys = secret(platform.kubectl, "adutora-lake")
        self.keys = {"access_key": keys["accessKey"], "secret_key": keys["secretKey"]}
        self._files = S3FileSystem(
            endpoint_override=f"http://127.0.0.1:{port}", region="us-east-1", allow_bucket_creation=False, **self.keys
        )
        project = platform.kubectl.get("project", "default") or {}
        self.root = project["spec"]["lake"]["root"].removeprefix("s3://")
        self._seen = self._applications()

    def _applications(self) -> set[str]:
        found = self._files.get_file_info(FileSelector(f"{self.root}/_spark-events", allow_not_found=True))
        return {each.path for each in found if each.type == FileType.Directory}

    def newest(self) -> list[Json]:
        """Return the events of the one application that was not there before."""

        def probe() -> str | None:
            return next(iter(self._applications() - self._seen), None)

        folder = wait_for("event log", probe, 60)
        self._seen.add(folder)
        files = [each.path for each in self._files.get_file_info(FileSelector(folder)) if "/events_" in each.path]
        events: list[Json] = []
        for path in sorted(files):
            with self._files.open_input_stream(path, compression=None) as raw:
                stream = pa.CompressedInputStream(raw, "zstd") if path.endswith(".zstd") else raw
                events += [json.loads(line) for line in stream.read().splitlines()]
        return events


def first_job(events: list[Json]) -> float:
    """When the first job began, in seconds since the epoch."""
    return min(float(each["Submission Time"]) for each in events if each["Event"] == "SparkListenerJobStart") / 1000


def properties(events: list[Json], logs: Logs) -> dict[str, str]:
    """Spark properties of a run, without those of the run itself; what Spark hides in its log put back."""
    (told,) = [each for each in events if each["Event"] == "SparkListenerEnvironmentUpdate"]
    found = {name: value for name, value in told["Spark Properties"].items() if not name.startswith(_OWN)}
    hidden = {
        "access.key": logs.keys["access_key"], "secret.key": logs.keys["secret_key"],
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    }  # fmt: skip
    found |= {f"spark.hadoop.fs.s3a.{name}": value for name, value in hidden.items()}
    return {name: value for name, value in found.items() if "(redacted)" not in value}


class Pods:
    """When pods were made: asked by their names, for a watch would see them too."""

    def __init__(self, platform: Platform) -> None:
        self._core = platform.core()

    def find(self) -> Json:
        """Wait for the stage's pod; returns it, with when it was first seen."""

        def probe() -> Json | None:
            found = self._core.list_namespaced_pod(
                NAMESPACE, label_selector=f"adutora.dev/pipeline={NAME},app.kubernetes.io/component=stage",
                _preload_content=False,
            )  # fmt: skip
            items: list[Json] = json.loads(found.data)["items"]
            return items[0] if items else None

        return wait_for("pod of the stage", probe, 120, every=0.05)

    def run(self, pod: Json) -> float:
        """Make a pod, and wait for its end. Returns when it was made."""
        name = pod["metadata"]["name"]
        made = time.time()
        self._core.create_namespaced_pod(NAMESPACE, pod)
        try:
            phase = wait_for(f"end of {name}", lambda: self._ended(name), 300)
            if phase != "Succeeded":
                text = self._core.read_namespaced_pod_log(name, NAMESPACE, _preload_content=False).data.decode()
                sys.exit(f"{name}: {phase}\n{text[-3000:]}")
        finally:
            self._core.delete_namespaced_pod(name, NAMESPACE)
        return made

    def _ended(self, name: str) -> str | None:
        phase = str(self._core.read_namespaced_pod(name, NAMESPACE).status.phase)
        return phase if phase in ("Succeeded", "Failed") else None


def product(platform: Platform, pods: Pods, logs: Logs) -> tuple[float, Json, list[Json]]:
    """Run the stage. Returns its seconds to the first job, its pod, and its events."""
    run = platform.airflow.started(DAG)
    pod = pods.find()
    made = time.time()
    state = platform.airflow.ended(DAG, run)
    if state != "success":
        sys.exit(f"the stage ended as {state}:\n{platform.airflow.log(DAG, run, STAGE)}")
    events = logs.newest()
    return first_job(events) - made, pod, events


def bare(pods: Pods, logs: Logs, pod: Json, told: dict[str, str]) -> float:
    """Run `spark-submit` in such a pod. Returns its seconds to the first job."""
    spec: Json = {key: value for key, value in pod["spec"].items() if key not in _GIVEN}
    (container,) = spec["containers"]
    script = SCRIPT.format(target=f"s3a://{logs.root}/_staging/bench-bare")
    more = {"BARE_PROPERTIES": json.dumps(told), "BARE_SCRIPT": script}
    env: list[Any] = [*container["env"], *({"name": name, "value": value} for name, value in more.items())]
    spec["containers"] = [{**container, "command": ["python", "-P", "-c", _BARE], "env": env}]
    labels = {k: v for k, v in pod["metadata"]["labels"].items() if k not in ("adutora.dev/task", "adutora.dev/try")}
    meta = {"name": f"bare-{pod['metadata']['name']}"[:63], "labels": {**labels, "adutora.dev/pipeline": "bench-bare"}}
    made = pods.run({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    return first_job(logs.newest()) - made


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.spark_start")
    parser.add_argument("--tries", type=int, default=3, help="how often each side runs (default: 3)")
    tries = parser.parse_args().tries
    print(machine())
    with connected() as platform, platform.kubectl.forward("svc/adutora-s3", 7070) as port:
        stage = {
            "name": STAGE, "sql": {"query": "SELECT 1 AS n", "engine": "spark"},
            "output": {"table": "bronze.bench_spark"}, "resources": {"cpu": "500m", "memory": "1Gi"},
        }  # fmt: skip
        deploy(platform, pipeline(NAME, stage))
        logs, pods = Logs(platform, port), Pods(platform)
        ours, theirs = [], []
        for number in range(tries):
            seconds, pod, events = product(platform, pods, logs)
            ours.append(seconds)
            theirs.append(bare(pods, logs, pod, properties(events, logs)))
            print(f"  {number + 1}: stage {ours[-1]:.1f} s, bare spark-submit {theirs[-1]:.1f} s", flush=True)
    return verdict_of(ours, theirs)


def verdict_of(ours: list[float], theirs: list[float]) -> int:
    """Print medians and their ratio."""
    stage, submit = statistics.median(ours), statistics.median(theirs)
    print(f"medians: stage {stage:.1f} s, bare spark-submit {submit:.1f} s")
    return 0 if verdict("spark-start", stage / submit, GOAL, at_most=True) else 1


if __name__ == "__main__":
    sys.exit(main())
