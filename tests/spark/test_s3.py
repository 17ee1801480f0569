"""A lake on a real S3 gateway: tables are read by S3A, staging is where executors would find it, no key is shown."""

import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from adutora.runtime.context import StageContext
from adutora.runtime.pod_task import read_task
from adutora.runtime.spark.result import Shape, show_result, write_result
from adutora.runtime.spark.session import Starting
from adutora.runtime.spark.settings import settings
from adutora.runtime.spark.staging import FOLDER, Staging
from tests.integration.gateway import SECRET, Gateway
from tests.spark.pods import SparkPods

OUTPUT = {"table": "gold.b", "mode": "overwrite"}


@pytest.fixture
def pods(tmp_path: Path, gateway: Gateway) -> SparkPods:
    bench = SparkPods(tmp_path)
    bench.lake_on(gateway.port)
    return bench


def test_a_table_goes_from_s3_to_s3(pods: SparkPods) -> None:
    made = pods.config(kind="sql", block={"query": "SELECT range AS a, 'São ' || range AS b FROM range(1000)"},
                       output={"table": "silver.a"}, connections=("lake",))  # fmt: skip
    ended = pods.run(pods.env(made))
    assert ended.code == 0, ended.log
    query = "SELECT a % 10 AS k, count(*) AS n, max(b) AS b FROM silver.a GROUP BY ALL"
    block = {"engine": "spark", "query": query}
    config = pods.config(kind="sql", block=block, inputs=({"table": "silver.a"},), output=OUTPUT, connections=("lake",))
    process = pods.start(pods.env(config))
    seen = ""
    while process.poll() is None and "java" not in seen:
        seen = subprocess.run(["ps", "-ww", "-eo", "pgid,args"], capture_output=True, text=True, check=True).stdout
        seen = "\n".join(line for line in seen.splitlines() if line.split()[0] == str(process.pid) and "java" in line)
    ended = pods.end(process)
    assert ended.code == 0, ended.log
    assert (ended.message["rowsIn"], ended.message["rowsOut"]) == (1000, 10)
    assert SECRET not in seen + ended.log + ended.raw.decode()
    assert "org.apache.spark" in seen


def test_staging_beside_the_lake(
    pods: SparkPods, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = pods.config(kind="sql", block={"query": "SELECT 1"}, output=OUTPUT, connections=("lake",))
    monkeypatch.setenv("ADUTORA_SECRETS_DIR", str(pods.root / "secrets"))
    ctx = StageContext(read_task(pods.env(config)), logging.getLogger("adutora.stage"))
    starting = Starting(settings(ctx, None, None), ctx.scratch)
    monkeypatch.setattr("adutora.runtime.spark.staging.Cluster.of", lambda: True)
    try:
        staging = Staging.of(ctx)
        frame = starting.session().range(100).selectExpr("id", "CAST(id AS STRING) AS text")
        write_result(frame, staging)
        left = gateway.bucket / "root" / FOLDER / "team.shop" / "stage"
        assert [path.name for path in left.iterdir()] != []
        shutil.copytree(next(left.iterdir()), left / "0123-1")  # another run's, which may still be at work
        relation = show_result(ctx, staging, Shape(("id", "text")))
        assert ctx.con.execute(f"SELECT count(*), max(text) FROM {relation}").fetchall() == [(100, "99")]
        Staging.of(ctx)  # the next try of the same run finds what this one left, and removes it
        assert [path.name for path in left.iterdir()] == ["0123-1"]
    finally:
        starting.stop()
