"""`overwritePartitions`, with values of many types, and null."""

import pytest

from adutora.errors import ConfigError

P = {"mode": "overwritePartitions", "partition_by": ("p",)}


def test_only_partitions_that_differ_are_replaced(bench):
    bench.write("SELECT i AS a, i // 10 AS p FROM range(40) t(i)", **P)
    result = bench.write("SELECT i + (i // 19) AS a, i // 10 AS p FROM range(20) t(i)", **P)
    assert (result.inserted, result.deleted, result.unchanged, result.total_rows) == (10, 10, 10, 40)
    same = bench.write("SELECT i + (i // 19) AS a, i // 10 AS p FROM range(20) t(i)", **P)
    assert (same.changed, same.unchanged) == (False, 20)
    assert len(bench.read()) == 40


@pytest.mark.parametrize(
    "values",
    [
        "date '2024-01-01' + i::INTEGER",
        "timestamp '2024-01-01 00:00:00.000001' + interval (i) hour",
        "timestamptz '2024-01-01 00:00:00.5+00' + interval (i) hour",
        "i",
        "-i::INTEGER",
        "i::DECIMAL(12,2) / 2",
        "i + 0.1::DOUBLE",
        "i % 2 = 0",
        "'it''s \"é\" %2F/=' || i",
        "' ' || i",
    ],
)
def test_values_of_each_type_and_null(bench, values):
    rows = f"SELECT i AS a, CASE WHEN i > 0 THEN {values} END AS p FROM range(4) t(i)"
    bench.write(rows, **P)
    before = bench.read(columns="p, a")
    for i in (0, 1):
        row = f"SELECT a + 100 AS a, p FROM ({rows}) WHERE a = {i}"
        result = bench.write(row, **P)
        assert result.changed
        assert result.total_rows == len(bench.read())
    after = bench.read(columns="p, a")
    assert {p for p, _ in before} == {p for p, _ in after}
    assert sorted(a for _, a in after if len(a) == 3) == ["100", "101"]
    assert not {"0", "1"} & {a for _, a in after}


@pytest.mark.parametrize("name", ["n", "h", "x", "o", "t"])
def test_a_partition_column_may_have_any_name(bench, name):
    request = {"mode": "overwritePartitions", "partition_by": (name,)}
    bench.write(f"SELECT i AS a, i // 10 AS {name} FROM range(40) t(i)", **request)
    result = bench.write(f"SELECT i + (i // 19) AS a, i // 10 AS {name} FROM range(20) t(i)", **request)
    assert (result.inserted, result.deleted, result.unchanged, result.total_rows) == (10, 10, 10, 40)


def test_two_columns_and_partitions_without_rows(bench):
    request = {"mode": "overwritePartitions", "partition_by": ("p", "q")}
    bench.write("SELECT i AS a, i % 3 AS p, CASE WHEN i < 5 THEN 'x' END AS q FROM range(9) t(i)", **request)
    bench.con.execute("CREATE TEMP TABLE gone AS SELECT 1::SMALLINT AS p, NULL AS q UNION ALL SELECT 7, 'none'")
    result = bench.write("SELECT 50 AS a, 0::BIGINT AS p, 'x' AS q", replaces_partitions="gone", **request)
    assert (result.inserted, result.deleted) == (1, 3)
    assert bench.read(columns="p, q, a") == bench.rows(
        "SELECT i % 3 AS p, CASE WHEN i < 5 THEN 'x' END AS q, i AS a FROM range(9) t(i) "
        "WHERE NOT (i % 3 = 0 AND i < 5) AND NOT (i % 3 = 1 AND i >= 5) UNION ALL SELECT 0, 'x', 50"
    )


def test_thousands_of_partitions_at_once(bench):
    request = {"mode": "overwritePartitions", "partition_by": ("p", "q")}
    rows = "SELECT i AS a, i // 2 AS p, i % 2 AS q FROM range(3000) t(i)"
    bench.write(rows, **request)
    result = bench.write(rows.replace("i AS a", "i + 1 AS a"), **request)
    assert (result.inserted, result.deleted) == (3000, 3000)


def test_no_rows_no_change(bench):
    bench.write("SELECT 1 AS a, 1 AS p", **P)
    assert not bench.write("SELECT 1 AS a, 1 AS p LIMIT 0", **P).changed


def test_a_column_more(bench):
    bench.write("SELECT 1 AS a, 1 AS p UNION ALL SELECT 2, 2", **P)
    bench.write("SELECT 5 AS a, 1 AS p, now()::TIMESTAMP AS t", **P)
    assert bench.read(columns="a, p, t IS NULL") == [("2", "2", "true"), ("5", "1", "false")]


def test_what_cannot_be(bench):
    with pytest.raises(ConfigError, match="needs a partitioned table"):
        bench.write("SELECT 1 AS a", mode="overwritePartitions")
    bench.write("SELECT 'x'::BLOB AS p, 1 AS a", "silver.b", **P)
    with pytest.raises(ConfigError, match="binary cannot split"):
        bench.write("SELECT 'x'::BLOB AS p, 2 AS a", "silver.b", **P)
