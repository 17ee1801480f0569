"""kill -9 of a stage and of the runner at each step: nothing half-written, and afterwards every row exactly once.

The steps of a stage that writes are: take the table's lock, commit the rejected rows, write data files, commit them,
leave an outcome; then the runner notes it. Nothing in the product knows of these tests: they hold the lock of the
table, put a pipe where a file is about to be written (opening it waits for a reader that never comes), or watch for a
file to appear, and kill whoever waits or works there.
"""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable

from tests.integration.trouble.conftest import SYSTEM, Lab, alive, family, kill, links, stages_of, until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROWS = 40_000  # so many that writing takes longer than it takes to see that it has begun
Process = subprocess.Popen[str]

TABLES = [
    {"name": "bronze.orders", "columns": [{"name": "id", "type": "long"}, {"name": "amount", "type": "decimal(12,2)"}, {"name": "day", "type": "string"}]},
    {"name": "silver.added", "columns": [{"name": "id", "type": "long"}, {"name": "amount", "type": "decimal(12,2)"}, {"name": "day", "type": "string"}]},
    {"name": "silver.merged", "key": ["id"], "checks": [{"range": {"column": "amount", "max": 900}, "onFail": "quarantine"}]},
    {"name": "silver.whole", "key": ["id"], "checks": [{"range": {"column": "amount", "max": 900}, "onFail": "quarantine"}]},
    {"name": "silver.days", "partitionBy": ["day"], "checks": [{"range": {"column": "amount", "max": 900}, "onFail": "quarantine"}]},
]  # fmt: skip
NEW = [{"table": "bronze.source", "read": "new"}]
SOURCE = {
    "name": "source", "ingest": {"files": {"path": "data/*.csv", "read": "new"}},
    "output": {"table": "bronze.source", "mode": "append"},
}  # fmt: skip
# One stage for each way to write; `amount` holds a word here and there, which the table's columns refuse.
WAYS: dict[str, dict[str, Any]] = {
    "ingest": {"ingest": {"files": {"path": "data/*.csv", "read": "new"}}, "output": {"table": "bronze.orders", "mode": "append"}},
    "append": {"inputs": NEW, "sql": {"query": "SELECT id, amount, day FROM bronze.source"}, "output": {"table": "silver.added", "mode": "append"}},
    "merge": {
        "inputs": NEW, "sql": {"query": "SELECT id, try_cast(amount AS DOUBLE) AS amount, day, _loaded_at FROM bronze.source"},
        "output": {"table": "silver.merged", "mode": "merge", "latestBy": "_loaded_at"},
    },
    "overwrite": {
        "inputs": [{"table": "bronze.source"}], "sql": {"query": "SELECT id, max(try_cast(amount AS DOUBLE)) AS amount, max(day) AS day FROM bronze.source GROUP BY id"},
        "output": {"table": "silver.whole"},
    },
    "partitions": {
        "inputs": NEW, "sql": {"query": "SELECT id, try_cast(amount AS DOUBLE) AS amount, day FROM bronze.source"},
        "output": {"table": "silver.days", "mode": "overwritePartitions"},
    },
}  # fmt: skip


def write_source(lab: Lab, number: int) -> None:
    lines = [f"{number * 1000 + i},{'many' if i % 10_000 == 7 else i % 907},2026-01-0{1 + i % 3}" for i in range(ROWS)]
    lab.file(f"data/{number}.csv", "id,amount,day\n" + "\n".join(lines) + "\n")


def table_of(way: str) -> str:
    return str(WAYS[way]["output"]["table"])


def prepare(lab: Lab, way: str) -> None:
    """Bring a first load in, then the source of a second."""
    stage = {**WAYS[way], "name": "victim", "retries": 2, "retryDelay": "1s"}
    tables = [table for table in TABLES if table["name"] == table_of(way)]
    if way != "ingest":
        lab.pipeline(SOURCE, file="feed.yaml", name="feed")
        stage["inputs"] = [{**item, "external": True} for item in stage["inputs"]]
    lab.pipeline(stage, tables=tables)
    for number in (1, 2):
        write_source(lab, number)
        if way != "ingest":
            lab.ok(file="feed.yaml")
        if number == 1:
            lab.ok()


