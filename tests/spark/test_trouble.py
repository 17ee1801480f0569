"""Trouble with Spark in it: a store that throttles, bad lines and a skewed key, runs at once, kill -9, absurd settings."""

import csv
import datetime as dt
import json
import logging
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from adutora.errors import ConfigError
from adutora.runtime.context import StageContext
from adutora.runtime.pod_task import read_task
from adutora.runtime.spark import staging
from adutora.stages.spark.run import find_app
from adutora.stages.sql.run import run
from tests.golden_tables import rows_of
from tests.integration.gateway import Gateway
from tests.integration.proxy import Proxy
from tests.integration.trouble.conftest import Lab, alive, children, kill, links, stages_of, until
from tests.spark.pods import PATIENCE, QUICK, SparkPods

OUTPUT = {"table": "gold.b", "mode": "overwrite"}
SMALL = {"cpu": 1000, "memory": 1 << 30, "scratch": 1 << 30}


# S3


@pytest.fixture
def proxy(gateway: Gateway) -> Iterator[Proxy]:
    made = Proxy(gateway.port)
    server = made.serve()
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def on_s3(tmp_path: Path, proxy: Proxy) -> SparkPods:
    """Pods whose lake is behind the proxy, with a table of a thousand rows."""
    bench = SparkPods(tmp_path)
    bench.lake_on(proxy.port)
    bench.project["files_root"] = str(tmp_path / "files")
    made = bench.config(kind="sql", block={"query": "SELECT range AS a FROM range(1000)"},
                        output={"table": "silver.a"}, connections=("lake",))  # fmt: skip
    ended = bench.run(bench.env(made))
    assert ended.code == 0, ended.log
    return bench


class Executors:
    """A cluster as far as staging asks: it is beside the lake then, where executors write it."""

    of = staticmethod(lambda: True)


