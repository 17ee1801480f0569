"""Reading: views, changes, partitions that changed, information, upkeep."""

import datetime as dt

import pytest

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.io.lake import Lake
from adutora.io.lake.failures import translate

NOON = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)
A = {"mode": "append"}


def new(bench, after, upto, columns="a"):
    bench.lake.register_changes(bench.con, "silver.t", "silver.t", after, upto)
    return bench.rows(f"SELECT {columns} FROM silver.t")


def test_a_view_under_the_tables_name(bench):
    bench.write("SELECT i AS a, i % 2 AS p FROM range(4) t(i)", partition_by=("p",))
    bench.write("SELECT 9 AS a, 9 AS p")
    assert bench.lake.register(bench.con, "silver.t", "silver.t") == 1
    assert bench.rows("SELECT * FROM silver.t") == [("9", "9")]
    assert bench.lake.register(bench.con, "silver.t", "silver.t", version=0) == 0
    assert bench.rows("SELECT a FROM silver.t WHERE p = 1") == [("1",), ("3",)]


def test_a_sealed_connection_reads_on(bench):
    bench.write("SELECT 1 AS a")
    bench.lake.register(bench.con, "silver.t", "silver.t")
    duck.seal(bench.con)
    assert bench.rows("SELECT a FROM silver.t") == [("1",)]
    bench.lake.register(bench.con, "silver.t", "silver.again")
    assert bench.rows("SELECT a FROM silver.again") == [("1",)]
    bench.write("SELECT 2 AS a UNION ALL SELECT 3", mode="merge", key=("a",), delete_where="a = 3")
    assert bench.read() == [("1",), ("2",)]


def test_a_table_that_is_not_there(bench):
    bench.write("SELECT 1 AS a", "silver.orders")
    for look in (
        lambda: bench.lake.register(bench.con, "silver.order", "x.y"),
        lambda: bench.lake.info("silver.ordres"),
        lambda: bench.lake.sample(bench.con, "silver.ordres"),
    ):
        with pytest.raises(ConfigError, match=r"did you mean `silver.orders`\?"):
            look()
    assert bench.lake.version("silver.order") is None
    assert not bench.lake.exists("gold.x")


def test_layers_with_roots_of_their_own(bench, tmp_path):
    lake = Lake(str(tmp_path / "lake"), {"bronze": str(tmp_path / "elsewhere")})
    lake.write(bench.con, bench.request("SELECT 1 AS a", "bronze.x"))
    lake.write(bench.con, bench.request("SELECT 1 AS a", "gold.y", rejected="SELECT 'r' _reason, '' _source, '' _row"))
    assert lake.tables() == ["bronze.x", "gold.y"]
    assert (tmp_path / "elsewhere" / "x" / "_delta_log").is_dir()
    assert Lake(str(tmp_path / "nowhere")).tables() == []


def test_changes_are_rows_that_came(bench):
    for i in range(4):
        bench.write(f"SELECT {i} AS a", run=f"r{i}", **A)
    assert new(bench, -1, 3) == [("0",), ("1",), ("2",), ("3",)]
    assert new(bench, 1, 2) == [("2",)]
    assert new(bench, 3, 3) == []
    bench.lake.maintain("silver.t", optimize=dt.timedelta(0))
    assert bench.lake.version("silver.t") == 4
    assert new(bench, 3, 4) == []  # compaction is no change


def test_changes_of_a_run_that_was_replaced(bench):
    bench.write("SELECT 0 AS a", run="r0", **A)
    bench.write("SELECT i AS a FROM range(1, 4) t(i)", **A)
    bench.write("SELECT i AS a, 'n' AS b FROM range(3, 6) t(i)", **A)
    last = bench.lake.version("silver.t")
    assert new(bench, 0, last) == [("3",), ("4",), ("5",)]
    assert new(bench, 1, last, "a, b") == [("3", "n"), ("4", "n"), ("5", "n")]


def test_changes_whose_files_are_gone(bench):
    bench.write("SELECT 1 AS a")
    bench.write("SELECT 2 AS a")
    from deltalake import DeltaTable

    DeltaTable(str(bench.root / "silver" / "t")).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(DataError, match=r"keeps no record.*--full-refresh"):
        new(bench, -1, 1)


def test_partitions_that_changed(bench):
    parts = {"mode": "overwritePartitions", "partition_by": ("p", "q")}
    bench.write("SELECT i AS a, i % 3 AS p, 'x' AS q FROM range(6) t(i)", **parts)
    bench.write("SELECT 7 AS a, 1 AS p, 'x' AS q UNION ALL SELECT 8, 5, NULL", **parts)
    bench.lake.changed_partitions(bench.con, "silver.t", 0, 1, "touched")
    assert bench.rows("SELECT * FROM touched") == [("1", "x"), ("5", None)]
    bench.lake.changed_partitions(bench.con, "silver.t", 1, 1, "touched")
    assert bench.rows("SELECT * FROM touched") == []
    bench.write("SELECT 1 AS a", "silver.u")
    with pytest.raises(ConfigError, match="not partitioned"):
        bench.lake.changed_partitions(bench.con, "silver.u", -1, 0, "touched")


