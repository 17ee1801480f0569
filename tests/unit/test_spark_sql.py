"""Translation of a statement to Spark: what it becomes, what is refused and where. Rows are compared in tests/spark."""

import pytest
import sqlglot

from adutora.sparksql import Refused, translate
from adutora.sparksql.formats import java_format
from adutora.sparksql.nodes import FUNCTIONS, PLAIN
from tests.spark_cases import SCALARS, STATEMENTS, expressions

NEVER_SEEN = {"Placeholder"}  # a parameter, which has a test of its own

REFUSED = {
    "SELECT foo(a) FROM t": "the function foo()",
    "SELECT approx_quantile(a, 0.5) FROM t": "approx_quantile",
    "SELECT random() FROM t": "random()",
    "SELECT a FROM t POSITIONAL JOIN u": "JOIN",
    "SELECT a FROM t ASOF JOIN u ON t.a >= u.a": "JOIN",
    "PIVOT t ON a USING sum(b)": "PIVOT",
    "SELECT * FROM t UNION BY NAME SELECT * FROM u": "UNION BY NAME",
    "SELECT a FROM t USING SAMPLE 10%": "sample",
    "WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT * FROM r": "RECURSIVE",
    "SELECT * FROM range(5)": "table that a function gives",
    "SELECT a->>'$.b' FROM t": "JSON",
    "SELECT DISTINCT ON (a) a, b FROM t": "DISTINCT ON",
    "SELECT list(a) FROM t": "without one ORDER BY",
    "SELECT string_agg(a, ',') FROM t": "without ORDER BY",
    "SELECT mode(a) FROM t": "mode()",
    "SELECT max(a, 2) FROM t": "count",
    "SELECT regexp_replace(a, 'x', 'y') FROM t": "first match alone",
    "SELECT regexp_matches(a, b) FROM t": "not written out",
    "SELECT regexp_matches(a, '[[:alpha:]]') FROM t": "Java reads otherwise",
    "SELECT strftime(a, '%U') FROM t": "does not have",
    "SELECT CAST(a AS UUID) FROM t": "a cast to UUID",
    "SELECT CAST(a AS UINTEGER) FROM t": "a cast to UINTEGER",
    "SELECT l[i] FROM t": "not one number",
    "SELECT l[0] FROM t": "counts from 1",
    "SELECT l[1:2] FROM t": "slice",
    "SELECT d + INTERVAL (i) DAY FROM t": "not written out",
    "SELECT COLUMNS('a.*') FROM t": "COLUMNS",
    "SET VARIABLE x = 1; SELECT 1": "SET",
    "CREATE TEMP MACRO f(a) AS a + 1; SELECT f(1)": "MACRO",
    "CREATE TEMP TABLE x (a INTEGER); SELECT a FROM x": "CREATE TABLE",
    "CREATE TEMP TABLE x AS SELECT 1 AS a; INSERT INTO x SELECT 2; SELECT a FROM x": "INSERT",
    "SELECT sum(a) OVER (ORDER BY b GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t": "this frame",
    "SELECT a FROM t, unnest(t.l) AS u(x)": "unnest",
}


@pytest.mark.parametrize("query", REFUSED)
def test_what_spark_does_otherwise_is_refused(query: str) -> None:
    with pytest.raises(Refused) as refused:
        translate(query)
    assert REFUSED[query].casefold() in refused.value.message.casefold()
    assert refused.value.hint


def test_the_refusal_says_where() -> None:
    query = "SELECT a,\n  upper(foo(b)) FROM t"
    with pytest.raises(Refused) as refused:
        translate(query)
    assert query[refused.value.offset :].startswith("foo(b)")


def test_a_text_that_is_no_sql() -> None:
    with pytest.raises(Refused, match="cannot be translated"):
        translate("SELECT FROM WHERE )")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELECT a FROM bronze.t", "SELECT a FROM `v0` AS `t`"),
        ("SELECT bronze.t.a FROM bronze.t", "SELECT t.a FROM `v0` AS `t`"),
        ("SELECT x.a FROM Bronze.T AS x", "SELECT x.a FROM `v0` AS x"),
        ("WITH raw AS (SELECT a FROM raw) SELECT a FROM raw", "WITH raw AS (SELECT a FROM `v1` AS `raw`) SELECT a FROM raw"),
        ("WITH q AS (SELECT a FROM raw) SELECT (SELECT max(a) FROM q) AS m", "WITH q AS (SELECT a FROM `v1` AS `raw`) SELECT (SELECT MAX(a) FROM q) AS m"),
        ("SELECT a FROM raw WHERE a = $adutora_0", "SELECT a FROM `v1` AS `raw` WHERE a = :adutora_0"),
        ("SELECT a FROM raw ORDER BY a", "SELECT a FROM `v1` AS `raw` ORDER BY a NULLS LAST"),
        ("SELECT '${env:HOME}' AS a, 'it''s \\n'", "SELECT '${env:HOME}' AS a, 'it\\'s \\\\n'"),
    ],
)  # fmt: skip
def test_names_and_values(query: str, wanted: str) -> None:
    [statement] = translate(query)
    assert statement.render({"bronze.t": "v0", "raw": "v1"}) == wanted


def test_parameters_and_stars_are_known() -> None:
    made, last = translate("CREATE TEMP TABLE x AS SELECT $a AS a; SELECT *, $b FROM x")
    assert (made.kind, made.name, made.parameters, last.parameters) == ("table", "x", {"a"}, {"b"})
    assert last.has_star
    assert not made.has_star


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("%Y-%m-%d", "yyyy-MM-dd", "yyyy-M-d"),
        ("%Y%m%d", "yyyyMMdd", "yyyyMMdd"),
        ("%Y-%m-%dT%H:%M:%SZ", "yyyy-MM-dd'T'HH:mm:ss'Z'", "yyyy-M-d'T'H:m:s'Z'"),
        ("%d o'clock %%", "dd 'o''clock' %", "d 'o''clock' %"),
        ("%U", None, None),
        ("100%", None, None),
    ],
)
def test_formats(text: str, written: str | None, read: str | None) -> None:
    assert (java_format(text), java_format(text, reading=True)) == (written, read)


def test_each_function_that_is_let_through_is_compared_on_both_engines() -> None:
    texts = [f"SELECT {each} FROM t" for group in SCALARS for each in expressions(group)] + list(STATEMENTS.values())
    seen = {
        type(node).__name__ for text in texts for tree in sqlglot.parse(text, read="duckdb") for node in tree.walk()
    }
    assert FUNCTIONS - seen == set()
    assert PLAIN - seen <= NEVER_SEEN
