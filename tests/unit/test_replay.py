"""Replay of rejected rows on a real lake: what passes, what stays, and kills between its commits."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adutora.cli import replay as command
from adutora.errors import ConfigError
from adutora.runtime import rejected_rows
from adutora.runtime.context import StageContext
from adutora.runtime.replay import Replay, Replayed
from adutora.spec.base import Output, Table

pytestmark = pytest.mark.slow

Maker = Callable[..., StageContext]
STRICT = {"range": {"column": "amount", "min": 0}, "onFail": "quarantine"}
LOOSE = {"range": {"column": "amount", "min": -50}, "onFail": "quarantine"}


class Killed(BaseException):
    """The process is gone."""


class Shop:
    """One table: rows are written under one description, and replayed under another."""

    def __init__(self, maker: Maker, mode: str = "overwrite", **fields: Any) -> None:
        self.maker, self.output, self.fields = maker, {"table": "silver.orders", "mode": mode}, fields
        self.runs = 0

    def described(self, *checks: dict[str, Any]) -> dict[str, Any]:
        return {"name": "silver.orders", "checks": list(checks), **self.fields}

    def write(self, values: str, *checks: dict[str, Any], columns: str = "id, amount", **rejected: Any) -> StageContext:
        self.runs += 1
        ctx = self.maker(self.described(*checks), output=self.output, run=f"r-{self.runs}")
        ctx.con.execute(f"CREATE TEMP TABLE given AS SELECT * FROM (VALUES {values}) AS v({columns})")
        aside = None
        if rejected:
            aside = "aside"
            ctx.con.execute("CREATE TEMP TABLE aside (_reason VARCHAR, _source VARCHAR, _row VARCHAR)")
            for reason, row in rejected.items():
                ctx.con.execute("INSERT INTO aside VALUES (?, 'a.csv', ?)", [reason, row])
        ctx.write("given", rejected=aside)
        return ctx

    def replay(self, *checks: dict[str, Any]) -> Replayed:
        ctx = self.maker(run="replay")
        table = Table.model_validate(self.described(*checks))
        return Replay(ctx.con, ctx.lake, table, Output.model_validate(self.output), "team.shop").run()

    def rows(self, columns: str = "id, amount") -> list[tuple[Any, ...]]:
        ctx = self.maker()
        ctx.lake.register(ctx.con, "silver.orders", "test.seen")
        return ctx.con.execute(f"SELECT {columns} FROM test.seen ORDER BY ALL").fetchall()

    def columns(self) -> list[str]:
        ctx = self.maker()
        return [column.name for column in ctx.lake.info("silver.orders").columns]

    def rejected(self) -> list[tuple[str, Any]]:
        ctx = self.maker()
        if ctx.lake.rejected(ctx.con, "silver.orders", "test.aside") is None:
            return []
        found = ctx.con.execute("SELECT _reason, _row FROM test.aside ORDER BY ALL").fetchall()
        return [(reason, json.loads(row)) for reason, row in found]


@pytest.fixture(params=["overwrite", "append", "merge"])
def shop(stage_context: Maker, request: pytest.FixtureRequest) -> Shop:
    return Shop(stage_context, request.param, key=["id"])


BAD = "(1, 5), (2, -5), (3, -500)"


def test_what_passes_is_written_and_the_rest_stays(shop: Shop) -> None:
    shop.write(BAD, STRICT)
    assert [row["id"] for _, row in shop.rejected()] == [2, 3]
    done = shop.replay(LOOSE)
    assert (done.replayed, done.rejected) == (1, 1)
    assert done.reasons == (("range-amount: amount is -500, less than -50", 1),)
    assert shop.rows() == [(1, 5), (2, -5)]
    assert shop.rejected() == [("range-amount: amount is -500, less than -50", {"id": 3, "amount": -500})]
    assert shop.replay(LOOSE).replayed == 0
    assert shop.rows() == [(1, 5), (2, -5)]


def test_columns_of_the_table_stay_as_they_were(shop: Shop) -> None:
    shop.write(BAD, STRICT)
    before = shop.columns()
    assert shop.replay(LOOSE).replayed == 1
    assert shop.columns() == before


def test_values_come_back_exactly(stage_context: Maker) -> None:
    columns = [{"name": name, "type": kind} for name, kind in
               {"id": "long", "amount": "decimal(38,6)", "at": "timestamp", "raw": "binary", "x": "double"}.items()]  # fmt: skip
    shop = Shop(stage_context, columns=columns)
    value = "12345678901234567890.123456"
    row = f"'-{value}'::DECIMAL(38,6), TIMESTAMPTZ '2026-05-01 10:00:00.123456Z', '\\xFF'::BLOB, 0.1::DOUBLE"
    shop.write(f"(9007199254740993, {row}), (1, 1, NULL, NULL, NULL)", STRICT, columns='id, amount, "at", raw, x')
    assert shop.replay().replayed == 1
    text = 'CAST(amount AS VARCHAR), CAST("at" AS VARCHAR), raw, x'
    assert shop.rows(f"id, {text}")[1] == (
        9007199254740993, f"-{value}", "2026-05-01 10:00:00.123456+00", b"\xff", 0.1,
    )  # fmt: skip


def test_types_may_be_declared_otherwise_since(stage_context: Maker) -> None:
    shop = Shop(stage_context, columns=[{"name": "id", "type": "long"}, {"name": "amount", "type": "decimal(9,2)"}])
    shop.write("('1', '1.5'), ('2', '1.555'), ('x', '1')")
    assert shop.replay().replayed == 0
    shop.fields = {"columns": [{"name": "id", "type": "long"}, {"name": "amount", "type": "decimal(9,3)"}]}
    with pytest.raises(Exception, match="amount"):  # the table itself still has two places
        shop.replay()
    assert len(shop.rejected()) == 2


def test_lines_that_are_no_rows_and_unknown_columns_stay(stage_context: Maker) -> None:
    shop = Shop(stage_context, "append")
    reasons = {"too many columns": '"1;2;3"', "strange": '{"id": 7, "amuont": 1}', "clean: same as another row": '{"id": 8}',
               "half": '{"id": 9, "ID2": 1', "good": '{"ID": "10", "amount": 3}'}  # fmt: skip
    ctx = shop.write("(1, 5)", **reasons)
    assert ctx.outcome.rows_rejected == 5
    done = shop.replay()
    assert (done.replayed, done.rejected) == (1, 4)
    assert ("the table has no column amuont", 1) in done.reasons
    assert shop.rows("id, amount, _run_id LIKE 'replay-%'") == [(1, 5, False), (10, 3, True)]


def test_keys_that_stand_in_the_table_stay(stage_context: Maker) -> None:
    shop = Shop(stage_context, key=["id"])
    shop.write("(1, 5), (1, 6), (2, 7)", {"unique": ["id"], "onFail": "quarantine"})
    done = shop.replay()
    assert (done.replayed, done.rejected) == (0, 1)
    assert done.reasons == (("key-unique: id as in a row of the table", 1),)
    assert shop.rows() == [(1, 5), (2, 7)]


def test_merge_keeps_the_newer_row(stage_context: Maker) -> None:
    shop = Shop(stage_context, "merge", key=["id"])
    shop.output["latestBy"] = "day"
    shop.write("(1, -5, 1), (2, -5, 9)", STRICT, columns="id, amount, day")
    shop.write("(1, 7, 2), (2, 7, 2)", STRICT, columns="id, amount, day")
    assert shop.replay(LOOSE).replayed == 2
    assert shop.rows() == [(1, 7), (2, -5)]
    assert shop.rejected() == []


def test_equal_rows_of_which_one_passes(stage_context: Maker) -> None:
    shop = Shop(stage_context, "append")
    shop.write("(1, 5), (2, -5), (2, -5), (2, -5)", STRICT)
    done = shop.replay(LOOSE, {"unique": ["id"]})
    assert (done.replayed, done.rejected) == (1, 2)
    assert shop.rows() == [(1, 5), (2, -5)]
    assert len(shop.rejected()) == 2


def test_a_table_whose_rows_were_all_rejected(stage_context: Maker) -> None:
    shop = Shop(stage_context, "append", columns=[{"name": "id", "type": "long"}, {"name": "amount", "type": "long"}])
    shop.write("(2, -5)", STRICT)
    assert shop.rows() == []
    assert shop.replay(LOOSE).replayed == 1
    assert shop.rows() == [(2, -5)]


def test_nothing_was_ever_rejected(shop: Shop) -> None:
    shop.write("(1, 5)")
    assert shop.replay() == Replayed("silver.orders", 0, 0)


@pytest.mark.parametrize("step", ["mark", "write", "forget"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("stricter", [False, True])
def test_killed_between_commits_nothing_is_lost_or_doubled(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, step: str, after: bool, stricter: bool
) -> None:
    shop.write(BAD, STRICT)

    def killing(function: Callable[..., Any]) -> Callable[..., Any]:
        def killed(*args: Any, **named: Any) -> None:
            if after:
                function(*args, **named)
            raise Killed

        return killed

    with monkeypatch.context() as patch:
        if step == "write":
            ctx = shop.maker()
            patch.setattr(type(ctx.lake), "write", killing(type(ctx.lake).write))
            patch.setattr(rejected_rows, "append_plainly", killing(rejected_rows.append_plainly))
        else:
            patch.setattr(rejected_rows, step, killing(getattr(rejected_rows, step)))
        with pytest.raises(Killed):
            shop.replay(LOOSE)
    written = step == "forget" or (step == "write" and after)
    assert ((2, -5) in shop.rows()) is written
    done = shop.replay(STRICT if stricter else LOOSE)  # the rules may have changed
    stays = stricter and not written
    assert shop.rows() == ([(1, 5)] if stays else [(1, 5), (2, -5)])
    assert [row["id"] for _, row in shop.rejected()] == ([2, 3] if stays else [3])
    assert not any("replaying" in reason for reason, _ in shop.rejected())
    assert done.rejected == (2 if stays else 1)


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_rows_rejected_meanwhile_are_kept(stage_context: Maker, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    shop = Shop(stage_context, mode, key=["id"])
    shop.write(BAD, STRICT)
    real = rejected_rows.mark
    calls = []

    def late(*args: Any, **named: Any) -> None:
        if not calls:
            calls.append(1)
            shop.write("(4, -7), (5, 1)", STRICT)
        real(*args, **named)

    monkeypatch.setattr(rejected_rows, "mark", late)
    assert shop.replay(LOOSE).replayed == 2
    assert shop.rows() == [(1, 5), (2, -5), (4, -7), (5, 1)]
    assert [row["id"] for _, row in shop.rejected()] == [3]


PIPELINE = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  tables:
    - name: silver.orders
      checks: [{range: {column: amount, min: -50}, onFail: quarantine}]
  stages:
    - name: orders
      inputs: [{name: orders, file: orders.csv, format: csv}]
      sql: {query: SELECT * FROM orders}
      output: {table: silver.orders}
"""


def test_the_command(stage_context: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Shop(stage_context).write(BAD, STRICT)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "orders.csv").write_text("id,amount\n")
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["replay", "silver.orders", "--file", str(tmp_path / "pipeline.yaml")])
    assert args.run(args) == 0
    assert capsys.readouterr().out == (
        "silver.orders: 1 row replayed, 1 still rejected\n         1  range-amount: amount is -500, less than -50\n"
    )
    args = parser.parse_args(["replay", "silver.order", "--file", str(tmp_path / "pipeline.yaml")])
    with pytest.raises(ConfigError, match=r"no stage of shop writes silver\.order") as caught:
        args.run(args)
    assert caught.value.hint == "did you mean `silver.orders`?"


def test_without_a_pipeline_file_the_option_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(file="pipeline.yaml", table="silver.orders")
    with pytest.raises(ConfigError, match=r"no pipeline\.yaml here.*silver\.orders") as told:
        command.run(args)
    assert told.value.hint == "name it with --file FILE"
