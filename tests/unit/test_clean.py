"""`clean`: what is dropped, why, and that nothing gets lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import DataError
from adutora.runtime.context import StageContext
from adutora.stages.clean.run import run
from adutora.stages.clean.spec import Clean

Maker = Callable[..., StageContext]


class Tidy:
    """Runs `clean` over rows given as SQL values."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker

    def __call__(self, values: str, columns: str, **block: Any) -> StageContext:
        ctx = self.maker(
            kind="clean", block=block, inputs=({"table": "gold.big"},), output={"table": "gold.tidy"}, run="r-2"
        )
        before = self.maker(output={"table": "gold.big"})
        before.con.execute(f"CREATE TEMP TABLE given AS SELECT * FROM (VALUES {values}) AS v({columns})")
        before.write("given")
        run(Clean.model_validate(block), ctx)
        return ctx


@pytest.fixture
def tidy(stage_context: Maker) -> Tidy:
    return Tidy(stage_context)


def kept(ctx: StageContext) -> list[tuple[Any, ...]]:
    ctx.lake.register(ctx.con, "gold.tidy", "test.seen")
    return ctx.con.execute("SELECT * FROM test.seen ORDER BY ALL").fetchall()


def dropped(ctx: StageContext) -> list[tuple[str, Any]]:
    ctx.lake.rejected(ctx.con, "gold.tidy", "test.aside")
    found = ctx.con.execute("SELECT _reason, _row FROM test.aside ORDER BY ALL").fetchall()
    return [(reason, json.loads(row)) for reason, row in found]


def test_trim_makes_an_empty_text_null(tidy: Tidy) -> None:
    ctx = tidy("('  a b\t', 1), ('   ', 2), (chr(160) || 'x', 3), (NULL, 4)", "t, n", trim=["t"])
    assert kept(ctx) == [("a b", 1), ("x", 3), (None, 2), (None, 4)]


