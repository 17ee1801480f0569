"""The lake and its ledgers on a real S3 gateway, and on stores that fail."""

import concurrent.futures
import datetime as dt
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import duckdb
import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.io import duck
from adutora.io.duck import is_store_failure
from adutora.io.lake import Commit, Lake, WriteRequest
from adutora.io.lake.failures import translate
from adutora.io.ledger import Ledger
from adutora.spec.base import Missing

pytestmark = pytest.mark.integration

QUICK = {"max_retries": "1", "retry_timeout": "4s", "timeout": "2s", "connect_timeout": "1s"}


@pytest.fixture
def con(tmp_path):
    made = duck.connect(None, 1, tmp_path)
    yield made
    made.close()


def write(lake, con, query, table="silver.t", **more):
    con.execute(f"CREATE OR REPLACE TEMP TABLE given AS {query}")
    commit = Commit(
        more.pop("run", "r1"), "team.p", "s", more.pop("same", query), dt.datetime.now(dt.UTC), more.pop("ledger", {})
    )
    return lake.write(con, WriteRequest(table, "given", commit, **more))


def read(lake, con, query="SELECT * FROM silver.t", table="silver.t"):
    lake.register(con, table, "silver.t")
    return con.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({query}) ORDER BY ALL").fetchall()


def test_every_mode(s3, con):
    lake = Lake("s3://bucket/modes", {"bronze": "s3://bucket/bronze-root"}, s3.options)
    assert lake.tables() == []
    write(lake, con, "SELECT i AS k, i % 2 AS p FROM range(6) t(i)", partition_by=("p",))
    assert not write(lake, con, "SELECT i AS k, i % 2 AS p FROM range(6) t(i)", run="r2", partition_by=("p",)).changed
    merge = {"mode": "merge", "key": ("k",), "partition_by": ("p",), "missing": Missing(action="delete")}
    result = write(lake, con, "SELECT i AS k, 0 AS p FROM range(5) t(i)", **merge)
    assert (result.updated, result.deleted, result.total_rows) == (2, 1, 5)
    assert read(lake, con, "SELECT count(*), sum(k), sum(p) FROM silver.t") == [("5", "10", "0")]
    result = write(lake, con, "SELECT 9 AS k, 0 AS p", mode="overwritePartitions", partition_by=("p",))
    assert read(lake, con) == [("9", "0")]
    write(lake, con, "SELECT 1 AS a", "bronze.x", mode="append", ledger={"L": 1})
    again = write(lake, con, "SELECT 1 AS a", "bronze.x", run="r2", mode="append", ledger={"L": 1})
    assert again.repeated
    assert lake.batch("bronze.x", "L") == 1
    assert lake.tables() == ["bronze.x", "silver.t"]
    info = lake.info("silver.t")
    assert (info.rows, info.uri) == (1, "s3://bucket/modes/silver/t")
    lake.register_changes(con, "silver.t", "silver.new", 1, 2)
    assert con.execute("SELECT k FROM silver.new").fetchall() == [(9,)]
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    lake.maintain("silver.t", optimize=dt.timedelta(days=1), vacuum=dt.timedelta(days=1), now=later)
    assert (s3.bucket / "bronze-root" / "x" / "_delta_log").is_dir()


def test_a_ledger(s3):
    ledger = Ledger("s3://bucket/ledgers", "team.p/land[0]/files", s3.options)
    assert ledger.last() is None
    ledger.propose({"seen": ["ação@1"]})

    def propose(who):
        try:
            return (
                Ledger("s3://bucket/ledgers", "team.p/land[0]/files", s3.options).propose({"seen": [str(who)]}).number
            )
        except TemporaryError:
            return None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(propose, range(16)) if number]
    numbers = [batch.number for batch in ledger.batches()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert sorted(won) == numbers[1:]
    ledger.reset()
    assert ledger.last() is None


@pytest.mark.parametrize(
    ("root", "options", "error", "says"),
    [
        ("s3://no-such-bucket/x", {}, ConfigError, "there is no such bucket"),
        ("s3://bucket/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, ConfigError, "refuses the credentials"),
        ("s3://bucket/x", {"AWS_ACCESS_KEY_ID": "nobody"}, ConfigError, "no such bucket|refuses the credentials"),
        ("s3://bucket/x", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, TemporaryError, "cannot be reached"),
        ("nope://bucket/x", {}, ConfigError, "address or settings are wrong"),
    ],
)
def test_what_cannot_be_reached(s3, con, root, options, error, says):
    lake = Lake(root, {}, {**s3.options, **QUICK, **options})
    for act in (
        lambda: lake.version("silver.t"),
        lambda: write(lake, con, "SELECT 1 AS a"),
        lambda: Ledger(root, "p/s", {**s3.options, **QUICK, **options}).last(),
    ):
        with pytest.raises(error, match=says) as caught:
            act()
        assert "\x1b" not in str(caught.value)
        assert len(str(caught.value)) < 1200


class Broken(BaseHTTPRequestHandler):
    """A store that answers 503, or late."""

    delay = 0.0

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.delay)
        try:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
        except (BrokenPipeError, ConnectionResetError):
            pass

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("delay", "says"), [(0.0, "overloaded or failing"), (8.0, "too slow to answer")])
def test_a_store_that_fails(con, delay, says):
    handler = type("Handler", (Broken,), {"delay": delay})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    options = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }
    lake = Lake("s3://bucket/x", {}, {**QUICK, **options})
    began = time.monotonic()
    with pytest.raises(TemporaryError, match=says):
        write(lake, con, "SELECT 1 AS a")
    assert time.monotonic() - began < 10
    server.shutdown()
    server.server_close()


def test_a_full_disk(con, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], check=False, capture_output=True
    )
    assert mounted.returncode == 0, "this test mounts a small tmpfs, and needs the right to"
    try:
        lake = Lake(str(small))
        write(lake, con, "SELECT 1::BIGINT AS a, 'x' AS b")
        with pytest.raises(TemporaryError, match="the disk is full"):
            write(lake, con, "SELECT i AS a, hash(i)::VARCHAR AS b FROM range(200000) t(i)")
        assert read(lake, con) == [("1", "x")]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_no_permission(con, tmp_path):
    if os.geteuid() == 0:
        locked = "/proc/adutora-lake"  # where not even root may write
        with pytest.raises(TemporaryError):
            write(Lake(locked), con, "SELECT 1 AS a")
        return
    (tmp_path / "lake").mkdir(mode=0o500)
    with pytest.raises(TemporaryError, match="no permission"):
        write(Lake(str(tmp_path / "lake")), con, "SELECT 1 AS a")


def test_a_store_that_goes_away_while_a_table_is_read(s3_of_our_own, con):
    options = {**s3_of_our_own.options, **QUICK}
    lake = Lake("s3://bucket/away", {}, options)
    write(lake, con, "SELECT i AS k, 'x' AS v FROM range(1000) t(i)", mode="merge", key=("k",))
    lake.register(con, "silver.t", "silver.t")
    s3_of_our_own.stop()
    with pytest.raises(duckdb.Error) as caught:
        con.execute("SELECT * FROM silver.t").fetchall()
    assert is_store_failure(caught.value)
    assert isinstance(translate(caught.value, "read"), TemporaryError)
    with pytest.raises(TemporaryError, match="cannot be reached"):
        write(lake, con, "SELECT 1 AS k, 'y' AS v", mode="merge", key=("k",))