def stands(lab: Lab, way: str) -> list[Any]:
    """What stands in the table and among its rejected rows: how many, and a sum over all their values."""
    con = duckdb.connect()
    found: list[Any] = []
    for name in (table_of(way), f"{table_of(way)}__rejected"):
        con.register("standing", DeltaTable(lab.table_path(name)).to_pyarrow_table())
        columns = [row[0] for row in con.execute("DESCRIBE standing").fetchall() if row[0] not in SYSTEM]
        values = ", ".join(f'"{column}"' for column in columns if column != "_row")
        if "_row" in columns:  # it tells when its source was loaded, which is another time here
            values += """, regexp_replace(_row, ',"_loaded_at":"[^"]*"', '')"""
        found.append(con.execute(f"SELECT count(*), sum(CAST(hash({values}) AS HUGEINT)) FROM standing").fetchall()[0])
    con.close()
    return found


Ready = Callable[[str], Lab]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Any, Any]]:
    """For each way: a folder that is ready for the second load, and what stands before and after it undisturbed."""
    known: dict[str, tuple[Path, Any, Any]] = {}

    def find(way: str) -> tuple[Path, Any, Any]:
        if way not in known:
            folder = tmp_path_factory.mktemp("prepared")
            prepare(at(folder), way)
            calm = folder.with_name(folder.name + "-calm")
            shutil.copytree(folder, calm)
            at(calm).ok()
            known[way] = folder, stands(at(folder), way), stands(at(calm), way)
        return known[way]

    return find


def at(folder: Path) -> Lab:
    lab = Lab(folder / "project", folder / "state", str(folder / "lake"))
    lab.root.mkdir(exist_ok=True)
    return lab


@pytest.fixture
def ready(lab: Lab, tmp_path: Path, prepared: Callable[[str], tuple[Path, Any, Any]]) -> Ready:
    """Return a project of one's own before its second load."""

    def make(way: str) -> Lab:
        for former in tmp_path.iterdir():
            shutil.rmtree(former)
        shutil.copytree(prepared(way)[0], tmp_path, dirs_exist_ok=True)
        return lab

    return make


# Where a process is caught. Each waits until it stands at its step, and lets go at the end.


@contextmanager
def before_the_write(lab: Lab, table: str, _: Process) -> Iterator[None]:
    path = Path(lab.lake, ".adutora/locks", f"{table}.lock")
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        until(lambda: any(str(path) in links(pid) for pid in stages_of(_)), 20)
        yield


@contextmanager
def after_the_rejected(lab: Lab, table: str, _: Process) -> Iterator[None]:
    version = lab.version(f"{table}__rejected") + 1
    path = lab.table_path(f"{table}__rejected") / "_delta_log" / f"{version:020}.json"
    until(path.exists, 20, 0.0002)
    yield


@contextmanager
def amid_the_data(lab: Lab, table: str, _: Process) -> Iterator[None]:
    before = set(lab.table_path(table).rglob("*.parquet*"))
    until(
        lambda: set(lab.table_path(table).rglob("*.parquet*")) - before, 20, 0.0002
    )  # `….parquet#1` while it is written
    yield


@contextmanager
def before_the_outcome(lab: Lab, table: str, _: Process) -> Iterator[None]:
    folder = until(lambda: next(lab.run_folder().glob("stages/victim/task.json"), None)).parent
    with pipe(folder / "outcome.part", until_written=lambda: lab.version(table) > lab.before):
        yield


@contextmanager
def before_it_is_noted(lab: Lab, table: str, _: Process) -> Iterator[None]:
    state = lab.run_folder() / "run.json"
    until(lambda: state.exists() and json.loads(state.read_text())["stages"][-1]["tries"] == 1)
    outcome = lab.run_folder() / "stages/victim/outcome.json"
    with pipe(state.with_name("run.json.part"), until_written=outcome.exists):
        until(lambda: not stages_of(_))
        yield


