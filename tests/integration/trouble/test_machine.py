"""The machine itself: disks that are full or read-only, a clock set back, and two runs at once."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from tests.integration.trouble.conftest import Lab, until

pytestmark = pytest.mark.integration

Disk = Callable[..., Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small disk in memory."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk that is full needs root on Linux, to mount a small one")
    made: list[Path] = []

    def make(size: str, *options: str) -> Path:
        path = tmp_path / f"disk{len(made)}"
        path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(path)], check=True
        )
        made.append(path)
        return path

    yield make
    for path in made:
        subprocess.run(["umount", "-l", str(path)], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)


LAND: dict[str, Any] = {
    "name": "land",
    "ingest": {"files": {"path": "data/*.csv", "read": "new"}},
    "output": {"table": "bronze.o", "mode": "append"},
}


def noise(rows: int, seed: int) -> str:
    import random

    source = random.Random(seed)
    return "id,word\n" + "".join(f"{n},{source.getrandbits(256):064x}\n" for n in range(rows))


def test_the_lakes_disk_is_full(lab: Lab, disk: Disk) -> None:
    where = disk("4m")
    lab.lake = str(where)
    lab.pipeline({**LAND, "retries": 1})
    lab.file("data/1.csv", noise(10_000, 1))
    lab.ok()
    before, version = lab.rows("bronze.o"), lab.version("bronze.o")
    lab.file("data/2.csv", noise(120_000, 2))
    result = lab.run()
    stage = result.stage("land")
    assert result.code == 75, result.text
    assert "disk is full" in stage["error"]
    assert "bronze.o" in stage["error"]
    assert stage["hint"]
    assert stage["tries"] == 2
    assert (lab.version("bronze.o"), lab.rows("bronze.o")) == (version, before)
    remount(where, "size=64m")
    lab.ok("--resume", "last")
    assert len(lab.rows("bronze.o")) == 130_000
    lab.ok()
    assert len(lab.rows("bronze.o")) == 130_000


def test_the_disk_of_the_runs_is_full(lab: Lab, disk: Disk) -> None:
    lab.state = disk("1m")
    lab.pipeline({"name": "one", "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.one"}})
    lab.ok()
    ballast = lab.state / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    result = lab.run()
    assert result.code == 75, result.text
    assert "Traceback" not in result.text
    assert str(lab.state) in result.err
    assert "full" in result.err.lower() or "space" in result.err.lower()
    ballast.unlink()
    lab.ok()


def test_the_disk_of_the_runs_fills_while_it_runs(lab: Lab, disk: Disk) -> None:
    lab.state = disk("2m")
    lab.file("own.py", "import os\ndef main(inputs):\n    while True: os.write(1, b'x' * 65536)\n")
    lab.pipeline(
        {"name": "own", "python": {"function": "own:main"}, "retries": 0},
        {"name": "after", "dependsOn": ["own"], "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.after"}},
    )
    result = lab.run(timeout=30)
    assert result.code == 75, result.text
    assert "Traceback" not in result.text
    assert "space" in result.text.lower() or "full" in result.text.lower()
    assert not lab.exists("silver.after")


def test_scratch_is_full(lab: Lab, disk: Disk) -> None:
    lab.state = disk("24m")
    stage = {
        "name": "one", "sql": {"query": "SELECT * FROM (SELECT md5(i::VARCHAR) AS h, i FROM range(6000000) t(i)) ORDER BY h"},
        "resources": {"memory": "300Mi"}, "retries": 0, "output": {"table": "silver.one"},
    }  # fmt: skip
    lab.pipeline(stage)
    result = lab.run()
    assert result.code == 75, result.text
    error = result.stage("one")["error"]
    assert "scratch" in error or "disk is full" in error, error
    assert not lab.exists("silver.one")
    assert not list(lab.state.rglob("duckdb*"))


def test_state_that_cannot_be_written(lab: Lab) -> None:
    lab.pipeline({"name": "one", "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.one"}})
    lab.file("state", "a file, no folder")
    result = lab.run(state=lab.root / "state")
    assert result.code == 78, result.text
    assert "state" in result.err
    assert "--state" in result.err
    assert not lab.exists("silver.one")


def test_a_read_only_lake(lab: Lab, disk: Disk) -> None:
    where = disk("8m")
    lab.lake = str(where)
    lab.pipeline(
        {"name": "one", "sql": {"query": "SELECT now() AS a"}, "output": {"table": "silver.one"}, "retries": 0}
    )
    lab.ok()
    before = lab.rows("silver.one")
    remount(where, "ro")
    result = lab.run()
    assert result.code in (75, 78), result.text
    assert "silver.one" in result.stage("one")["error"]
    assert "permission" in result.stage("one")["error"].lower() or "read-only" in result.stage("one")["error"].lower()
    assert lab.rows("silver.one") == before


# The clock

MERGE: list[dict[str, Any]] = [
    LAND,
    {
        "name": "latest", "inputs": [{"table": "bronze.o", "read": "new"}], "sql": {"query": "SELECT id, word, _loaded_at FROM bronze.o"},
        "output": {"table": "silver.o", "mode": "merge", "latestBy": "_loaded_at"},
    },
]  # fmt: skip


@pytest.fixture
def clock(program: Callable[[str], str]) -> Callable[[int], dict[str, str]]:
    """Return what sets the clock of a command back by so many days, for Python and Rust alike."""
    command = [program("faketime"), "-f", "+0d", "printenv", "LD_PRELOAD"]
    library = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return lambda days: {"LD_PRELOAD": library, "FAKETIME": f"-{days}d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def test_the_clock_is_set_back_between_runs(lab: Lab, clock: Callable[[int], dict[str, str]]) -> None:
    """Nothing depends on the clock going forward: what came later wins, and is read once."""
    lab.pipeline(*MERGE, tables=[{"name": "silver.o", "key": ["id"]}])
    lab.file("data/1.csv", "id,word\n1,old\n2,old\n")
    first = lab.ok().json["id"]
    lab.file("data/2.csv", "id,word\n1,new\n3,new\n")
    second = lab.ok(env=clock(40)).json["id"]
    assert second < first  # the clock was set back indeed
    lab.ok(env=clock(40))
    assert [row[-2:] for row in lab.rows("silver.o")] == [(1, "new"), (2, "old"), (3, "new")]
    lab.file("data/3.csv", "id,word\n2,newest\n")
    third = lab.ok(env=clock(39)).json["id"]
    lab.ok()
    assert len(lab.rows("bronze.o")) == 5
    assert [row[-2:] for row in lab.rows("silver.o")] == [(1, "new"), (2, "newest"), (3, "new")]
    shown = lab.call("runs", "--state", str(lab.state)).out
    assert shown.index(first) < shown.index(second) < shown.index(third)  # as they were begun
    latest = lab.ok(env=clock(41)).json["id"]
    assert lab.ok("--resume", "last").json["id"] == latest


def test_a_run_is_resumed_with_the_clock_set_back(lab: Lab, clock: Callable[[int], dict[str, str]]) -> None:
    lab.file("own.py", "import pathlib\ndef main(inputs):\n    assert pathlib.Path('mended').exists()\n")
    lab.file("data/1.csv", "id,word\n1,a\n")
    lab.pipeline(LAND, {"name": "own", "dependsOn": ["land"], "python": {"function": "own:main"}, "retries": 0})
    assert lab.run().code == 65
    lab.file("mended", "")
    result = lab.ok("--resume", "last", env=clock(2), timeout=30)
    assert set(result.statuses().values()) == {"succeeded"}
    assert len(lab.rows("bronze.o")) == 1


# Two runs at once

APPEND = {
    "name": "one",
    "sql": {"query": "SELECT $(params.n) AS n, i FROM range(200) t(i)"},
    "output": {"table": "bronze.all", "mode": "append"},
}


@pytest.mark.slow
def test_five_runs_append_to_one_table_and_lose_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.pipeline(APPEND, params=[{"name": "n", "type": "integer"}])
    runs = [lab.start("-p", f"n={n}", "--output", "json", state=tmp_path / f"state{n}") for n in range(5)]
    for run in runs:
        result = lab.wait(run)
        assert result.code == 0, result.text
    rows = lab.rows("bronze.all")
    assert len(rows) == len(set(rows)) == 1000


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["merge", "overwrite"])
def test_two_runs_write_one_table(lab: Lab, tmp_path: Path, mode: str) -> None:
    stage = {
        "name": "one",
        "sql": {"query": "SELECT i + $(params.n) AS id, $(params.n) AS n FROM range(1000) t(i)"},
        "output": {"table": "silver.t", "mode": mode},
    }
    lab.pipeline(stage, params=[{"name": "n", "type": "integer"}], tables=[{"name": "silver.t", "key": ["id"]}])
    for result in [
        lab.wait(run)
        for run in [lab.start("-p", f"n={n}", "--output", "json", state=tmp_path / f"state{n}") for n in (0, 500)]
    ]:
        assert result.code == 0, result.text
    ids = [row[0] for row in lab.rows("silver.t")]
    assert len(ids) == len(set(ids)) == (1500 if mode == "merge" else 1000)
    assert DeltaTable(lab.table_path("silver.t")).version() == 1


@pytest.mark.slow
def test_two_runs_of_one_ledger_bring_each_row_once(lab: Lab, tmp_path: Path) -> None:
    """The same pipeline twice, from two machines as it were: neither knows of the other's state."""
    lab.pipeline(*MERGE, tables=[{"name": "silver.o", "key": ["id"]}])
    lab.file("data/1.csv", noise(20_000, 1))
    results = [lab.wait(run) for run in [lab.start("--output", "json", state=tmp_path / f"state{n}") for n in range(3)]]
    assert all(result.code in (0, 75) for result in results), [result.text for result in results]
    lab.ok()
    rows = lab.rows("bronze.o")
    assert len(rows) == len(set(rows)) == 20_000
    assert len(lab.rows("silver.o")) == 20_000


def test_a_run_that_was_killed_is_told_as_such(lab: Lab) -> None:
    lab.file(
        "own.py", "import pathlib, time\ndef main(inputs):\n    pathlib.Path('up').touch()\n    time.sleep(1000)\n"
    )
    lab.pipeline({"name": "own", "python": {"function": "own:main"}})
    process = lab.start()
    until((lab.root / "up").exists)
    process.kill()
    lab.wait(process)
    shown = lab.call("runs", "--state", str(lab.state)).out
    assert "running" not in shown, shown
