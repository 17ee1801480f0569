"""Checks and casts against a real DuckDB: what is bad, how many, why."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from adutora.errors import ConfigError, DataError
from adutora.io.casts import Target, duck_type, select, strict
from adutora.runtime import rows
from adutora.runtime.check_run import Finding, column_types, run_checks
from adutora.runtime.checks import Reference, Subject
from adutora.spec.base import Check, Column

AT = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    yield con
    con.close()


def check(con: duckdb.DuckDBPyConnection, values: str, columns: str, **rule: Any) -> Finding:
    """Carry out one check on rows given as SQL values."""
    con.execute("CREATE SCHEMA IF NOT EXISTS silver")
    con.execute(f"CREATE OR REPLACE VIEW silver.t AS SELECT * FROM (VALUES {values}) AS v({columns})")
    kinds = column_types(con, "silver.t")
    con.execute("CREATE OR REPLACE VIEW stores AS SELECT * FROM (VALUES (1, 'a'), (NULL, 'b')) AS v(id, code)")
    references = {"silver.stores": Reference("stores", column_types(con, "stores"))}
    subject = Subject("silver.t", kinds, references, AT)
    return run_checks(con, [Check.model_validate(rule)], subject, "silver.t")[0]


def cast(con: duckdb.DuckDBPyConnection, value: str, source: str, target: str) -> str | None:
    kind = duck_type(target)
    row = con.execute(
        f"SELECT CAST({strict('x', source, kind)} AS VARCHAR) FROM (SELECT CAST({value} AS {source}) AS x)"
    )
    found = row.fetchone()
    return found[0] if found else None


class TestRules:
    @pytest.mark.parametrize(
        ("values", "rule", "failed", "says"),
        [
            ("(1), (NULL)", {"notNull": ["a"]}, 1, "a has no value"),
            ("(1.0::DOUBLE), ('nan'::DOUBLE)", {"notNull": ["a"]}, 1, "a has no value"),
            ("(1), (5), (NULL), (-1)", {"range": {"column": "a", "min": 0, "max": 4}}, 2, "not between 0 and 4"),
            ("(0), (-1)", {"range": {"column": "a", "min": 0}}, 1, "a is -1, less than 0"),
            ("(1), (2)", {"range": {"column": "a", "max": 1.5}}, 1, "a is 2, more than 1.5"),
            ("(1.0::DOUBLE), ('nan'::DOUBLE)", {"range": {"column": "a", "min": 0}}, 1, "a is nan"),
            ("(1.0::DOUBLE), ('inf'::DOUBLE)", {"range": {"column": "a", "max": 1e300}}, 1, "a is inf"),
            ("(DATE '2024-01-01'), ('2025-01-01')", {"range": {"column": "a", "min": "2024-06-01"}}, 1, "2024-01-01"),
            ("('2024-01-01'), ('2025-01-01')", {"range": {"column": "a", "min": "2024-06-01"}}, 1, "2024-01-01"),
            (
                "('new'), ('old'), (NULL)",
                {"acceptedValues": {"column": "a", "values": ["new"]}},
                1,
                "'old', not one of new",
            ),
            ("(1), (2)", {"acceptedValues": {"column": "a", "values": [1]}}, 1, "'2', not one of 1"),
            ("(1), (2)", {"acceptedValues": {"column": "a", "values": ["1", 1.5]}}, 1, "'2'"),
            ("('1'), ('true'), ('2')", {"acceptedValues": {"column": "a", "values": [1, True]}}, 1, "'2'"),
            ("(true), (false)", {"acceptedValues": {"column": "a", "values": [True]}}, 1, "'false'"),
            ("('x@y'), ('x'), (NULL)", {"pattern": {"column": "a", "regex": ".+@.+"}}, 1, "'x', which does not match"),
            ("('ab'), ('abc')", {"pattern": {"column": "a", "regex": "ab"}}, 1, "'abc'"),
            (
                "(1), (7), (NULL)",
                {"references": {"column": "a", "table": "silver.stores", "to": "id"}},
                1,
                "7, which is not in",
            ),
            ("('1'), ('7')", {"references": {"column": "a", "table": "silver.stores", "to": "id"}}, 1, "7"),
            ("(1), (1), (1), (2), (NULL), (NULL)", {"unique": ["a"]}, 2, "a=1 stands 3 times"),
            ("(1), (5)", {"sql": "SELECT * FROM silver.t WHERE a > 4;"}, 1, '{"a":5}'),
            ("(1), (5)", {"sql": "SELECT * FROM silver.t -- all", "where": "a > 4"}, 1, '{"a":5}'),
            ("(1), (2)", {"rowCount": {"min": 3}}, 1, "it has 2 rows, and needs at least 3"),
            ("(1), (2)", {"rowCount": {"max": 1}, "where": "a > 1"}, 0, ""),
            ("(1), (2)", {"rowCount": {"min": 2, "max": 2}}, 0, ""),
            ("(DATE '2026-05-08')", {"freshness": {"column": "a", "maxAge": "2d"}}, 0, ""),
            ("(DATE '2026-05-07')", {"freshness": {"column": "a", "maxAge": "2d"}}, 1, "the newest a is 2026-05-07"),
            ("(TIMESTAMPTZ '2026-05-10 11:00Z')", {"freshness": {"column": "a", "maxAge": "30m"}}, 1, "older than 30m"),
            ("(NULL::DATE)", {"freshness": {"column": "a", "maxAge": "2d"}}, 1, "none"),
            ("(-1), (-5)", {"range": {"column": "a", "min": 0}, "where": "a <> -5"}, 1, "-1"),
            ("(-1), (NULL)", {"notNull": ["a"], "where": "a > -9"}, 0, ""),
        ],
    )
    def test_finds_the_bad_rows_and_says_why(
        self, con: duckdb.DuckDBPyConnection, values: str, rule: dict[str, Any], failed: int, says: str
    ) -> None:
        found = check(con, values, "a", **rule)
        assert found.failed == failed
        assert says in "; ".join(found.examples)

    def test_shows_at_most_three_examples_and_cuts_long_rows(self, con: duckdb.DuckDBPyConnection) -> None:
        found = check(con, "(repeat('x', 9999)), ('x'), ('y'), ('z')", "a", pattern={"column": "a", "regex": "q"})
        assert found.failed == 4
        assert len(found.examples) == 3
        assert max(map(len, found.examples)) < 500

    def test_names_the_nearest_column(self, con: duckdb.DuckDBPyConnection) -> None:
        with pytest.raises(DataError, match=r"names column .amout.*did you mean .amount"):
            check(con, "(1)", "amount", notNull=["amout"])

    def test_case_of_a_column_does_not_matter(self, con: duckdb.DuckDBPyConnection) -> None:
        assert check(con, "(NULL)", '"Amount"', notNull=["amount"]).failed == 1

    def test_names_with_quotes_are_names(self, con: duckdb.DuckDBPyConnection) -> None:
        assert check(con, "(NULL)", '"a""b\'c"', notNull=["a\"b'c"]).examples[0].startswith("a\"b'c has no value")

    @pytest.mark.parametrize(
        "rule",
        [
            {"range": {"column": "a", "min": "x"}},
            {"range": {"column": "a", "min": "1.5"}},
            {"acceptedValues": {"column": "a", "values": ["x"]}},
            {"acceptedValues": {"column": "a", "values": [True]}},
            {"pattern": {"column": "a", "regex": "("}},
            {"freshness": {"column": "a", "maxAge": "1d"}},
            {"notNull": ["a"], "where": "a > "},
            {"notNull": ["a"], "where": "nowhere > 1"},
            {"notNull": ["a"], "where": "true) ; DROP VIEW stores; SELECT (1"},
            {"sql": "DROP VIEW stores"},
            {"sql": "SELECT 1; SELECT 2"},
            {"sql": "SELECT 1) ; DROP VIEW stores; SELECT * FROM (SELECT 1"},
            {"sql": "SELECT * FROM nothing"},
        ],
    )
    def test_refuses_what_does_not_fit(self, con: duckdb.DuckDBPyConnection, rule: dict[str, Any]) -> None:
        with pytest.raises(ConfigError):
            check(con, "(1), (2)", "a", **rule)
        assert con.execute("SELECT count(*) FROM stores").fetchone() == (2,)

    def test_a_number_bound_on_text_is_refused(self, con: duckdb.DuckDBPyConnection) -> None:
        with pytest.raises(ConfigError, match="cannot be compared with column a, which is VARCHAR"):
            check(con, "('1')", "a", range={"column": "a", "min": 0})


class TestCasts:
    @pytest.mark.parametrize(
        ("value", "source", "target", "result"),
        [
            ("'5'", "VARCHAR", "long", "5"),
            ("' 5 '", "VARCHAR", "long", "5"),
            ("'+5'", "VARCHAR", "long", "5"),
            ("'5.00'", "VARCHAR", "long", "5"),
            ("'1e3'", "VARCHAR", "long", "1000"),
            ("'1.5'", "VARCHAR", "long", None),
            ("'1.5e0'", "VARCHAR", "long", None),
            ("'0x10'", "VARCHAR", "long", None),
            ("'1_000'", "VARCHAR", "long", None),
            ("'9223372036854775807'", "VARCHAR", "long", "9223372036854775807"),
            ("'9223372036854775808'", "VARCHAR", "long", None),
            ("'200'", "VARCHAR", "byte", None),
            ("'abc'", "VARCHAR", "decimal(12,2)", None),
            ("'1.239'", "VARCHAR", "decimal(12,2)", None),
            ("'1.2300'", "VARCHAR", "decimal(12,2)", "1.23"),
            ("'-.5'", "VARCHAR", "decimal(12,2)", "-0.50"),
            ("'1e2'", "VARCHAR", "decimal(12,2)", "100.00"),
            ("'1e300'", "VARCHAR", "decimal(12,2)", None),
            ("'nan'", "VARCHAR", "decimal(12,2)", None),
            (
                "'12345678901234567890123456789012345678'",
                "VARCHAR",
                "decimal(38,0)",
                "12345678901234567890123456789012345678",
            ),
            ("1e300", "DOUBLE", "decimal(12,2)", None),
            ("'nan'", "DOUBLE", "decimal(12,2)", None),
            ("0.1", "DOUBLE", "decimal(12,2)", "0.10"),
            ("33.333333", "DOUBLE", "decimal(12,2)", "33.33"),
            ("1.239", "DECIMAL(9,3)", "decimal(12,2)", None),
            ("1.230", "DECIMAL(9,3)", "decimal(12,2)", "1.23"),
            ("1.5", "DOUBLE", "long", None),
            ("2.0", "DOUBLE", "long", "2"),
            ("'inf'", "DOUBLE", "long", None),
            ("9007199254740993", "BIGINT", "double", "9007199254740992.0"),
            ("'1e999'", "VARCHAR", "double", None),
            ("'1e39'", "VARCHAR", "float", None),
            ("'inf'", "VARCHAR", "double", "inf"),
            ("'2024-02-30'", "VARCHAR", "date", None),
            ("'31/12/2024'", "VARCHAR", "date", None),
            ("'2024-01-01'", "VARCHAR", "date", "2024-01-01"),
            ("'2024-01-01 00:00:00'", "VARCHAR", "date", "2024-01-01"),
            ("'2024-01-01 10:00:00'", "VARCHAR", "date", None),
            ("'infinity'", "VARCHAR", "date", None),
            ("'2024-01-01 10:00:00'", "TIMESTAMP", "date", None),
            ("'2024-01-01T10:00:00Z'", "VARCHAR", "timestamp_ntz", "2024-01-01 10:00:00"),
            ("'2024-01-01T10:00:00+02:00'", "VARCHAR", "timestamp_ntz", None),
            ("'2024-01-01T10:00:00+02:00'", "VARCHAR", "timestamp", "2024-01-01 08:00:00+00"),
            ("'2024-01-01'", "VARCHAR", "timestamp", "2024-01-01 00:00:00+00"),
            ("2", "INTEGER", "boolean", None),
            ("1", "INTEGER", "boolean", "true"),
            ("'maybe'", "VARCHAR", "boolean", None),
            ("DATE '2024-01-01'", "DATE", "long", None),
            ("'é'", "VARCHAR", "binary", "\\xC3\\xA9"),
            ("5", "INTEGER", "string", "5"),
            ("[1, 2]", "INTEGER[]", "string", "[1,2]"),
        ],
    )
    def test_a_cast_loses_nothing(
        self, con: duckdb.DuckDBPyConnection, value: str, source: str, target: str, result: str | None
    ) -> None:
        assert cast(con, value, source, target) == result

    def test_an_unknown_type_names_the_nearest(self) -> None:
        with pytest.raises(ConfigError, match="did you mean `decimal"):
            duck_type("decimel(18,2)")
        with pytest.raises(ConfigError, match="at most 38 digits"):
            duck_type("decimal(39,2)")

    def test_every_reason_of_a_row_is_kept(self, con: duckdb.DuckDBPyConnection) -> None:
        declared = [Column(name="a", type="long"), Column(name="b", type="date", required=True)]
        targets = {column.name: Target.of(column) for column in declared}
        con.execute("CREATE TABLE t AS SELECT * FROM (VALUES ('x', ''), ('', '2024-01-01')) AS v(a, b)")
        columns = column_types(con, "t")
        found = con.execute(select(columns, targets, "t", rows.to_json(columns))).fetchall()
        assert found[0] == (
            None,
            None,
            "column a: 'x' is no long; column b: has no value, and needs one",
            '{"a":"x","b":""}',
        )
        assert found[1] == (None, dt.date(2024, 1, 1), None, None)


def test_a_row_as_json_gives_every_value_back(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(
        """CREATE TABLE t AS SELECT 12345678901234567890.123456::DECIMAL(38,6) AS "d/~""x", 9007199254740993 AS b,
        TIMESTAMPTZ '2024-01-01 10:00:00.123456+02' AS t, '\\xFF\\x00'::BLOB AS x, 'nan'::DOUBLE AS n, 0.1::DOUBLE AS f,
        0.1::FLOAT AS g, DATE '2024-01-01' AS y, 'a"b' AS s, true AS o, [1.5::DECIMAL(4,2)] AS l, NULL::INT AS z,
        170141183460469231731687303715884105727::HUGEINT AS h, TIMESTAMP '2024-01-01 00:00:00.000001' AS p"""
    )
    columns = column_types(con, "t")
    con.execute(f"CREATE TABLE j AS SELECT CAST({rows.to_json(columns)} AS VARCHAR) AS r FROM t")
    back = ", ".join(
        f"{strict(rows.from_json('r', name), 'VARCHAR', kind)} IS NOT DISTINCT FROM (SELECT {duckdb_name(name)} FROM t)"
        for name, kind in columns.items()
    )
    assert set(con.execute(f"SELECT {back} FROM j").fetchone() or ()) == {True}


def duckdb_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
