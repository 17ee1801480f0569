"""Many processes on one lake, and processes that die: nothing is lost, doubled or corrupt."""

import json
import os
import random
import signal
import time

import pytest

from adutora.errors import TemporaryError
from adutora.io import duck
from adutora.io.lake import Lake
from adutora.io.lake.lock import table_lock
from adutora.io.ledger import Ledger

pytestmark = pytest.mark.integration

WRITER = """
import datetime as dt, json, sys
from pathlib import Path
from adutora.io import duck
from adutora.io.lake import Commit, Lake, WriteRequest

root, options, run, mode, count = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
lake = Lake(root, {}, options or None)
con = duck.connect(None, 1, Path("."))
for i in range(count):
    query = sys.argv[6].format(i=i, run=run)
    con.execute(f"CREATE OR REPLACE TEMP TABLE given AS {query}")
    commit = Commit(run, "team.p", "s", f"f{i}", dt.datetime.now(dt.UTC), {f"L-{run}": i + 1})
    more = {"key": ("k",)} if mode == "merge" else {}
    result = lake.write(con, WriteRequest("silver.t", "given", commit, mode=mode, **more))
    print(result.version, flush=True)
con.close()
"""


def finish(processes):
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-3000:]
        yield [int(line) for line in out.split()]


def read(root, query, tmp_path, options=None):
    con = duck.connect(None, 1, tmp_path)
    Lake(root, {}, options).register(con, "silver.t", "silver.t")
    rows = con.execute(query).fetchall()
    con.close()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("store", ["local", "s3"])
def test_appends_of_many_processes_all_land(store, start, tmp_path, request):
    root, options = place(store, tmp_path, request)
    query = "SELECT '{run}' AS who, {i} AS n FROM range(100)"
    processes = [start(WRITER, root, json.dumps(options), f"r{p}", "append", "5", query) for p in range(3)]
    versions = [version for found in finish(processes) for version in found]
    assert sorted(versions) == list(range(15))
    counted = read(root, "SELECT who, n, count(*) FROM silver.t GROUP BY ALL", tmp_path, options)
    assert len(counted) == 15
    assert {count for *_, count in counted} == {100}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["local", "s3"])
def test_merges_of_many_processes_never_double_a_key(store, start, tmp_path, request):
    root, options = place(store, tmp_path, request)
    query = "SELECT (k + {i}) AS k, '{run}' || {i} AS v FROM range(20) t(k)"
    processes = [start(WRITER, root, json.dumps(options), f"r{p}", "merge", "4", query) for p in range(3)]
    list(finish(processes))
    assert read(root, "SELECT count(*), count(DISTINCT k) FROM silver.t", tmp_path, options) == [(23, 23)]
    assert read(root, "SELECT count(*) FROM silver.t WHERE v NOT LIKE 'r_3' AND k > 2", tmp_path, options) == [(0,)]


def place(store, tmp_path, request):
    if store == "local":
        return str(tmp_path / "lake"), {}
    return f"s3://bucket/{request.node.name.partition('[')[0]}", request.getfixturevalue("s3").options


@pytest.mark.slow
def test_kill_at_any_moment_leaves_the_last_commit(start, tmp_path):
    root = str(tmp_path / "lake")
    # Each write is all rows of one number; a table with two numbers, or half of one, is broken.
    query = "SELECT {i} AS n, k, repeat('x', 100) AS pad FROM range(200000) t(k)"
    dice, seen = random.Random(7), set()
    for turn in range(8):
        process = start(WRITER, root, "{}", f"r{turn}", "overwrite", "50", query)
        process.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.6))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        ((low, high, count),) = read(root, "SELECT min(n), max(n), count(*) FROM silver.t", tmp_path)
        assert (low, count) == (high, 200_000)
        seen.add(low)
    assert len(seen) > 1
    (done,) = finish([start(WRITER, root, "{}", "last", "overwrite", "2", query)])
    assert len(done) == 2
    Lake(root).maintain("silver.t")


LOADER = """
import datetime as dt, os, sys
from pathlib import Path
from adutora.io import duck
from adutora.io.lake import Commit, Lake, WriteRequest
from adutora.io.ledger import Ledger
import adutora.io.lake.lake as module

root, die_at = sys.argv[1], sys.argv[2]
lake, ledger = Lake(root), Ledger(root, "team.p/land/files")


def step(name):
    if name == die_at:
        os.kill(os.getpid(), 9)


step("start")
last = ledger.last()
done = lake.batch("bronze.t", ledger.id)
batch = last
if last is None or (done or 0) >= last.number:
    step("before proposal")
    files = sorted(p.name for p in Path(sys.argv[3]).iterdir() if p.name not in {n for b in ledger.batches() for n in b.content["seen"]})
    batch = ledger.propose({"seen": files}) if files else None
    step("after proposal")
if batch is not None:
    con = duck.connect(None, 1, Path(root))
    names = ", ".join(f"('{name}')" for name in batch.content["seen"])
    con.execute(f"CREATE TEMP TABLE given AS SELECT f AS file FROM (VALUES {names}) t(f)")
    con.execute("CREATE TEMP TABLE bad AS SELECT 'r' AS _reason, file AS _source, '' AS _row FROM given")
    mode = module._MODES["append"]
    def watched(attempt):
        step("after rejected rows")
        result = mode(attempt)
        step("after commit")
        return result
    module._MODES["append"] = watched
    commit = Commit("run", "team.p", "land", "-".join(batch.content["seen"]), dt.datetime.now(dt.UTC), {ledger.id: batch.number})
    result = lake.write(con, WriteRequest("bronze.t", "given", commit, mode="append", rejected="bad"))
    print(result.rows, result.repeated)
    con.close()
"""
STEPS = ["start", "before proposal", "after proposal", "after rejected rows", "after commit", "never"]


@pytest.mark.slow
def test_each_file_lands_once_whatever_dies(start, tmp_path):
    root, inbox = str(tmp_path / "lake"), tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "lake").mkdir()
    arrived = 0
    for step in [*STEPS, *STEPS, "never"]:
        for _ in range(2):
            (inbox / f"f{arrived:03}").touch()
            arrived += 1
        process = start(LOADER, root, step, str(inbox))
        _, err = process.communicate(timeout=60)
        assert process.returncode == (0 if step == "never" else -signal.SIGKILL) or step == "before proposal", err
    for _ in range(3):
        start(LOADER, root, "never", str(inbox)).communicate(timeout=60)
    con = duck.connect(None, 1, tmp_path)
    lake = Lake(root)
    lake.register(con, "bronze.t", "bronze.t")
    assert con.execute("SELECT count(*), count(DISTINCT file) FROM bronze.t").fetchall() == [(arrived, arrived)]
    lake.rejected(con, "bronze.t", "bronze.bad")
    assert con.execute("SELECT count(*), count(DISTINCT _source) FROM bronze.bad").fetchall() == [(arrived, arrived)]
    con.close()
    assert lake.batch("bronze.t", "team.p/land/files") == Ledger(root, "team.p/land/files").last().number


HOLDER = """
import sys, time
from pathlib import Path
from adutora.io.lake.lock import table_lock
with table_lock(Path(sys.argv[1]), "silver.t"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_waited_for_and_dies_with_its_holder(start, tmp_path):
    path = tmp_path / "locks" / "silver.t.lock"
    process = start(HOLDER, str(path))
    assert process.stdout.readline() == "held\n"
    with pytest.raises(TemporaryError, match="another process has been writing it"), table_lock(path, "silver.t", 0.1):
        pass
    os.kill(process.pid, signal.SIGKILL)
    with table_lock(path, "silver.t", 5):
        pass