@contextmanager
def pipe(path: Path, until_written: Callable[[], bool]) -> Iterator[None]:
    os.mkfifo(path)
    try:
        until(until_written, 20)
        time.sleep(0.1)
        yield
    finally:
        path.unlink(missing_ok=True)


STEPS = {
    "before": before_the_write, "rejected": after_the_rejected, "amid": amid_the_data,
    "committed": before_the_outcome, "noted": before_it_is_noted,
}  # fmt: skip


def caught(lab: Lab, step: str, table: str, who: str, *args: str) -> Process:
    """Start the run, catch it at a step and kill -9 the stage or the runner; a killed runner leaves no process."""
    runs = set((lab.state / "runs").iterdir())
    lab.before = lab.version(table)
    process = lab.start("--output", "json", *args)
    until(lambda: set((lab.state / "runs").iterdir()) - runs)
    with STEPS[step](lab, table, process):
        stood = lab.version(table)
        everyone = family(process.pid)
        kill(*(stages_of(process) if who == "stage" else [process.pid]))
        assert step in ("amid", "rejected") or (stood > lab.before) == (step in ("committed", "noted"))
        if who == "runner":
            until(lambda: not any(alive(pid) for pid in everyone), 15)
        else:
            until(
                lambda: len(set(family(process.pid)) - set(everyone)) or not set(stages_of(process)) & set(everyone), 10
            )
    return process


QUICK = [("append", step) for step in ("before", "rejected", "committed")]
SOME = [(way, step) for way in ("merge", "overwrite", "partitions") for step in ("rejected", "committed")]
ALL = [("ingest", step) for step in STEPS]


@pytest.mark.parametrize(
    ("way", "step", "after"),
    [(way, step, "resume") for way, step in ALL + QUICK + SOME]
    + [(way, step, "fresh") for way, step in [*ALL, ("append", "committed"), ("merge", "committed")]],
)
def test_runner_killed(ready: Ready, prepared: Callable[[str], Any], way: str, step: str, after: str) -> None:
    lab = ready(way)
    _, before, wanted = prepared(way)
    lab.wait(caught(lab, step, table_of(way), "runner"))
    assert stands(lab, way)[0] in (before[0], wanted[0])  # the last commit, whole
    lab.ok(*(("--resume", "last") if after == "resume" else ()))
    assert stands(lab, way) == wanted
    if after == "fresh" or step == "committed":  # and the next run brings nothing twice
        lab.ok()
        assert stands(lab, way) == wanted


@pytest.mark.parametrize(
    ("way", "step"), [each for each in ALL + SOME if each[1] != "noted"] + [("append", "committed")]
)
def test_stage_killed(ready: Ready, prepared: Callable[[str], Any], way: str, step: str) -> None:
    """The runner sees how its stage ended, says so, and tries again."""
    for _ in range(5):
        lab = ready(way)
        result = lab.wait(caught(lab, step, table_of(way), "stage"))
        assert result.code == 0, result.text
        if result.stage("victim")["tries"] == 2 or step not in ("amid", "rejected"):
            break
        # These two steps are watched for, not held: on a busy machine the stage may end before the signal comes.
    assert result.stage("victim")["tries"] == 2
    assert "SIGKILL" in result.err
    assert stands(lab, way) == prepared(way)[2]


def test_a_full_refresh_that_was_killed_brings_rows_once(ready: Ready, prepared: Callable[[str], Any]) -> None:
    lab, wanted = ready("append"), prepared("append")[2]
    lab.ok()
    lab.wait(caught(lab, "committed", table_of("append"), "runner", "--full-refresh"))
    lab.ok("--resume", "last")
    assert stands(lab, "append")[0] == wanted[0]
    lab.ok()
    assert stands(lab, "append")[0] == wanted[0]
