"""What `give_back` gives back, measured in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

_HELD = """
import json
from pathlib import Path

def held(kind):
    text = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) >> 10 for line in text.splitlines() if line.startswith(kind + ":"))
"""


def _run(code: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", _HELD + code], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_code_that_ran_once_is_dropped_and_comes_again() -> None:
    before, after, rows = _run(
        """
import duckdb, deltalake
from adutora.io.memory import give_back
con = duckdb.connect()
con.execute("SELECT 1").fetchall()
before = held("Rss") - held("Anonymous")
give_back()
print(before, held("Rss") - held("Anonymous"), con.execute("SELECT count(*) FROM range(7)").fetchall()[0][0])
"""
    )
    assert after < before / 2
    assert rows == 7


def test_free_buffers_of_duckdb_are_given_back() -> None:
    before, after = _run(
        """
import duckdb
from adutora.io.memory import give_back
con = duckdb.connect()
con.execute("CREATE TABLE t AS SELECT range AS n, hash(range) AS h FROM range(3_000_000)")
con.execute("DROP TABLE t")
before = held("Anonymous")
give_back()
print(before, held("Anonymous"))
"""
    )
    assert after < before - 15


def test_a_second_time_and_in_a_forked_process_nothing_breaks() -> None:
    assert _run(
        """
import os, duckdb
from adutora.io.memory import give_back
give_back()
give_back()
pid = os.fork()
if pid == 0:
    give_back()
    os._exit(int(duckdb.execute("SELECT 5").fetchall()[0][0]))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    ) == [5]
