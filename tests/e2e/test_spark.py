"""Stages on Spark, with executors on the real node: the rows of DuckDB, and what happens when pods go or never come."""

import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from deltalake import DeltaTable

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql
from tests.e2e.kubectl import KubectlError, wait_for
from tests.golden_tables import EXAMPLES, assert_golden, golden_of, same

pytestmark = pytest.mark.cluster
SMALL = {"cpu": "200m", "memory": "1Gi"}
ROWS = 6_000_000
# Some seconds of work and a shuffle, so that there is a middle to be killed in.
SHUFFLED = """
    SELECT count(*) AS n, sum(c) AS c FROM (
      SELECT substr(md5(md5(CAST(i AS VARCHAR))), 1, 4) AS k, count(*) AS c FROM {numbers} GROUP BY k
    )
"""
COUNT = "SELECT count(*) AS n FROM {numbers}"
COUNTED = [["n", "c"], [str(16**4), str(ROWS)]]


def pods(platform: Platform, name: str, component: str) -> list[dict[str, Any]]:
    found = platform.kubectl.list("pods", f"adutora.dev/pipeline={name},app.kubernetes.io/component={component}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def running(platform: Platform, name: str, component: str, seconds: float = 120) -> str:
    """Wait for a pod that runs; its name."""

    def probe() -> str | None:
        names = [
            pod["metadata"]["name"]
            for pod in pods(platform, name, component)
            if pod["status"].get("phase") == "Running"
        ]
        return names[0] if names else None

    return wait_for(f"running {component} of {name}", probe, seconds, every=0.3)


def no_pods(platform: Platform, name: str) -> None:
    wait_for(
        f"the end of all pods of {name}", lambda: not platform.kubectl.list("pods", f"adutora.dev/pipeline={name}"), 60
    )


def moved(table: str) -> str:
    """A table of its own: what DuckDB's run wrote is compared, not overwritten."""
    return re.sub(r"\b(bronze|silver|gold)\.(?=\w)", r"\1.spark_", table)


def on_spark(platform: Platform, example: str, folder: Path) -> str:
    """Deploy an example with `engine: spark` in each of its `sql` stages; returns the id of its DAG."""
    shutil.copytree(EXAMPLES / example, folder)
    given = yaml.safe_load(moved((folder / "pipeline.yaml").read_text()))
    name = given["metadata"]["name"] = f"spark-{given['metadata']['name']}"
    given["spec"].pop("triggers", None)
    for stage in given["spec"]["stages"]:
        if "sql" in stage:
            stage["sql"]["engine"] = "spark"  # the one word
            stage["resources"] = dict(SMALL)
        if "publish" in stage:
            stage["publish"]["prefix"] = f"spark-{stage['publish']['prefix']}"
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(given, allow_unicode=True))
    platform.push(str(folder))
    platform.apply(given)
    platform.ready(name)
    return f"{NAMESPACE}.{name}"


def is_golden(platform: Platform, example: str) -> None:
    assert_golden(example, {table: platform.table(moved(table)) for table in golden_of(example)})


def test_city_features_on_spark_are_those_of_duckdb(platform: Platform, gone: list[str], tmp_path: Path) -> None:
    dag = on_spark(platform, "02-city-features", tmp_path / "example")
    name = dag.partition(".")[2]
    gone.append(name)
    run = platform.airflow.started(dag, save_to_db=True)
    running(platform, name, "executor")
    assert platform.airflow.ended(dag, run) == "success"
    is_golden(platform, "02-city-features")
    names, *rows = golden_of("02-city-features")["gold.city_features"]
    for row in rows:
        city = dict(zip(names, row, strict=True))
        fields = platform.online.hgetall(f"spark-cidade:{city['cidade']}")
        assert fields["quantidade_empresas"] == city["quantidade_empresas"]
        assert same(fields["capital_social_total"], city["capital_social_total"])
    assert len(list(platform.online.scan_iter("spark-cidade:*"))) == len(rows)
    no_pods(platform, name)


def test_the_other_examples_on_spark_too(platform: Platform, gone: list[str], tmp_path: Path) -> None:
    runs = {}
    for example in ("01-first-table", "03-edges-from-data", "04-quality-and-replay", "05-incremental-merge"):
        dag = on_spark(platform, example, tmp_path / example)
        gone.append(dag.partition(".")[2])
        runs[example] = dag, platform.airflow.started(dag)
    for example, (dag, run) in runs.items():
        assert platform.airflow.ended(dag, run, 600) == "success", example
        is_golden(platform, example)


