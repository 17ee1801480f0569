"""kill -9 of a stage and of the runner at each step: nothing half-written, and afterwards every row exactly once.

The steps of a stage that writes are: take the table's lock, commit the rejected rows, write data files, commit them,
leave an outcome; then the runner notes it. Nothing in the product knows of these tests: they hold the lock of the
table, put a pipe where a file is about to be written (opening it waits for a reader that never comes), or watch for a
file to appear, and kill whoever waits or works there.
"""

import fcntl
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.trouble.conftest import Lab, alive, family, kill, stages_of, until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROWS = 120_000  # so many that writing takes longer than it takes to see that it has begun
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
    lines = [f"{number * 1000 + i},{'many' if i % 20_000 == 7 else i % 907},2026-01-0{1 + i % 3}" for i in range(ROWS)]
    lab.file(f"data/{number}.csv", "id,amount,day\n" + "\n".join(lines) + "\n")


def setup(lab: Lab, way: str) -> dict[str, Any]:
    """Bring a first load in, then the source of a second; return the stage under test."""
    stage = {**WAYS[way], "name": "victim", "retries": 2, "retryDelay": "1s"}
    tables = [table for table in TABLES if table["name"] == stage["output"]["table"]]
    feeding = [] if way == "ingest" else [SOURCE]
    for number in (1, 2):
        write_source(lab, number)
        if feeding:
            lab.pipeline(*feeding, file="feed.yaml", name="feed")
            lab.ok(file="feed.yaml")
        lab.pipeline({**stage, "inputs": [{**item, "external": True} for item in stage["inputs"]]} if feeding else stage, tables=tables)
        if number == 1:
            lab.ok()
    return stage


def undisturbed(lab: Lab, way: str, tmp_path: Path) -> tuple[Any, Any]:
    """What the same two loads leave where nobody is killed."""
    calm = Lab(tmp_path / "calm", tmp_path / "calm-state", str(tmp_path / "calm-lake"))
    calm.root.mkdir()
    stage = setup(calm, way)
    calm.ok()
    table = stage["output"]["table"]
    return calm.rows(table), calm.rejected(table)


# Where a process is caught. Each waits until it stands at its step, and lets go at the end.


@contextmanager
def before_the_write(lab: Lab, table: str, _: Process) -> Iterator[None]:
    path = Path(lab.lake, ".adutora/locks", f"{table}.lock")
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        until(lambda: any(str(path) in links(pid) for pid in stages_of(_)), 20)
        yield


def links(pid: int) -> set[str]:
    """Files that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.add(os.readlink(link))
        except OSError:
            continue
    return found


@contextmanager
def after_the_rejected(lab: Lab, table: str, _: Process) -> Iterator[None]:
    version = lab.version(f"{table}__rejected") + 1
    path = lab.table_path(f"{table}__rejected") / "_delta_log" / f"{version:020}.json"
    until(path.exists, 20, 0.0002)
    yield


@contextmanager
def amid_the_data(lab: Lab, table: str, _: Process) -> Iterator[None]:
    before = set(lab.table_path(table).rglob("*.parquet"))
    until(lambda: set(lab.table_path(table).rglob("*.parquet")) - before, 20, 0.0002)
    yield


@contextmanager
def before_the_outcome(lab: Lab, table: str, _: Process) -> Iterator[None]:
    folder = until(lambda: next(lab.run_folder().glob("stages/victim/task.json"), None)).parent
    with pipe(folder / "outcome.part", until_written=lambda: lab.version(table) > lab.start_version):  # type: ignore[attr-defined]
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


def caught(lab: Lab, step: str, table: str, who: str) -> Process:
    """Start the run, catch it at a step and kill -9 the stage or the runner; a killed runner leaves no process."""
    runs = set((lab.state / "runs").iterdir())
    lab.start_version = lab.version(table)  # type: ignore[attr-defined]
    process = lab.start("--output", "json")
    until(lambda: set((lab.state / "runs").iterdir()) - runs)
    with STEPS[step](lab, table, process):
        stood = lab.version(table)
        everyone = family(process.pid)
        kill(*(stages_of(process) if who == "stage" else [process.pid]))
        assert step in ("amid", "rejected") or (stood > lab.start_version) == (step in ("committed", "noted"))  # type: ignore[attr-defined]
        if who == "runner":
            until(lambda: not any(alive(pid) for pid in everyone), 15)
        else:
            until(lambda: len(set(family(process.pid)) - set(everyone)) or not set(stages_of(process)) & set(everyone), 10)
    return process


QUICK = [("append", step) for step in ("before", "rejected", "committed")]
SOME = [(way, step) for way in ("merge", "overwrite", "partitions") for step in ("rejected", "committed")]
ALL = [("ingest", step) for step in STEPS]


@pytest.mark.parametrize("after", ["resume", "fresh"])
@pytest.mark.parametrize(("way", "step"), ALL + QUICK + SOME)
def test_runner_killed(lab: Lab, tmp_path: Path, calm: Callable[[str], Any], way: str, step: str, after: str) -> None:
    if after == "fresh" and (way, step) not in ALL + [("append", "committed"), ("merge", "committed")]:
        pytest.skip("a fresh run is tried where a ledger decides")
    table = setup(lab, way)["output"]["table"]
    before = lab.rows(table)
    process = caught(lab, step, table, "runner")
    lab.wait(process)
    assert lab.rows(table) in (before, calm(way)[0])  # the last commit, whole
    shown = lab.call("runs", "--state", str(lab.state)).out
    assert "running" not in shown
    lab.ok(*(("--resume", "last") if after == "resume" else ()))
    assert (lab.rows(table), lab.rejected(table)) == calm(way)
    lab.ok()  # and the next run brings nothing twice
    if way in ("ingest", "append", "merge"):
        assert (lab.rows(table), lab.rejected(table)) == calm(way)


@pytest.mark.parametrize(("way", "step"), [each for each in ALL + SOME if each[1] != "noted"] + [("append", "committed")])
def test_stage_killed(lab: Lab, calm: Callable[[str], Any], way: str, step: str) -> None:
    """The runner sees how its stage ended, says so, and tries again."""
    table = setup(lab, way)["output"]["table"]
    process = caught(lab, step, table, "stage")
    result = lab.wait(process)
    assert result.code == 0, result.text
    assert result.stage("victim")["tries"] == 2
    assert "SIGKILL" in result.err
    assert (lab.rows(table), lab.rejected(table)) == calm(way)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """What stands after the same loads where nobody is killed."""
    known: dict[str, Any] = {}

    def find(way: str) -> Any:
        if way not in known:
            known[way] = undisturbed(None, way, tmp_path_factory.mktemp("calm"))  # type: ignore[arg-type]
        return known[way]

    return find


def test_a_full_refresh_that_was_killed_brings_rows_once(lab: Lab, calm: Callable[[str], Any]) -> None:
    stage = setup(lab, "append")
    table = stage["output"]["table"]
    lab.ok()
    runs = set((lab.state / "runs").iterdir())
    lab.start_version = lab.version(table)  # type: ignore[attr-defined]
    process = lab.start("--full-refresh")
    until(lambda: set((lab.state / "runs").iterdir()) - runs)
    with before_the_outcome(lab, table, process):
        kill(process.pid)
        until(lambda: not alive(process.pid))
        time.sleep(0.5)
    lab.wait(process)
    lab.ok("--resume", "last")
    assert lab.rows(table) == calm("append")[0]
    lab.ok()
    assert lab.rows(table) == calm("append")[0]
