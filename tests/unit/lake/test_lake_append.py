"""`append`: runs, fan-out items, ledgers, time."""

import datetime as dt

import pytest

from adutora.errors import ConfigError, DataError

NOON = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)
A = {"mode": "append"}


def test_rows_carry_run_and_time(bench):
    bench.write("SELECT 1 AS a", **A)
    bench.write("SELECT 2 AS a, 'x' AS _source", run="r2", at=NOON + dt.timedelta(hours=1), **A)
    assert bench.read(columns="a, _run_id, _loaded_at, _source") == [
        ("1", "r1", "2026-05-10 12:00:00+00", None),
        ("2", "r2", "2026-05-10 13:00:00+00", "x"),
    ]


def test_a_rerun_with_something_changed_replaces_that_runs_rows(bench):
    bench.write("SELECT 1 AS a", run="r0", **A)
    bench.write("SELECT i AS a FROM range(5) t(i)", same="one", **A)
    version = bench.lake.version("silver.t")
    result = bench.write("SELECT 9 AS a", same="two", **A)
    assert (result.inserted, result.deleted, result.total_rows) == (1, 5, 2)
    assert bench.lake.version("silver.t") == version + 1
    assert bench.read(columns="a, _run_id") == [("1", "r0"), ("9", "r1")]
    gone = bench.write("SELECT 9 AS a LIMIT 0", same="three", **A)
    assert (gone.deleted, gone.changed) == (1, True)
    assert bench.read(columns="a") == [("1",)]


def test_items_of_a_fan_out_replace_their_own_rows_alone(bench):
    for item in range(3):
        bench.write(f"SELECT {item} AS a", stage=f"s[{item}]", **A)
    bench.write("SELECT 11 AS a", stage="s[1]", **A)
    assert bench.read(columns="a, _stage") == [("0", "s[0]"), ("11", "s[1]"), ("2", "s[2]")]


def test_batches_of_a_ledger_add_up_within_a_run(bench):
    bench.write("SELECT 1 AS a", ledger={"L": 1}, **A)
    bench.write("SELECT 2 AS a", ledger={"L": 2}, **A)
    assert bench.read(columns="a") == [("1",), ("2",)]
    assert bench.lake.batch("silver.t", "L") == 2
    assert bench.lake.batch("silver.t", "other") is None
    again = bench.write("SELECT 2 AS a", run="r2", ledger={"L": 2}, **A)
    assert (again.repeated, again.rows, again.version) == (True, 1, 1)
    assert len(bench.read()) == 2


def test_an_empty_batch_is_marked(bench):
    bench.write("SELECT 1 AS a", ledger={"L": 1}, **A)
    result = bench.write("SELECT 1 AS a LIMIT 0", ledger={"L": 2}, **A)
    assert (result.changed, bench.lake.batch("silver.t", "L")) == (False, 2)
    assert bench.write("SELECT 1 AS a LIMIT 0", run="r2", **A).changed is False


def test_loaded_at_never_goes_back(bench):
    bench.write("SELECT 1 AS a", at=NOON, **A)
    bench.write("SELECT 2 AS a", run="r2", at=NOON - dt.timedelta(days=3), **A)
    assert bench.read(columns="DISTINCT _loaded_at") == [("2026-05-10 12:00:00+00",)]


def test_evolve_adds_columns_and_fills_others_with_null(bench):
    bench.write("SELECT 1::BIGINT AS a, 'x' AS b", **A)
    result = bench.write("SELECT 2::INTEGER AS a, now()::TIMESTAMP AS t, NULL AS n", run="r2", **A)
    assert result.version == 1  # columns and rows in one commit
    assert bench.types() | {"t": "timestamp_ntz", "n": "string", "a": "long"} == bench.types()
    assert bench.read(columns="a, b, t IS NULL") == [("1", "x", "true"), ("2", None, "false")]
    bench.write("SELECT 3 AS A", run="r3", **A)  # SQL does not tell the cases apart
    assert ("3", None) in bench.read(columns="a, b")


def test_a_rerun_may_bring_new_columns(bench):
    bench.write("SELECT 1 AS a", **A)
    bench.write("SELECT 1 AS a, now()::TIMESTAMP AS t", **A)
    assert len(bench.read(columns="a, t")) == 1


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("1::BIGINT", "'x'", "column 'a' is long in the table, but string came"),
        ("1::BIGINT", "1.5::DOUBLE", "long in the table, but double came"),
        ("'x'", "1::BIGINT", "string in the table, but long came"),
        ("1::INTEGER", "3000000000", "values that are no integer, for example 3000000000"),
        ("1.5::DECIMAL(4,1)", "1.25::DECIMAL(4,2)", r"decimal\(4,1\) in the table, but decimal\(4,2\) came"),
        ("date '2020-01-01'", "timestamp '2020-01-01'", "date in the table, but timestamp_ntz came"),
        ("timestamp '2020-01-01'", "timestamptz '2020-01-01'", "timestamp_ntz in the table, but timestamp came"),
        ("[1]", "['x']", "array<integer> in the table, but array<string> came"),
        ("true", "1", "boolean in the table"),
    ],
)
def test_types_that_do_not_fit(bench, first, second, says):
    bench.write(f"SELECT {first} AS a", **A)
    with pytest.raises(DataError, match=says):
        bench.write(f"SELECT {second} AS a", run="r2", **A)
    assert len(bench.read()) == 1


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ("1::BIGINT", "2::TINYINT", "long"),
        ("1::INTEGER", "2::BIGINT", "integer"),
        ("1::BIGINT", "2::HUGEINT", "long"),
        ("1::DOUBLE", "2::BIGINT", "double"),
        ("1::DOUBLE", "2::FLOAT", "double"),
        ("1::DECIMAL(12,2)", "2::DECIMAL(10,1)", "decimal(12,2)"),
        ("1::DECIMAL(12,2)", "2::BIGINT", "decimal(12,2)"),
        ("timestamp '2020-01-01'", "date '2020-01-02'", "timestamp_ntz"),
        ("'x'", "uuid()", "string"),
        ("'x'", "time '10:00'", "string"),
        ("'x'", "NULL", "string"),
        ("1::BIGINT", "NULL::VARCHAR", "long"),
        ("[1::BIGINT]", "[2::INTEGER]", "array<long>"),
        ("{'a': 1::BIGINT}", "{'a': 2::INTEGER}", "struct<a: long>"),
    ],
)
def test_narrower_types_are_cast(bench, first, second, kept):
    bench.write(f"SELECT {first} AS a", **A)
    bench.write(f"SELECT {second} AS a", run="r2", **A)
    assert bench.types()["a"] == kept
    assert len(bench.read()) == 2


def test_other_partitions_need_a_full_refresh(bench):
    bench.write("SELECT 1 AS a, 'x' AS p", **A)
    with pytest.raises(ConfigError, match="partitioned by nothing, not by p"):
        bench.write("SELECT 1 AS a, 'x' AS p", run="r2", partition_by=("p",), **A)
    result = bench.write("SELECT 2 AS a, 'x' AS p", run="r2", partition_by=("p",), full_refresh=True, **A)
    assert (result.deleted, result.total_rows) == (1, 1)
    assert bench.read(columns="a, _run_id") == [("2", "r2")]
    with pytest.raises(ConfigError, match="'q', which is no column"):
        bench.write("SELECT 2 AS a, 'x' AS p", run="r3", partition_by=("q",), full_refresh=True, **A)
