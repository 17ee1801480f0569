"""Rows as keys and fields of text."""

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from adutora.errors import ConfigError, DataError
from adutora.io.online.text import KEY, text_rows


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'America/Sao_Paulo'")  # must not matter
        yield con


def texts(
    con: duckdb.DuckDBPyConnection, query: str, key: list[str], columns: list[str] | None = None
) -> list[dict[str, Any]]:
    con.execute(f"CREATE OR REPLACE TEMP TABLE t AS {query}")
    return [row for batch in text_rows(con, "t", key, columns) for row in batch.to_pylist()]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("65000.0::DOUBLE", "65000.0"),
        ("0.1::DOUBLE + 0.2::DOUBLE", "0.30000000000000004"),
        ("0.1::FLOAT", "0.1"),
        ("1e20::DOUBLE", "1e+20"),
        ("'nan'::DOUBLE", "nan"),
        ("'-inf'::DOUBLE", "-inf"),
        ("3::BIGINT", "3"),
        ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
        ("12.50::DECIMAL(12,2)", "12.50"),
        ("true", "true"),
        ("DATE '2026-01-02'", "2026-01-02"),
        ("TIMESTAMPTZ '2026-01-02 03:04:05.5+02:00'", "2026-01-02T01:04:05.5Z"),
        ("TIMESTAMP '2026-01-02 03:04:05'", "2026-01-02T03:04:05"),
        ("'infinity'::TIMESTAMPTZ", "infinity"),
        ("''", ""),
        ("NULL::INTEGER", None),
        ("'\\x00\\xFF'::BLOB", "AP8="),
        ("[1, NULL, 3]", "[1,null,3]"),
        ("{'a': 1, 'b': ['x']}", '{"a":1,"b":["x"]}'),
        ("MAP {'a': 1.5}", '{"a":1.5}'),
        ("NULL::INTEGER[]", None),
        ("'{\"a\":  1}'::JSON", '{"a":  1}'),
    ],
)
def test_values(con: duckdb.DuckDBPyConnection, value: str, text: str | None) -> None:
    assert texts(con, f"SELECT 'k' AS k, {value} AS v", ["k"], ["v"]) == [{KEY: "k", "v": text}]


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("'São Paulo'", "São Paulo"),
        ("'a:b%c'", "a%3Ab%25c"),
        ("'%3A'", "%253A"),
        ("'a' || chr(10) || chr(0) || chr(127)", "a%0A%00%7F"),
        ("''", ""),
        ("17", "17"),
        ("TIMESTAMP '2026-01-02 03:04:05'", "2026-01-02T03%3A04%3A05"),
        ("'*?[x]'", "*?[x]"),
    ],
)
def test_keys(con: duckdb.DuckDBPyConnection, value: str, key: str) -> None:
    rows = texts(con, f'SELECT {value} AS a, \'SP\' AS "b""c", 1 AS n', ["a", 'b"c'], ["n"])
    assert rows == [{KEY: f"{key}:SP", "n": "1"}]


def test_different_keys_never_meet(con: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT * FROM (VALUES ('a:b', 'c'), ('a', 'b:c'), ('a%3Ab', 'c')) t(x, y)"
    assert len({row[KEY] for row in texts(con, query, ["x", "y"])}) == 3


def test_default_columns_are_all_but_the_system_s(con: duckdb.DuckDBPyConnection) -> None:
    (row,) = texts(con, "SELECT 'a' AS k, 1 AS n, 'x' AS _source, 2 AS \"weird \"\"name\"", ["k"])
    assert row == {KEY: "a", "k": "a", "n": "1", 'weird "name': "2"}
    (row,) = texts(con, "SELECT 'a' AS k, 1 AS n, 'x' AS _source", ["k"], ["_source"])
    assert row == {KEY: "a", "_source": "x"}


def test_null_key(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DataError, match="key column k is null in 2 rows"):
        texts(con, "SELECT * FROM (VALUES ('a', 1), (NULL, 2), (NULL, 3)) t(k, n)", ["k"])


def test_double_keys(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(DataError, match=r"5 keys come more than once: '0' \(2 rows\), '1' \(2 rows\), '2' .*, …"):
        texts(con, "SELECT i % 5 AS k FROM range(10) t(i)", ["k"])
    with pytest.raises(DataError, match=r"1 key comes more than once: 'it''s' \(3 rows\) \(aggregate"):
        texts(con, "SELECT 'it''s' AS k FROM range(3)", ["k"])


@pytest.mark.parametrize(("key", "other"), [("city", "k"), ("city", "K"), ("k", "n"), ("n", "k")])
def test_columns_may_have_any_name(con: duckdb.DuckDBPyConnection, key: str, other: str) -> None:
    query = f"SELECT 'a' || i AS {key}, 1 AS {other} FROM range(2) t(i)"
    assert [row[KEY] for row in texts(con, query, [key])] == ["a0", "a1"]
    with pytest.raises(DataError, match="1 key comes more than once"):
        texts(con, f"SELECT 'a' AS {key}, i AS {other} FROM range(2) t(i)", [key])


def test_unknown_columns(con: duckdb.DuckDBPyConnection) -> None:
    for key, columns in ((["citi"], None), (["city"], ["citi"])):
        with pytest.raises(ConfigError, match="no column citi to publish") as caught:
            texts(con, "SELECT 'a' AS city, 1 AS n", key, columns)
        assert caught.value.hint == "did you mean city?"
    with pytest.raises(ConfigError, match="no field"):
        texts(con, "SELECT 'a' AS _city", ["_city"])


def test_wide_rows_go_in_smaller_batches(con: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(f"1 AS c{i}" for i in range(400))
    con.execute(f"CREATE TEMP TABLE t AS SELECT i, {columns} FROM range(2000) t(i)")
    sizes = [batch.num_rows for batch in text_rows(con, "t", ["i"], None)]
    assert sum(sizes) == 2000
    assert max(sizes) <= 500