def test_rows_that_move_change_both_partitions(bench):
    more = {"mode": "merge", "key": ("k",), "partition_by": ("p",)}
    bench.write("SELECT i AS k, i AS p FROM range(4) t(i)", **more)
    bench.write("SELECT 1 AS k, 3 AS p", **more)
    bench.lake.changed_partitions(bench.con, "silver.t", 0, 1, "touched")
    assert bench.rows("SELECT * FROM touched") == [("1",), ("3",)]


def test_info_and_sample(bench):
    bench.write("SELECT i AS a, i % 2 AS p, now() AS t, NULL AS n FROM range(4) t(i)", partition_by=("p",))
    bench.write(
        "SELECT 1 AS a, 0 AS p, now() AS t, NULL AS n", run="r2", rejected="SELECT 'r' _reason, '' _source, '' _row"
    )
    info = bench.lake.info("silver.t")
    assert (info.rows, info.files, info.version, info.partition_by) == (1, 1, 1, ())
    assert info.size > 0
    writer = info.last_writer
    assert writer is not None
    assert (writer.run, writer.pipeline, writer.stage, writer.rows, writer.rejected) == ("r2", "team.p", "s", 1, 1)
    assert abs(writer.at - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)
    names, rows = bench.lake.sample(bench.con, "silver.t", 5)
    assert names == ["a", "p", "t", "n"]
    assert rows[0][0] == "1"
    assert rows[0][3] is None


def test_upkeep_when_due(bench):
    for i in range(5):
        bench.write(f"SELECT {i} AS a", run=f"r{i}", **A)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    day = dt.timedelta(days=1)
    assert not bench.lake.maintain("silver.t", optimize=day).optimized
    assert bench.lake.maintain("silver.t", optimize=day, now=later).optimized
    assert bench.lake.info("silver.t").files == 1
    assert not bench.lake.maintain("silver.t", optimize=dt.timedelta(days=3), now=later).optimized
    assert bench.lake.maintain("silver.t", vacuum=day, now=later).vacuumed == 0  # the files are younger than a day
    assert sorted(bench.read(columns="a"))[0] == ("0",)


@pytest.mark.parametrize(
    ("column", "value", "left"),
    [
        ("d", "date '2026-05-01' + i::INTEGER", ["9", "10", "11"]),
        ("d", "timestamp '2026-05-01 12:00:00' + interval (i) day", ["9", "10", "11"]),
        ("d", "timestamptz '2026-05-01 12:00:00+00' + interval (i) day", ["9", "10", "11"]),
    ],
)
def test_retention(bench, column, value, left):
    bench.write(f"SELECT i AS a, {value} AS d FROM range(12) t(i)")
    assert bench.lake.delete_where_older("silver.t", column, NOON) == 9
    assert sorted((a for (a,) in bench.read(columns="a")), key=int) == left
    version = bench.lake.version("silver.t")
    assert bench.lake.delete_where_older("silver.t", column, NOON) == 0
    assert bench.lake.version("silver.t") == version
    with pytest.raises(ConfigError, match="no column"):
        bench.lake.delete_where_older("silver.t", "when", NOON)
    with pytest.raises(ConfigError, match="no date or timestamp"):
        bench.lake.delete_where_older("silver.t", "a", NOON)


def test_a_typed_sample_has_what_json_can_hold(bench):
    bench.write(
        "SELECT 7 AS a, 9007199254740993 AS b, -9007199254740992 AS c, 1.50::DECIMAL(9,2) AS d, 0.1::DOUBLE AS e, "
        "'nan'::DOUBLE AS f, true AS g, date '2026-01-02' AS h, NULL::BIGINT AS i, 'x' AS j"
    )
    names, rows = bench.lake.sample(bench.con, "silver.t", typed=True)
    assert dict(zip(names, rows[0], strict=True)) == {
        "a": 7, "b": "9007199254740993", "c": -9007199254740992, "d": "1.50", "e": 0.1, "f": "nan", "g": True,
        "h": "2026-01-02", "i": None, "j": "x",
    }  # fmt: skip
    assert bench.lake.sample(bench.con, "silver.t")[1][0][:2] == ["7", "9007199254740993"]


def test_a_lake_without_credentials_says_where_they_go():
    error = OSError("an error occurred while loading credentials: failed to load IMDS session token: service error")
    told = translate(error, "lake s3://b/x")
    assert isinstance(told, ConfigError)
    assert "no credentials" in str(told)
    assert "lake.connection" in (told.hint or "")