def test_drop_nulls_takes_nan_for_no_value_and_names_all_columns(tidy: Tidy) -> None:
    ctx = tidy("(1, 1.5::DOUBLE), (2, 'nan'::DOUBLE), (NULL, NULL)", "a, b", dropNulls=["a", "b"])
    assert kept(ctx) == [(1, 1.5)]
    assert dropped(ctx) == [
        ("clean: a, b has no value", {"a": None, "b": None}),
        ("clean: b has no value", {"a": 2, "b": "nan"}),
    ]
    assert (ctx.outcome.rows_in, ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (3, 1, 2)


def test_duplicates_of_the_whole_row_take_nulls_as_equal(tidy: Tidy) -> None:
    ctx = tidy("(1, NULL), (1, NULL), (1, 2), (1, NULL)", "a, b", dropDuplicates={})
    assert kept(ctx) == [(1, 2), (1, None)]
    assert [reason for reason, _ in dropped(ctx)] == ["clean: same as another row"] * 2


def test_when_a_row_was_loaded_makes_no_difference(tidy: Tidy) -> None:
    ctx = tidy("(1, 'x.csv'), (1, 'y.csv')", "a, _source", dropDuplicates={})
    assert kept(ctx) == [(1, "x.csv")]


def test_duplicates_by_columns_keep_the_same_row_whatever_the_order(tidy: Tidy) -> None:
    ctx = tidy("(1, 'c'), (2, 'z'), (1, 'a'), (1, 'b')", "a, b", dropDuplicates={"by": ["a"]})
    assert kept(ctx) == [(1, "a"), (2, "z")]
    assert [reason for reason, _ in dropped(ctx)] == ["clean: another row has the same a"] * 2


def test_a_row_dropped_for_a_null_is_no_duplicate(tidy: Tidy) -> None:
    ctx = tidy("(1, NULL), (1, 'b')", "a, b", dropNulls=["b"], dropDuplicates={"by": ["a"]})
    assert kept(ctx) == [(1, "b")]


NUMBERS = ", ".join(f"({n})" for n in [*range(1, 12), 100, -50])


def test_outliers_by_iqr(tidy: Tidy) -> None:
    ctx = tidy(f"{NUMBERS}, (NULL)", "a", outliers={"columns": ["a"]})
    assert [value for (value,) in kept(ctx)] == [*range(1, 12), None]
    assert dropped(ctx) == [
        ("clean: a is -50, an outlier: not between -6.0 and 18.0", {"a": -50}),
        ("clean: a is 100, an outlier: not between -6.0 and 18.0", {"a": 100}),
    ]


def test_outliers_by_zscore(tidy: Tidy) -> None:
    values = ", ".join(["(1.0::DOUBLE)"] * 20 + ["(9.0)", "('nan')", "('inf')"])
    ctx = tidy(values, "a", outliers={"columns": ["a"], "method": "zscore"})
    assert [value for (value,) in kept(ctx)][:-1] == [1.0] * 20  # NaN is no value, and stays
    assert len(kept(ctx)) == 21
    assert ctx.outcome.rows_rejected == 2


def test_equal_values_have_no_outliers(tidy: Tidy) -> None:
    ctx = tidy("(0.1::DOUBLE), (0.1), (0.1)", "a", outliers={"columns": ["a"], "method": "zscore"})
    assert ctx.outcome.rows_rejected == 0


def test_clip_pulls_values_to_the_bound_and_keeps_the_type(tidy: Tidy) -> None:
    values = ", ".join(f"({n}, {n}::DECIMAL(9,1), {n}::DOUBLE)" for n in [*range(1, 13), 100, -50])
    ctx = tidy(values, "a, b, c", outliers={"columns": ["a", "b", "c"], "action": "clip"})
    rows = kept(ctx)
    low, high = 3.25 - 1.5 * 6.5, 9.75 + 1.5 * 6.5
    [(q1, q3)] = ctx.con.execute(
        "SELECT quantile_cont(n, 0.25), quantile_cont(n, 0.75) FROM (SELECT unnest([-50, 100] || range(1, 13)) AS n)"
    ).fetchall()
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    assert all(low <= value <= high for row in rows for value in map(float, row))
    assert (rows[0][2], rows[-1][2]) == (low, high)
    assert isinstance(rows[0][0], int)
    assert ctx.outcome.metrics["clean.clipped"] == 6
    assert ctx.outcome.rows_out == 14


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"trim": ["amout"]}, "trim names column 'amout'"),
        ({"dropNulls": ["amout"]}, "dropNulls names column 'amout'"),
        ({"dropDuplicates": {"by": ["amout"]}}, "dropDuplicates names column 'amout'"),
        ({"outliers": {"columns": ["amout"]}}, "outliers names column 'amout'"),
    ],
)
def test_a_column_that_is_not_there(tidy: Tidy, block: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        tidy("(1)", "amount", **block)
    assert caught.value.hint == "did you mean `amount`?"


def test_a_column_of_the_wrong_kind(tidy: Tidy) -> None:
    with pytest.raises(DataError, match="outliers needs numbers, but column a is VARCHAR"):
        tidy("('x')", "a", outliers={"columns": ["a"]})


def test_trim_of_a_number(tidy: Tidy) -> None:
    with pytest.raises(DataError, match="trim needs texts, but column a is INTEGER"):
        tidy("(1)", "a", trim=["a"])


def test_absurd_values_end_clearly(tidy: Tidy) -> None:
    with pytest.raises(DataError, match="values are too large"):
        tidy("(1e308::DOUBLE), (-1e308)", "a", outliers={"columns": ["a"], "method": "zscore"})


def test_a_files_rows_that_do_not_fit_count_too(stage_context: Maker, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("rid,reason\n1,x\nabc,y\n2,\n")
    columns = [{"name": "rid", "type": "long"}, {"name": "reason", "type": "string"}]
    given = {"name": "given", "file": "in.csv", "format": "csv", "columns": columns}
    ctx = stage_context(kind="clean", block={}, inputs=(given,), output={"table": "gold.tidy"})
    run(Clean.model_validate({"dropNulls": ["reason"]}), ctx)
    assert kept(ctx) == [(1, "x")]
    assert len(dropped(ctx)) == 2
    assert (ctx.outcome.rows_in, ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (3, 1, 2)


def test_no_rows(tidy: Tidy) -> None:
    ctx = tidy("(1)", "a", dropNulls=["a"], outliers={"columns": ["a"]}, dropDuplicates={})
    assert kept(ctx) == [(1,)]
