"""Types of DuckDB as Delta keeps them."""

import pytest

from adutora.errors import DataError


@pytest.mark.parametrize(
    ("value", "kind", "back"),
    [
        ("true", "boolean", "true"),
        ("1::TINYINT", "byte", "1"),
        ("1::SMALLINT", "short", "1"),
        ("1::INTEGER", "integer", "1"),
        ("9223372036854775807", "long", "9223372036854775807"),
        ("255::UTINYINT", "short", "255"),
        ("65535::USMALLINT", "integer", "65535"),
        ("4294967295::UINTEGER", "long", "4294967295"),
        ("7::UBIGINT", "long", "7"),
        ("18446744073709551615::UBIGINT", "decimal(38,0)", "18446744073709551615"),
        ("sum(3::BIGINT)", "long", "3"),
        ("9223372036854775808::HUGEINT", "decimal(38,0)", "9223372036854775808"),
        ("1.5::FLOAT", "float", "1.5"),
        ("0.1::DOUBLE", "double", "0.1"),
        ("'nan'::DOUBLE", "double", "nan"),
        ("1.50::DECIMAL(12,2)", "decimal(12,2)", "1.50"),
        ("'São'", "string", "São"),
        ("'a\\x00'::BLOB", "binary", "a\\x00"),
        ("date '2024-02-29'", "date", "2024-02-29"),
        ("timestamp '2024-02-29 10:11:12.123456'", "timestamp_ntz", "2024-02-29 10:11:12.123456"),
        ("timestamp_ns '2024-02-29 10:11:12.123456789'", "timestamp_ntz", "2024-02-29 10:11:12.123457"),
        ("timestamp_s '2024-02-29 10:11:12'", "timestamp_ntz", "2024-02-29 10:11:12"),
        ("timestamptz '2024-02-29 10:11:12-03'", "timestamp", "2024-02-29 13:11:12+00"),
        ("time '10:11:12.5'", "string", "10:11:12.5"),
        ("interval 90 minutes", "string", "01:30:00"),
        ("'1e93ed46-7b47-4f3c-9f3b-8e5d2f1c0a11'::UUID", "string", "1e93ed46-7b47-4f3c-9f3b-8e5d2f1c0a11"),
        ("'b'::ENUM('a', 'b')", "string", "b"),
        ("""'{"a": 1}'::JSON""", "string", '{"a": 1}'),
        ("'101'::BIT", "string", "101"),
        ("NULL", "string", None),
        ("[1, NULL]", "array<integer>", "[1, NULL]"),
        ("[1, 2]::INTEGER[2]", "array<integer>", "[1, 2]"),
        ("[NULL]", "array<string>", "[NULL]"),
        (
            "{'a': 1, 'b': {'c': uuid()::VARCHAR IS NULL}}",
            "struct<a: integer, b: struct<c: boolean>>",
            "{'a': 1, 'b': {'c': false}}",
        ),
        ("map{'k': 1::HUGEINT}", "map<string, decimal(38,0)>", "{k=1}"),
    ],
)
def test_each_type(bench, value, kind, back):
    query = f"SELECT {value} AS a, 1 AS b"
    bench.write(query)
    assert bench.types()["a"] == kind
    assert bench.read(columns="a") == [(back,)]
    assert not bench.write(query).changed


def test_a_sum_keeps_its_type(bench):
    bench.write("SELECT 9223372036854775808::HUGEINT AS s")
    bench.write("SELECT 1::HUGEINT AS s")
    assert bench.types() == {"s": "decimal(38,0)"}  # not long today and decimal tomorrow
    bench.write("SELECT 5::INTEGER AS s")
    assert bench.read() == [("5",)]
    assert bench.types() == {"s": "decimal(38,0)"}


def test_a_sum_that_outgrows_its_column(bench):
    bench.write("SELECT 1::HUGEINT AS s", mode="append")
    with pytest.raises(DataError, match="no long, for example 9223372036854775808"):
        bench.write("SELECT 9223372036854775808::HUGEINT AS s", mode="append", run="r2")
    bench.write("SELECT 1::HUGEINT AS s", "silver.o")
    bench.write("SELECT 9223372036854775808::HUGEINT AS s", "silver.o")
    assert bench.types("silver.o") == {"s": "decimal(38,0)"}
    with pytest.raises(DataError, match=r"no decimal\(38,0\)"):
        bench.write("SELECT 170141183460469231731687303715884105727::HUGEINT AS s", "silver.o")


@pytest.mark.parametrize(
    "value",
    [
        "date 'infinity'",
        "timestamp '-infinity'",
        "date '10000-01-01'",
        "date '0044-03-15 (BC)'",
        "timestamptz 'infinity'",
    ],
)
def test_dates_that_no_reader_can_hold(bench, value):
    with pytest.raises(DataError, match=r"in column 'd' \(1\)"):
        bench.write(f"SELECT {value} AS d")
    assert not bench.lake.exists("silver.t")


def test_naive_timestamps_come_late(bench):
    bench.write("SELECT 1 AS a, 1 AS k", mode="merge", key=("k",))
    bench.write("SELECT 2 AS a, 1 AS k, timestamp '2024-01-01' AS t", mode="merge", key=("k",))
    assert bench.read() == [("2", "1", "2024-01-01 00:00:00")]
