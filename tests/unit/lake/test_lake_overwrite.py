"""`overwrite` and what holds for all modes: once, and nothing if nothing changed."""

import dataclasses
import datetime as dt

import pytest
from deltalake import DeltaTable

from adutora.errors import AdutoraError, ConfigError, DataError
from adutora.io.lake import Lake
from adutora.spec.base import Column


def test_rows_and_figures(bench):
    result = bench.write("SELECT i, i * 2 AS d FROM range(5) t(i)")
    assert (result.version, result.rows, result.inserted, result.total_rows) == (0, 5, 5, 5)
    assert result.changed
    assert not result.repeated
    again = bench.write("SELECT i, i * 3 AS d FROM range(4) t(i)")
    assert (again.version, again.inserted, again.deleted, again.total_rows) == (1, 4, 5, 4)
    assert bench.read() == [("0", "0"), ("1", "3"), ("2", "6"), ("3", "9")]


def test_the_same_write_happens_once_and_tells_the_same(bench):
    first = bench.write("SELECT 1 AS a", same="x", rejected="SELECT 'r' _reason, 'f' _source, '{}' _row")
    bench.write("SELECT 2 AS a", run="r2")
    again = bench.write("SELECT 1 AS a", same="x", rejected="SELECT 'r' _reason, 'f' _source, '{}' _row")
    assert again == dataclasses.replace(first, repeated=True)
    assert bench.read() == [("2",)]  # a late retry does not undo what came after


def test_nothing_changed_nothing_committed(bench):
    query = "SELECT i AS a, [i] AS l, {'x': i} AS s, now() AS _loaded_at FROM range(3) t(i)"
    bench.write(query)
    result = bench.write(query + " ORDER BY i DESC", run="r2")
    assert not result.changed
    assert (result.version, result.unchanged, result.total_rows) == (0, 3, 3)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT i AS a, 'x' AS b FROM range(2) t(i) UNION ALL SELECT 0, 'x'",  # a row more, which is there already
        "SELECT i AS a, 'y' AS b FROM range(2) t(i)",
        "SELECT i AS a, nullif('x', 'x') AS b FROM range(2) t(i)",
        "SELECT i AS a, 'x' AS c FROM range(2) t(i)",
        "SELECT i AS a, 'x' AS b FROM range(0) t(i)",
    ],
)
def test_anything_changed_is_committed(bench, query):
    bench.write("SELECT i AS a, 'x' AS b FROM range(2) t(i)")
    assert bench.write(query).changed
    assert bench.read() == bench.rows(query)


def test_upkeep_does_not_hide_that_nothing_changed(bench):
    for part in range(3):
        bench.write(f"SELECT i AS a FROM range({part + 1}) t(i)")
    bench.lake.maintain("silver.t", optimize=dt.timedelta(0))
    assert not bench.write("SELECT i AS a FROM range(3) t(i)").changed


def test_another_writers_rows_are_seen(bench):
    bench.write("SELECT i AS a FROM range(3) t(i)")
    DeltaTable(str(bench.root / "silver" / "t")).delete("a = 1")
    assert bench.write("SELECT i AS a FROM range(3) t(i)").changed
    assert len(bench.read()) == 3


def test_an_empty_result_makes_the_table(bench):
    result = bench.write("SELECT 1::BIGINT AS a, 'x' AS b, now()::TIMESTAMP AS t LIMIT 0")
    assert (result.rows, result.changed) == (0, True)
    assert bench.types() == {"a": "long", "b": "string", "t": "timestamp_ntz"}
    assert bench.read() == []


def test_columns_and_partitions_may_change(bench):
    bench.write("SELECT 1 AS a, 'x' AS p", partition_by=("p",))
    bench.write("SELECT 'y' AS q, 2.5::DOUBLE AS a")
    info = bench.lake.info("silver.t")
    assert bench.types() == {"q": "string", "a": "double"}
    assert info.partition_by == ()
    bench.write("SELECT 'y' AS q, 2.5::DOUBLE AS a", partition_by=("q",))
    assert bench.lake.info("silver.t").partition_by == ("q",)