def test_a_store_that_throttles_now_and_then(
    on_s3: SparkPods, proxy: Proxy, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = {"engine": "spark", "query": "SELECT a % 10 AS k, count(*) AS n FROM silver.a GROUP BY ALL"}
    inputs = ({"table": "silver.a"},)
    config = on_s3.config(kind="sql", block=block, inputs=inputs, output=OUTPUT, connections=("lake",))
    monkeypatch.setenv("ADUTORA_SECRETS_DIR", str(on_s3.root / "secrets"))
    monkeypatch.setattr(staging, "Cluster", Executors)
    ctx = StageContext(read_task(on_s3.env(config)), logging.getLogger("adutora.stage"))
    proxy.every = 8
    run(ctx.spec, ctx)
    ctx.con.close()
    assert proxy.failed > 10
    assert (ctx.outcome.rows_in, ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (1000, 10, 0)
    assert rows_of("s3://lake/root/gold/b", gateway.options | {"AWS_ALLOW_HTTP": "true"})[1:] == [
        [str(k), "100"] for k in range(10)
    ]
    assert [path for path in (gateway.bucket / "root" / staging.FOLDER).rglob("*") if path.is_file()] == []


def test_a_store_that_throttles_for_ever(on_s3: SparkPods, proxy: Proxy, gateway: Gateway) -> None:
    on_s3.app(
        "import pathlib, time\n"
        "from adutora.spark import stage\n"
        "rows = stage().read('silver.a')\n"
        "print('begun')\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.1)\n"
        "stage().write(rows)\n"
    )
    config = on_s3.config(inputs=({"table": "silver.a"},), output=OUTPUT, connections=("lake",))
    process = on_s3.start(on_s3.env(config))
    assert process.stdout is not None
    assert any("begun" in line for line in process.stdout)
    proxy.every = 1
    (on_s3.root / "go").touch()
    since = time.monotonic()
    ended = on_s3.end(process)
    assert (ended.code, ended.message["reason"]) == (75, "Temporary"), ended.log
    assert "the lake throttles Spark" in ended.message["error"]
    assert time.monotonic() - since < 180
    assert not (gateway.bucket / "root" / "gold").exists()
    assert not (on_s3.work / "scratch").exists()


# A million lines


LINES = 1_000_000
COLUMNS = [
    {"name": "id", "type": "long"}, {"name": "amount", "type": "decimal(8,2)"}, {"name": "day", "type": "date"},
    {"name": "key", "type": "string"},
]  # fmt: skip
BAD = (
    b"%d,1.50\n", b"%d,1.50,2026-01-02,k,more\n", b"x%d,1.50,2026-01-02,k\n", b"%d,much,2026-01-02,k\n",
    b"%d,1.50,2026-02-30,k\n", b'%d,1.50,2026-01-02,"a"b\n', b"%d,1.50,2026-01-02,S\xe3o\n",
)  # fmt: skip


def malformed() -> bytes:
    """Some 3,000 lines in a million are bad, in seven ways; 99 of 100 have the same key."""
    lines = [b"id,amount,day,key\n"]
    for i in range(LINES):
        if i % 331 == 7:
            lines.append(BAD[i % len(BAD)] % i)
        else:
            lines.append(
                b"%d,%d.25,2026-01-%02d,%s\n" % (i, i % 97, 1 + i % 28, b"k%d" % (i % 5000) if i % 100 == 0 else b"hot")
            )
    return b"".join(lines)


def why_refused(line: bytes) -> str | None:
    """Why a line is no row, by Python alone."""
    try:
        (values,) = csv.reader([line.decode()], strict=True)
        if len(values) != 4:
            return f"{len(values)} values"
        int(values[0])
        float(values[1])
        dt.date.fromisoformat(values[2])
    except UnicodeDecodeError:
        return "UTF-8"
    except csv.Error:
        return "quote"
    except ValueError as error:
        return "date" if "month" in str(error) else "number"
    return None


def kind_of(reason: str) -> str:
    """The same of a reason that Adutora gives."""
    found = re.search(r"\d values|UTF-8|quote|no date|no long|no decimal", reason)
    return {"no date": "date", "no long": "number", "no decimal": "number"}.get(found[0], found[0]) if found else reason


APP = """
from adutora.spark import stage
from pyspark.sql import functions as f

rows = stage().read("rows")
stage().write(rows)
three = rows.crossJoin(stage().spark.range(3).withColumnRenamed("id", "copy"))
weights = rows.select("key").distinct().withColumn("weight", f.length("key"))
joined = three.join(weights, "key").groupBy("key").agg(f.count("*").alias("n"), f.sum(f.col("id") * f.col("weight")).alias("total"))
hot = joined.where("key = 'hot'").first()
stage().output("hot", [hot.n, hot.total])
stage().output("keys", joined.count())
"""


def test_a_million_lines_of_which_some_are_bad_and_most_have_one_key(tmp_path: Path) -> None:
    pods = SparkPods(tmp_path)
    (pods.files / "in.csv").write_bytes(text := malformed())
    lines = text.splitlines()[1:]
    reasons = [why_refused(line) for line in lines]
    wrong = Counter(filter(None, reasons))
    assert sorted(wrong) == ["2 values", "5 values", "UTF-8", "date", "number", "quote"]
    pods.app(APP)
    given: dict[str, Any] = {"inputs": ({"name": "rows", "file": "in.csv", "columns": COLUMNS},), "resources": SMALL}
    conf = {"spark.sql.autoBroadcastJoinThreshold": "-1"}
    for table, kind, block in (
        ("duckdb", "sql", {"query": "SELECT * FROM rows"}),
        ("spark", "spark", {"app": "app.py", "conf": conf}),
    ):
        config = pods.config(kind=kind, block=block, output={"table": f"silver.{table}"}, **given)
        ended = pods.run(pods.env(config))
        assert ended.code == 0, ended.log
        bad = wrong.total()
        found = tuple(ended.message[name] for name in ("rowsIn", "rowsOut", "rowsRejected"))
        assert found == (LINES, LINES - bad, bad)
    assert sums(pods.lake / "silver/spark") == sums(pods.lake / "silver/duckdb")
    rejected = rows_of(pods.lake / "silver/spark__rejected")
    assert rejected == rows_of(pods.lake / "silver/duckdb__rejected")
    reason = rejected[0].index("_reason")
    assert Counter(kind_of(row[reason]) for row in rejected[1:]) == wrong
    good = [line.split(b",") for line, reason in zip(lines, reasons, strict=True) if reason is None]
    hot = [int(values[0]) for values in good if values[3] == b"hot"]
    assert len(hot) > 0.98 * LINES
    assert ended.message["outputs"] == {
        "hot": [3 * len(hot), 3 * 3 * sum(hot)],
        "keys": len({values[3] for values in good}),
    }


def sums(table: Path) -> list[Any]:
    con = duckdb.connect()
    con.register("t", DeltaTable(table).to_pyarrow_table())
    return con.execute("SELECT count(*), sum(hash(id, amount, day, key)) FROM t").fetchall()


# Processes


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A project whose lake has a table of a thousand rows."""
    root = tmp_path / "project"
    root.mkdir()
    made = Lab(root, tmp_path / "state", str(tmp_path / "lake"), QUICK)
    feed = {"name": "feed", "sql": {"query": "SELECT range AS a FROM range(1000)"}, "output": {"table": "silver.a"}}
    made.pipeline(feed, file="feed.yaml", name="feed")
    made.ok(file="feed.yaml")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def adding(**stage: Any) -> dict[str, Any]:
    more = {"output": {"table": "gold.b", "mode": "append"}, "resources": {"memory": "1Gi"}}
    return {"name": "add", "inputs": [{"table": "silver.a", "external": True}], **more, **stage}


SLOW = """
import pathlib, time
from adutora.spark import stage
from pyspark.sql import functions as f

@f.udf("long")
def same(value):
    pathlib.Path("up").touch()
    while pathlib.Path("slow").exists():
        time.sleep(0.1)
    return value

stage().write(stage().read("silver.a").select(same("a").alias("a")))
"""


def left(lab: Lab) -> dict[int, str]:
    """Processes that stand in the project's folder: the command, stages, Java, Python's workers."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cwd").readlink() == lab.root and alive(int(path.name)):
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def of_spark(lab: Lab) -> list[int]:
    """Java and Python's workers."""
    return [pid for pid, command in left(lab).items() if re.search(r"^\S*/java |pyspark\.daemon", command)]


def test_pipelines_at_once_of_which_one_is_killed_twice(lab: Lab) -> None:
    """In the middle of its job, while another adds to the same table; and after its commit, before its outcome."""
    lab.file("app.py", SLOW)
    lab.file("slow", "")
    lab.pipeline(adding(spark={"app": "app.py"}, retryDelay="10s"))
    query = {"engine": "spark", "query": "SELECT a + 1000 AS a FROM silver.a"}
    lab.pipeline(adding(sql=query), file="other.yaml", name="other")
    process = lab.start("--output", "json")
    until((lab.root / "up").exists, PATIENCE, 0.1)
    (folder,) = lab.state.glob("runs/*/stages/add")
    takes_its_turn(lab)
    lab.ok(file="other.yaml", timeout=PATIENCE)
    assert sorted(lab.rows("gold.b")) == [(a + 1000,) for a in range(1000)]
    first = kill_java(lab, process, folder)
    assert first["reason"] == "OOMKilled"
    assert "Spark's JVM was killed" in first["error"]
    kill_after_commit(lab, process, folder)
    result = lab.wait(process, PATIENCE)
    assert result.code == 0, result.text
    assert result.stage("add")["tries"] == 3
    assert "SIGKILL" in result.err
    assert sorted(lab.rows("gold.b")) == [(a,) for a in range(2000)]
    assert lab.version("gold.b") == 1
    assert left(lab) == {}


def takes_its_turn(lab: Lab) -> None:
    """A second run of the pipeline waits for the first, and can be stopped meanwhile."""
    second = lab.start("--output", "json")
    until(lambda: any(link.endswith("default.p.0") for link in links(second.pid)))
    time.sleep(1)
    assert second.poll() is None
    second.send_signal(signal.SIGINT)
    assert "waiting" in lab.wait(second).err


def kill_java(lab: Lab, process: "subprocess.Popen[str]", folder: Path) -> dict[str, Any]:
    """Kill -9 of Java in the middle of a job: the stage ends at once, and so do Python's workers."""
    (stage,) = stages_of(process)
    spark = of_spark(lab)
    kill(*(pid for pid in children(stage) if pid in spark))
    until(lambda: not alive(stage), 60, 0.05)
    found: dict[str, Any] = json.loads((folder / "outcome.json").read_text())  # the next try removes it
    assert not (folder / "scratch").exists()
    assert lab.version("gold.b") == 0
    until(lambda: not any(map(alive, spark)), 30, 0.1)
    return found


def kill_after_commit(lab: Lab, process: "subprocess.Popen[str]", folder: Path) -> None:
    """Kill -9 of the stage where it leaves its outcome: nothing of Spark stays."""
    part = folder / "outcome.part"
    os.mkfifo(part)  # opening it waits for a reader, who never comes
    (lab.root / "slow").unlink()
    until(lambda: lab.version("gold.b") == 1, PATIENCE, 0.1)
    (stage,) = stages_of(process)
    spark = of_spark(lab)
    kill(stage)
    part.unlink()
    until(lambda: not any(map(alive, spark)), 30, 0.1)


# Settings and applications


WRITE = "from adutora.spark import stage\nrows = stage().spark.range(3)\n{}\nstage().write(rows)\n"


@pytest.mark.parametrize(
    ("text", "conf", "code", "part"),
    [
        (WRITE.format(""), {"spark.sql.shuffle.partitions": "many"}, 78, "spark.sql.shuffle.partitions"),
        (WRITE.format("stage().spark.stop()"), {}, 78, "has stopped Spark, and gives rows afterwards"),
    ],
    ids=["a setting that is no number", "rows after the end"],
)
def test_absurd_applications(text: str, conf: dict[str, str], code: int, part: str, tmp_path: Path) -> None:
    pods = SparkPods(tmp_path)
    pods.app(text)
    ended = pods.run(pods.env(pods.config(block={"app": "app.py", "conf": conf}, output=OUTPUT)))
    assert ended.code == code, ended.log
    assert part in ended.message["error"]
    assert "\n" not in ended.message["error"]
    assert not (pods.lake / "gold").exists()


@pytest.mark.parametrize("app", ["../app.py", "link.py"])
def test_an_application_outside_the_folder_is_none(app: str, tmp_path: Path) -> None:
    root = tmp_path / "pipeline"
    root.mkdir()
    (tmp_path / "app.py").touch()
    (root / "link.py").symlink_to(tmp_path / "app.py")
    with pytest.raises(ConfigError, match="leaves the pipeline's folder"):
        find_app(app, root)