def numbers(platform: Platform, name: str, query: str, **more: Any) -> str:
    """A pipeline whose last stage runs on Spark, over a table of numbers, and writes a table of its own name."""
    table = f"bronze.{name.replace('-', '_')}"
    stage = {
        "name": "count", "inputs": [{"table": f"{table}_in"}], "output": {"table": table}, "resources": SMALL,
        "sql": {"query": query.format(numbers=f"{table}_in"), "engine": "spark", **more.pop("sql", {})}, **more,
    }  # fmt: skip
    first = sql("numbers", f"SELECT range AS i FROM range({ROWS})", f"{table}_in")
    platform.apply(pipeline(name, first, stage, defaults={"retries": 2, "retryDelay": "2s"}))
    platform.ready(name)
    return f"{NAMESPACE}.{name}"


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 4)"


def reaches(platform: Platform, pod: str, host: str, port: int) -> bool:
    """Whether a connection can be made from within a pod."""
    try:
        platform.kubectl.run("exec", pod, "--", "python", "-c", CONNECT, host, str(port))
    except KubectlError as error:
        if re.search("TimeoutError|ConnectionRefusedError|OSError", str(error)):
            return False
        raise
    return True


def test_an_executor_killed_in_the_middle_is_replaced(platform: Platform, gone: list[str]) -> None:
    """And what each may reach: an executor its driver, but not the API server; others not the driver."""
    gone.append("spark-lost")
    dag = numbers(platform, "spark-lost", SHUFFLED)
    run = platform.airflow.started(dag)
    first = running(platform, "spark-lost", "executor")
    (driver,) = pods(platform, "spark-lost", "stage")
    ways = [
        (first, driver["status"]["podIP"], 7078),
        (first, "kubernetes.default.svc", 443),
        ("deployment/airflow-api-server", driver["status"]["podIP"], 7078),
    ]
    with ThreadPoolExecutor() as pool:
        reached = list(pool.map(lambda way: reaches(platform, *way), ways))
    assert reached == [True, False, False]
    time.sleep(2)  # it has registered, and computes
    platform.kubectl.run("delete", "pod", first, "--grace-period=0", "--force")
    assert running(platform, "spark-lost", "executor") != first
    assert platform.airflow.ended(dag, run, 300) == "success"
    assert platform.airflow.tasks(dag, run)["count"]["try_number"] == 1
    assert platform.table("bronze.spark_lost") == COUNTED
    no_pods(platform, "spark-lost")


def test_a_driver_killed_is_run_again_and_commits_once(platform: Platform, gone: list[str]) -> None:
    gone.append("spark-driver")
    dag = numbers(platform, "spark-driver", SHUFFLED)
    run = platform.airflow.started(dag)
    orphan = running(platform, "spark-driver", "executor")
    driver = running(platform, "spark-driver", "stage")
    platform.kubectl.run("delete", "pod", driver, "--grace-period=0", "--force")
    wait_for("the end of its executor", lambda: platform.kubectl.get("pod", orphan) is None, 60)
    assert platform.airflow.ended(dag, run, 300) == "success"
    assert platform.table("bronze.spark_driver") == COUNTED
    assert DeltaTable(f"{platform.lake_root}/bronze/spark_driver", storage_options=platform.lake_options).version() == 0
    no_pods(platform, "spark-driver")


def test_executors_without_room_are_told_and_leave_nothing(platform: Platform, gone: list[str]) -> None:
    gone.append("spark-no-room")
    dag = numbers(
        platform, "spark-no-room", COUNT, sql={"executors": {"memory": "900Gi"}}, timeout="100s", retries=0
    )  # fmt: skip
    run = platform.airflow.started(dag)
    wait_for("its executor", lambda: pods(platform, "spark-no-room", "executor") or None, 120)
    wait_for("a word in the log", lambda: "Insufficient memory" in said(platform, "spark-no-room"), 60, every=2)
    assert "Insufficient memory" in why(platform, "spark-no-room")
    assert platform.airflow.ended(dag, run, 200) == "failed"
    assert "timeout of 100 s" in platform.airflow.log(dag, run, "count")
    no_pods(platform, "spark-no-room")


def said(platform: Platform, name: str) -> str:
    """What the driver has said so far."""
    labels = f"adutora.dev/pipeline={name},adutora.dev/engine=spark"
    try:
        return platform.kubectl.run("logs", "--selector", labels, "--tail=-1")
    except KubectlError:  # its container is being made
        return ""


def why(platform: Platform, name: str) -> str:
    """What `kubectl adutora why` says of a pipeline."""
    path = f"{Path(platform.kubectl.program).parent}:{os.environ['PATH']}"
    env = {**os.environ, "KUBECONFIG": str(platform.kubectl.kubeconfig), "PATH": path}
    command = [sys.executable, "-m", "adutora.kubectl", "why", name, "--namespace", NAMESPACE]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120).stdout