def test_a_failed_overwrite_leaves_the_last_commit(bench):
    bench.write("SELECT 1 AS a")
    bench.con.execute(
        "CREATE TEMP VIEW broken AS SELECT CASE WHEN i < 500000 THEN i ELSE error('no') END AS a FROM range(600000) t(i)"
    )
    request = dataclasses.replace(bench.request("SELECT 1 AS a"), relation="broken")
    with pytest.raises((AdutoraError, Exception), match="no"):
        bench.lake.write(bench.con, request)
    assert bench.read() == [("1",)]
    assert bench.lake.version("silver.t") == 0


def test_freeze_names_what_does_not_fit(bench):
    bench.write("SELECT 1::BIGINT AS id, 'x' AS city", schema_mode="freeze")
    with pytest.raises(DataError, match=r"'citty' is no column of it, did you mean 'city'\?.*'city' is lacking"):
        bench.write("SELECT 1::BIGINT AS id, 'x' AS citty", schema_mode="freeze")
    with pytest.raises(DataError, match="column 'id' is long in the table, but string came"):
        bench.write("SELECT 'a' AS id, 'x' AS city", schema_mode="freeze")
    bench.write("SELECT 1::SMALLINT AS id, 'y' AS city", schema_mode="freeze")
    assert bench.types() == {"id": "long", "city": "string"}
    assert bench.read() == [("1", "y")]


def test_descriptions_are_set_and_mended(bench):
    columns = (Column(name="a", type="long", description="Amount in BRL"),)
    bench.write("SELECT 1 AS a", description="One row per x", columns=columns)
    info = bench.lake.info("silver.t")
    assert (info.description, info.columns[0].description) == ("One row per x", "Amount in BRL")
    columns = (Column(name="a", type="long", description="Amount in USD"),)
    bench.write("SELECT 1 AS a", description="One row per y", columns=columns)
    info = bench.lake.info("silver.t")
    assert (info.description, info.columns[0].description) == ("One row per y", "Amount in USD")
    assert not bench.write("SELECT 1 AS a", description="One row per y", columns=columns).changed
    assert bench.lake.version("silver.t") == info.version


def test_a_ledgers_batch_is_marked_though_nothing_changed(bench):
    bench.write("SELECT 1 AS a")
    result = bench.write("SELECT 1 AS a", ledger={"team.p/s/in": 4})
    assert not result.changed
    assert bench.lake.batch("silver.t", "team.p/s/in") == 4
    assert not bench.write("SELECT 1 AS a").changed  # that commit carries the hash on


@pytest.mark.parametrize("name", ["t", "silver.", ".t", "a.b/../c", "a.b\\c"])
def test_a_name_that_is_none(bench, name):
    with pytest.raises(ConfigError, match="no table name"):
        bench.write("SELECT 1 AS a", name)


def test_odd_column_names(bench):
    query = """SELECT 1 AS "a b", 2 AS "C.d", 3 AS "é;x", 4 AS "q""uote", 5 AS "it's", 6 AS "a,b=c(d)" """
    bench.write(query)
    assert bench.read() == [("1", "2", "3", "4", "5", "6")]


def test_roots_with_odd_names(bench, tmp_path):
    for folder in ("with space", "50%", "ação", "a#b?c"):
        lake = Lake(str(tmp_path / folder))
        result = lake.write(bench.con, bench.request("SELECT 1 AS a"))
        assert result.changed, folder
        assert lake.tables() == ["silver.t"], folder
        assert (tmp_path / folder / "silver" / "t" / "_delta_log").is_dir(), folder


@pytest.mark.parametrize("folder", ["a[1]", "a%20b", "a|b", "a^b"])
def test_roots_that_delta_cannot_work_in(bench, tmp_path, folder):
    with pytest.raises(ConfigError, match="cannot lie in a folder with"):
        Lake(str(tmp_path / folder)).write(bench.con, bench.request("SELECT 1 AS a"))
