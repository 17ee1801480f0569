"""Rows into a table of a real lake, by the table's rules."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.runtime.context import StageContext

Maker = Callable[..., StageContext]
COLUMNS = [
    {"name": "order_id", "type": "long"},
    {"name": "day", "type": "date", "required": True},
    {"name": "amount", "type": "decimal(12,2)"},
]


def orders(*checks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "silver.orders", "checks": list(checks), **fields}


def give(ctx: StageContext, values: str, columns: str, name: str = "given") -> str:
    """Make a relation from SQL values."""
    ctx.con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM (VALUES {values}) AS v({columns})")
    return name


def table(ctx: StageContext, name: str = "silver.orders", columns: str = "*") -> list[tuple[Any, ...]]:
    """Read a table of the lake, sorted."""
    ctx.lake.register(ctx.con, name, "test.seen")
    return ctx.con.execute(f"SELECT {columns} FROM test.seen ORDER BY ALL").fetchall()


def rejected(ctx: StageContext, name: str = "silver.orders") -> list[tuple[str, str | None, Any]]:
    """Read what was set aside: reason, source and the row."""
    ctx.lake.rejected(ctx.con, name, "test.aside")
    found = ctx.con.execute("SELECT _reason, _source, _row FROM test.aside ORDER BY ALL").fetchall()
    return [(reason, source, json.loads(row)) for reason, source, row in found]


OUTPUT = {"table": "silver.orders"}


class TestColumns:
    def test_values_are_cast_and_what_cannot_be_is_set_aside(self, stage_context: Maker) -> None:
        ctx = stage_context(orders(columns=COLUMNS), output=OUTPUT)
        rows = "('1', '2026-05-01', '5.1', 'a.csv'), ('1.5', '2026-05-01', '1e300', 'a.csv'), ('3', '', '1', 'b.csv')"
        ctx.write(give(ctx, rows, "ORDER_ID, day, amount, _source"))
        assert table(ctx, columns="order_id, day, amount") == [(1, dt.date(2026, 5, 1), Decimal("5.10"))]
        assert rejected(ctx) == [
            (
                "column day: has no value, and needs one",
                "b.csv",
                {"ORDER_ID": "3", "day": "", "amount": "1"},
            ),
            (
                "column order_id: '1.5' is no long; column amount: '1e300' is no decimal(12,2)",
                "a.csv",
                {"ORDER_ID": "1.5", "day": "2026-05-01", "amount": "1e300"},
            ),
        ]
        assert (ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (1, 2)

    def test_frozen_columns_are_told_all_at_once_with_the_nearest_name(self, stage_context: Maker) -> None:
        ctx = stage_context(orders(columns=COLUMNS), output=OUTPUT)
        with pytest.raises(DataError) as caught:
            ctx.write(give(ctx, "(1, 2, 3, 4)", "order_id, date, amuont, extra"))
        assert "has no column 'day'; has no column 'amount' (is it 'amuont'?)" in caught.value.message
        assert "has column 'date', 'amuont', 'extra', which the table does not declare" in caught.value.message
        assert not ctx.lake.exists("silver.orders")

    def test_evolve_keeps_new_columns_and_fills_lacking_ones(self, stage_context: Maker) -> None:
        ctx = stage_context(orders(columns=COLUMNS, schema="evolve"), output=OUTPUT)
        ctx.write(give(ctx, "(1, '2026-05-01', 'x')", "order_id, day, extra"))
        assert table(ctx) == [(1, dt.date(2026, 5, 1), None, "x")]
        with pytest.raises(DataError, match="has no column 'day'"):
            ctx.write(give(ctx, "(1, 1)", "order_id, amount"))

    def test_system_columns_of_ones_own_are_refused(self, stage_context: Maker) -> None:
        ctx = stage_context(output=OUTPUT)
        with pytest.raises(DataError, match="'_mine' begins with `_`"):
            ctx.write(give(ctx, "(1, 2)", "a, _mine"))

    def test_a_column_named_rowid_is_a_column(self, stage_context: Maker) -> None:
        ctx = stage_context(orders({"range": {"column": "rowid", "min": 0}, "onFail": "quarantine"}), output=OUTPUT)
        ctx.write(give(ctx, "(7, 'a'), (7, 'b'), (-7, 'c')", "rowid, a"))
        assert table(ctx) == [(7, "a"), (7, "b")]
        assert [row for *_, row in rejected(ctx)] == [{"rowid": -7, "a": "c"}]


class TestKey:
    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            ("(1, 'a'), (NULL, 'b')", "check key-not-null: 1 of 2 rows are bad: id has no value"),
            ("(1, 'a'), (1, 'b'), (1, 'c')", "check key-unique: 2 of 3 rows are bad: id=1 stands 3 times"),
        ],
    )
    def test_a_bad_key_fails_and_says_the_way_out(self, stage_context: Maker, rows: str, says: str) -> None:
        ctx = stage_context(orders(key=["id"]), output=OUTPUT)
        with pytest.raises(DataError) as caught:
            ctx.write(give(ctx, rows, "id, a"))
        assert says in caught.value.message
        assert "onFail: quarantine" in (caught.value.hint or "")
        assert not ctx.lake.exists("silver.orders")

    def test_quarantine_takes_bad_keys_away_first(self, stage_context: Maker) -> None:
        checks = [{"unique": ["id"], "onFail": "quarantine"}, {"notNull": ["id"], "onFail": "quarantine"}]
        ctx = stage_context(orders(*checks, key=["id"]), output=OUTPUT)
        ctx.write(give(ctx, "(1, 'a'), (NULL, 'b'), (1, 'c'), (2, 'd')", "id, a"))
        assert table(ctx) == [(1, "a"), (2, "d")]
        assert [(reason, row["a"]) for reason, _, row in rejected(ctx)] == [
            ("notNull-id: id has no value", "b"),
            ("unique-id: id as in an earlier row", "c"),
        ]

    def test_merge_with_latest_by_may_bring_a_key_twice(self, stage_context: Maker) -> None:
        output = {**OUTPUT, "mode": "merge", "latestBy": "seen"}
        ctx = stage_context(orders(key=["id"]), output=output)
        ctx.write(give(ctx, "(1, 1), (1, 2)", "id, seen"))
        assert table(ctx) == [(1, 2)]


class TestChecks:
    def test_a_row_carries_all_its_reasons_and_counts_add_up(self, stage_context: Maker) -> None:
        checks = [
            {"range": {"column": "amount", "min": 0}, "onFail": "quarantine", "name": "no-refunds"},
            {"notNull": ["store"], "onFail": "quarantine"},
            {"acceptedValues": {"column": "status", "values": ["new"]}, "onFail": "warn"},
        ]
        ctx = stage_context(orders(*checks), output=OUTPUT)
        ctx.write(
            give(ctx, "(1, 1, 'new'), (-2, NULL, 'new'), (-3, 1, 'x'), (4, 1, 'x')", "amount, store, status"), rows_in=4
        )
        assert table(ctx) == [(1, 1, "new"), (4, 1, "x")]
        assert [reason for reason, *_ in rejected(ctx)] == [
            "no-refunds: amount is -2, less than 0; notNull-store: store has no value",
            "no-refunds: amount is -3, less than 0",
        ]
        out = ctx.outcome
        assert (out.rows_in, out.rows_out, out.rows_rejected) == (4, 2, 2)
        assert out.metrics["checks.no-refunds.failed"] == 2
        assert len(out.warnings) == 1
        assert "acceptedValues-status: 1 of 2 rows are bad: status is 'x'" in out.warnings[0]
        assert out.tables[0]["table"] == "silver.orders"

    def test_a_failed_check_keeps_the_last_commit_and_names_all_failures(self, stage_context: Maker) -> None:
        checks = [{"range": {"column": "a", "min": 0}}, {"rowCount": {"min": 3}}, {"notNull": ["a"]}]
        ctx = stage_context(orders(*checks), output=OUTPUT)
        ctx.write(give(ctx, "(1), (2), (3)", "a"))
        later = stage_context(orders(*checks), output=OUTPUT, run="r-2")
        with pytest.raises(DataError) as caught:
            later.write(give(later, "(-1), (5)", "a"))
        assert 'check range-a: 1 of 2 rows are bad: a is -1, less than 0 in {"a":-1}' in caught.value.message
        assert "check rowCount: it has 2 rows, and needs at least 3" in caught.value.message
        assert "notNull" not in caught.value.message
        assert table(later) == [(1,), (2,), (3,)]

    def test_a_duplicate_of_a_quarantined_row_is_none(self, stage_context: Maker) -> None:
        checks = [
            {"unique": ["id"], "onFail": "quarantine"},
            {"range": {"column": "a", "min": 0}, "onFail": "quarantine"},
        ]
        ctx = stage_context(orders(*checks), output=OUTPUT)
        ctx.write(give(ctx, "(1, -1), (1, 5)", "id, a"))
        assert table(ctx) == [(1, 5)]

    def test_sql_sees_the_new_rows_and_quarantines_whole_rows_or_keys(self, stage_context: Maker) -> None:
        query = "SELECT id FROM silver.orders GROUP BY id HAVING sum(a) > 9"
        both = [{"sql": query, "onFail": "quarantine", "name": "much"},
                {"sql": "SELECT * FROM silver.orders WHERE a = 3", "onFail": "quarantine"}]  # fmt: skip
        ctx = stage_context(orders(*both, key=["id"]), output=OUTPUT)
        ctx.write(give(ctx, "(1, 10), (2, 3), (3, 4)", "id, a"))
        assert table(ctx) == [(3, 4)]
        assert [reason for reason, *_ in rejected(ctx)] == ["much: returned by its query", "sql: returned by its query"]

    @pytest.mark.parametrize("query", ["SELECT 1 AS x", "SELECT id, a + 1 AS a FROM silver.orders"])
    def test_sql_that_returns_no_rows_of_the_table_cannot_quarantine(self, stage_context: Maker, query: str) -> None:
        ctx = stage_context(orders({"sql": query, "onFail": "quarantine"}), output=OUTPUT)
        with pytest.raises(ConfigError, match="rows"):
            ctx.write(give(ctx, "(1, 10)", "id, a"))

    @pytest.mark.parametrize("where", [False, True])
    def test_sql_opens_no_file(self, stage_context: Maker, tmp_path: Any, where: bool) -> None:
        secret = tmp_path / "secret.csv"
        secret.write_text("a\n1\n")
        read = f"SELECT a FROM read_csv('{secret}')"
        rule = {"notNull": ["a"], "where": f"a IN ({read})"} if where else {"sql": read}
        ctx = stage_context(orders(rule), output=OUTPUT)
        with pytest.raises(ConfigError, match="declared inputs"):
            ctx.write(give(ctx, "(1)", "a"))

    def test_references_look_into_the_lake_and_into_the_table_itself(self, stage_context: Maker) -> None:
        stores = stage_context({"name": "silver.stores"}, output={"table": "silver.stores"})
        stores.write(give(stores, "(1), (2)", "id"))
        checks = [{"references": {"column": "store", "table": "silver.stores", "to": "id"}, "onFail": "quarantine"},
                  {"references": {"column": "boss", "table": "silver.orders", "to": "id"}, "onFail": "quarantine"}]  # fmt: skip
        ctx = stage_context(orders(*checks, key=["id"]), output={**OUTPUT, "mode": "merge"})
        ctx.write(give(ctx, "(1, 1, NULL), (2, 1, 1), (3, 9, 1), (4, 1, 3), (5, 1, 4)", "id, store, boss"))
        assert table(ctx) == [(1, 1, None), (2, 1, 1)]  # 4 goes with 3, and 5 with 4
        later = stage_context(orders(*checks, key=["id"]), output={**OUTPUT, "mode": "merge"}, run="r-2")
        later.write(give(later, "(6, 2, 2)", "id, store, boss"))
        assert table(later)[-1] == (6, 2, 2)

    def test_a_table_that_is_not_there_names_the_nearest(self, stage_context: Maker) -> None:
        stores = stage_context({"name": "silver.stores"}, output={"table": "silver.stores"})
        stores.write(give(stores, "(1)", "id"))
        check = {"references": {"column": "a", "table": "silver.store", "to": "id"}}
        ctx = stage_context(orders(check), output=OUTPUT)
        with pytest.raises(ConfigError, match=r"silver\.stores"):
            ctx.write(give(ctx, "(1)", "a"))

    def test_quarantine_of_a_table_check_is_refused(self, stage_context: Maker) -> None:
        ctx = stage_context(orders({"rowCount": {"min": 1}, "onFail": "quarantine"}), output=OUTPUT)
        with pytest.raises(ConfigError, match="no rows to quarantine"):
            ctx.write(give(ctx, "(1)", "a"))

    @pytest.mark.parametrize(
        ("output", "second", "count"),
        [
            ({"mode": "append"}, "(3, 1), (4, 1)", 4),
            ({"mode": "merge"}, "(2, 2), (3, 1)", 3),
            ({"mode": "merge", "deleteWhere": "day = 9"}, "(2, 9), (3, 1)", 2),
            ({"mode": "merge", "missing": {"action": "delete"}}, "(2, 2)", 1),
            ({"mode": "overwritePartitions"}, "(3, 1)", 2),
        ],
    )
    def test_row_count_is_the_tables_after_the_write(
        self, stage_context: Maker, output: dict[str, Any], second: str, count: int
    ) -> None:
        def run(name: str, values: str, low: int) -> None:
            described = orders({"rowCount": {"min": low, "max": low}}, key=["id"], partitionBy=["day"])
            ctx = stage_context(described, output={**OUTPUT, **output}, run=name)
            ctx.write(give(ctx, values, "id, day"))

        run("r-1", "(1, 1), (2, 2)", 2)
        with pytest.raises(DataError, match=f"it has {count} rows"):
            run("r-2", second, 99)
        run("r-2", second, count)


class TestBalance:
    def test_rows_rejected_while_reading_are_kept_too(self, stage_context: Maker) -> None:
        ctx = stage_context(output={**OUTPUT, "mode": "append"})
        aside = give(ctx, "('no number', 'a.csv', '\"x;y\"')", "_reason, _source, _row", "aside")
        ctx.write(give(ctx, "(1)", "a"), rejected=aside, rows_in=2, preserving=True)
        assert rejected(ctx) == [("no number", "a.csv", "x;y")]
        assert (ctx.outcome.rows_in, ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (2, 1, 1)

    def test_a_row_that_got_lost_is_noticed(self, stage_context: Maker) -> None:
        ctx = stage_context(output=OUTPUT)
        with pytest.raises(Exception, match="3 rows came in, but 2 and 0 rejected go out"):
            ctx.write(give(ctx, "(1), (2)", "a"), rows_in=3, preserving=True)
        assert not ctx.lake.exists("silver.orders")

    def test_overwriting_with_nothing_but_rejected_rows_fails(self, stage_context: Maker) -> None:
        ctx = stage_context(orders(columns=COLUMNS[:1]), output=OUTPUT)
        ctx.write(give(ctx, "(1)", "order_id"))
        later = stage_context(orders(columns=COLUMNS[:1]), output=OUTPUT, run="r-2")
        with pytest.raises(DataError, match=r"all 2 rows were rejected.*is no long"):
            later.write(give(later, "('x'), ('y')", "order_id"))
        assert table(later) == [(1,)]

    def test_no_rows_at_all_is_a_result(self, stage_context: Maker) -> None:
        ctx = stage_context(output=OUTPUT)
        ctx.con.execute("CREATE TEMP TABLE nothing (a BIGINT)")
        ctx.write("nothing")
        assert table(ctx) == []
        assert ctx.outcome.rows_out == 0

    def test_the_temporary_tables_go(self, stage_context: Maker) -> None:
        ctx = stage_context(output=OUTPUT)
        ctx.write(give(ctx, "(1)", "a"))
        names = [name for (name,) in ctx.con.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        assert names == ["given"]

    @pytest.mark.slow
    def test_a_large_table_spills_and_does_not_grow(self, stage_context: Maker) -> None:
        ctx = stage_context(orders({"range": {"column": "a", "min": 10}, "onFail": "quarantine"}), output=OUTPUT)
        ctx.con.execute("SET memory_limit = '60MB'")
        ctx.con.execute("CREATE TEMP VIEW many AS SELECT range AS a, md5(range::VARCHAR) AS b FROM range(2_000_000)")
        ctx.write("many")
        assert (ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (1_999_990, 10)


def test_columns_may_have_the_names_that_the_queries_use(stage_context: Maker) -> None:
    names = "rid, reason, why, n, o, l, b, d, r, a, _source"
    checks = [{"unique": ["rid"], "onFail": "quarantine"}, {"range": {"column": "n", "min": 0}, "onFail": "quarantine"},
              {"sql": "SELECT * FROM silver.orders WHERE o = 9", "onFail": "quarantine", "where": "b = 1"}]  # fmt: skip
    ctx = stage_context(orders(*checks, columns=[{"name": "rid", "type": "long"}], schema="evolve"), output=OUTPUT)
    rest = "1, 1, 1, 1, 1, 's'"
    ctx.write(
        give(
            ctx,
            f"('1','x',1,1,1,{rest}), ('1','x',1,1,1,{rest}), ('2','x',1,-1,1,{rest}), ('3','x',1,1,9,{rest})",
            names,
        )
    )
    assert table(ctx, columns="rid") == [(1,)]
    assert len(rejected(ctx)) == 3


def test_changed_partitions_go_whole(stage_context: Maker) -> None:
    described = orders({"rowCount": {"min": 1, "max": 2}}, partitionBy=["day"])
    ctx = stage_context(described, output=OUTPUT)
    ctx.write(give(ctx, "(1, 1), (2, 2)", "id, day"))
    later = stage_context(described, output={**OUTPUT, "mode": "overwritePartitions"}, run="r-2")
    give(later, "(2)", "day", "changed")
    later.changed_partitions = "changed"
    later.write(give(later, "(3, 3)", "id, day"))  # nothing came for day 2
    assert table(later) == [(1, 1), (3, 3)]


def test_quoting_helpers_are_used_for_odd_table_columns(stage_context: Maker) -> None:
    name = "or\"der 'x'"
    ctx = stage_context(orders({"notNull": [name], "onFail": "quarantine"}), output=OUTPUT)
    ctx.write(give(ctx, "(1), (NULL)", duck.quote(name)))
    assert [row for *_, row in rejected(ctx)] == [{name: None}]
