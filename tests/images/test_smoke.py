"""Each built image starts its programs as its user, and has nothing that installs or compiles."""

import base64
import gzip
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adutora.dagconfig import DagConfig, StageConfig
from tests.cluster import builder, images

pytestmark = pytest.mark.cluster
MEGABYTES = {"airflow": 248, "operator": 105, "stages": 198, "spark": 734}  # packed


class Containers:
    """Containers of the built images: Docker's where it runs, else buildah's."""

    def __init__(self, folder: Path) -> None:
        self._made: dict[str, str] = {}
        # A storage of its own: nothing of the user's is touched.
        self._buildah = ("buildah", f"--root={folder}/storage", f"--runroot={folder}/run", "--storage-driver=overlay")

    def run(self, name: str, *command: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        options = [f"--env={key}={value}" for key, value in (env or {}).items()]
        if builder.docker():
            return self._call("docker", "run", "--rm", "--read-only", *options, self._loaded(name), *command)
        return self._call(*self._buildah, "run", *options, self._container(name), "--", *command)

    def _call(self, *command: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=env)

    def _loaded(self, name: str) -> str:
        archive = images.ensure(name)
        if name not in self._made:
            subprocess.run(["docker", "load", "-q", "-i", str(archive.file)], check=True)
            self._made[name] = archive.reference
        return self._made[name]

    def _container(self, name: str) -> str:
        if name not in self._made:
            done = self._call(*self._buildah, "from", f"oci-archive:{images.ensure(name).file}")
            assert done.returncode == 0, done.stderr
            self._made[name] = done.stdout.strip()
        return self._made[name]

    def close(self) -> None:
        if not builder.docker():
            self._call(*self._buildah, "rm", "--all")
            self._call(*self._buildah, "rmi", "--all")


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    made = Containers(tmp_path_factory.mktemp("images"))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "user"),
    [("stages", "1000:1000"), ("spark", "1000:1000"), ("operator", "1000:1000"), ("airflow", "50000:0")],
)
def test_it_runs_as_its_user_without_tools(containers: Containers, name: str, user: str) -> None:
    look = "echo $(id -u):$(id -g); command -v pip pip3 uv gcc cc make; python -P -c 'import adutora; print(adutora.__version__)'"
    done = containers.run(name, "sh", "-c", look)
    assert done.stdout.split() == [user, images.version()], done.stderr


@pytest.mark.parametrize("name", MEGABYTES)
def test_it_is_no_larger_than_it_was(name: str) -> None:
    if builder.docker():
        pytest.skip("archives of Docker's engine are not packed")
    size = images.ensure(name).file.stat().st_size / 1e6
    assert size < 1.1 * MEGABYTES[name], "what grew? Where it is worth it, say so in MEGABYTES"


def test_a_stage_runs_in_the_image_of_stages(containers: Containers) -> None:
    stage = StageConfig(
        name="stage", type="sql", block={"query": "SELECT 1 AS a"}, depends_on=(), retries=0, retry_delay=1, timeout=60,
        resources={"cpu": 1000, "memory": 1 << 30}, output={"table": "silver.a", "mode": "overwrite"},
    )  # fmt: skip
    lake = {"root": "/tmp/lake", "connection": None, "layers": {}}
    config = DagConfig(name="shop", namespace="team", stages=(stage,), timezone="UTC", lake=lake)
    task: dict[str, Any] = {"stage": "stage", "params": {}, "given_params": [], "attempt": 1, "item_index": None}
    task["run"] = {
        "id": "r-1", "date": "2026-05-10", "scheduled_at": None, "interval_start": None, "interval_end": None,
        "started_at": "2026-05-10T12:00:00+00:00", "trigger": "manual",
    }  # fmt: skip
    env = {
        "ADUTORA_TASK": json.dumps(task),
        "ADUTORA_CONFIG_0": base64.b64encode(gzip.compress(json.dumps(config.to_json()).encode())).decode(),
        "ADUTORA_WORK": "/tmp/work",
        "ADUTORA_TERMINATION_LOG": "/tmp/termination-log",
    }
    pod = "python -P -m adutora.runtime.pod && cat /tmp/termination-log"
    done = containers.run("stages", "sh", "-c", f"mkdir -p /tmp/work && {pod}", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"] == [{"name": "silver.a", "version": 0, "changed": True}]


def test_spark_counts_and_reads_a_table_in_its_image(containers: Containers) -> None:
    code = """
import pyarrow, deltalake
from pyspark.sql import SparkSession
deltalake.write_deltalake("/tmp/table", pyarrow.table({"a": [1, 2, 3]}))
spark = (
    SparkSession.builder.master("local[1]").config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.databricks.delta.snapshotPartitions", "1").getOrCreate()
)
print("rows", spark.read.format("delta").load("/tmp/table").count())
for name in ("hadoop.fs.s3a.S3AFileSystem", "spark.internal.io.cloud.PathOutputCommitProtocol"):
    print(name.rpartition(".")[2], spark._jvm.java.lang.Class.forName("org.apache." + name).getSimpleName())
loaded = open("/tmp/classes.log").read().splitlines()
print("archived", sum("shared objects file (top)" in line for line in loaded), "of", len(loaded))
"""
    options = "-XX:SharedArchiveFile=/opt/spark/classes.jsa -Xlog:class+load:file=/tmp/classes.log"
    # Outside of Kubernetes nobody knows the container by its name.
    own = {"HOME": "/tmp", "TMPDIR": "/tmp", "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_SUBMIT_OPTS": options,
           "SPARK_CONF_DIR": "/work/scratch/no-conf"}  # fmt: skip
    done = containers.run("spark", "python", "-P", "-c", code, env=own)
    assert "rows 3" in done.stdout, done.stderr
    assert "PathOutputCommitProtocol PathOutputCommitProtocol" in done.stdout, done.stderr
    found = re.search(r"archived (\d+) of (\d+)", done.stdout)
    assert found is not None
    assert int(found[1]) > int(found[2]) / 2, "Java did not take the image's archive of classes"


def test_java_of_the_spark_image_trusts_the_known_authorities(containers: Containers) -> None:
    done = containers.run(
        "spark",
        "sh",
        "-c",
        "java -XshowSettings:none -version 2>&1; keytool -list -cacerts -storepass changeit | wc -l",
    )
    assert 'version "17.' in done.stdout, done.stderr
    assert int(done.stdout.split()[-1]) > 100


def test_the_operator_imports_what_it_needs(containers: Containers) -> None:
    code = "import adutora_operator, adutora.compile, adutora.validate.engine, duckdb, kopf, prometheus_client"
    done = containers.run("operator", "python", "-P", "-W", "error::ImportWarning", "-c", code)
    assert done.returncode == 0, done.stderr


def test_airflow_has_its_providers_and_what_our_dags_import(containers: Containers) -> None:
    code = (
        "import adutora_airflow, adutora.dagconfig, adutora.spec.template, adutora.runtime.substitution, asyncpg, flower,"
        " psycopg2, statsd, airflow.providers.amazon, airflow.providers.celery, airflow.providers.cncf.kubernetes,"
        " airflow.providers.fab"
    )
    done = containers.run("airflow", "python", "-P", "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["airflow", "version"], ["version"], ["bash", "-c", "exec airflow version"]])
def test_the_entry_point_takes_what_the_chart_gives(containers: Containers, words: list[str]) -> None:
    done = containers.run("airflow", "dumb-init", "--", "/entrypoint", *words)
    assert done.stdout.strip().splitlines()[-1] == "3.3.2", done.stderr
