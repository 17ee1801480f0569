"""`ingest.files` into a real table: every record once, whatever died or changed in between."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.io.objects import Folder, SourceFile
from adutora.runtime.context import StageContext
from adutora.stages.ingest import run as ingest
from adutora.stages.ingest.run import run
from adutora.stages.ingest.spec import Ingest

pytestmark = pytest.mark.slow

Make = Callable[..., StageContext]
TABLE = "bronze.sales"


class Stage:
    """One stage over a folder, run as often as a test likes."""

    def __init__(self, make: Make, root: Path) -> None:
        self._make, self.root = make, root
        (root / "in").mkdir()

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def context(self, run_id: str = "r-1", mode: str = "append", **table: Any) -> StageContext:
        tables = [{"name": TABLE, **table}]
        return self._make(*tables, kind="ingest", output={"table": TABLE, "mode": mode}, run=run_id)

    def run(
        self, run_id: str = "r-1", path: str = "in/*.csv", ctx: StageContext | None = None, **files: Any
    ) -> StageContext:
        table = files.pop("table", {})
        mode = files.pop("mode", "append")
        context = ctx or self.context(run_id, mode, **table)
        run(Ingest.model_validate({"files": {"path": path, "read": "new", **files}}), context)
        return context

    def rows(self, ctx: StageContext, columns: str = "*", table: str = TABLE) -> list[tuple[Any, ...]]:
        ctx.lake.register(ctx.con, table, table)
        return sorted(ctx.con.execute(f"SELECT {columns} FROM {table}").fetchall(), key=str)


@pytest.fixture
def stage(stage_context: Make, tmp_path: Path) -> Stage:
    return Stage(stage_context, tmp_path)


def figures(ctx: StageContext) -> tuple[int | None, int | None, int | None]:
    return ctx.outcome.rows_in, ctx.outcome.rows_out, ctx.outcome.rows_rejected


def test_rows_and_rejects_are_all_accounted_for(stage: Stage) -> None:
    stage.put("a.csv", 'store,amount\nx,1.5\ny\nz,2\n"w')
    stage.put("b.csv", "store,amount\nq,3\n")
    ctx = stage.run()
    assert figures(ctx) == (5, 3, 2)
    assert stage.rows(ctx, "store, amount, _source, _run_id") == [
        ("q", 3.0, "in/b.csv", "r-1"),
        ("x", 1.5, "in/a.csv", "r-1"),
        ("z", 2.0, "in/a.csv", "r-1"),
    ]
    ctx.lake.rejected(ctx.con, TABLE, "bronze.bad")
    found = ctx.con.execute("SELECT _reason, _source, _row FROM bronze.bad ORDER BY 1").fetchall()
    assert found == [
        ("line 3: 1 value where 2 are expected", "in/a.csv", '"y"'),
        ("line 5: a quote is not closed", "in/a.csv", '"\\"w"'),
    ]


def test_each_version_of_a_file_is_loaded_once(stage: Stage) -> None:
    first = stage.put("a.csv", "a\n1\n")
    assert figures(stage.run("r-1")) == (1, 1, 0)
    assert figures(stage.run("r-2")) == (0, 0, 0)
    stage.put("b.csv", "a\n2\n3\n")
    assert figures(stage.run("r-3")) == (2, 2, 0)
    first.write_text("a\n10\n")
    ctx = stage.run("r-4")
    assert figures(ctx) == (1, 1, 0)
    assert stage.rows(ctx, "a, _run_id") == [(1, "r-1"), (10, "r-4"), (2, "r-3"), (3, "r-3")]
    version = ctx.lake.version(TABLE)
    stage.run("r-5")
    assert ctx.lake.version(TABLE) == version


def touch(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


def test_a_touched_file_is_no_new_one_and_a_changed_one_of_the_same_size_is(stage: Stage) -> None:
    first = stage.put("a.csv", "a\n1\n")
    stage.run("r-1")
    for seconds in (10, 2_000_000_000):
        touch(first, seconds)
        assert figures(stage.run(f"r-{seconds}")) == (0, 0, 0)
    first.write_text("a\n2\n")
    touch(first, 20)
    ctx = stage.run("r-4")
    assert figures(ctx) == (1, 1, 0)
    assert stage.rows(ctx, "a") == [(1,), (2,)]
    touch(first, 30)
    stage.put("b.csv", "a\n3\n")
    assert figures(stage.run("r-5")) == (1, 1, 0)


def test_a_file_of_a_dead_batch_that_was_touched_is_loaded_once(stage: Stage) -> None:
    path = stage.put("a.csv", "a\n1\n")
    dead = stage.context("r-1")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    dead.write = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.run(ctx=dead)
    touch(path, 10)
    ctx = stage.run("r-2")
    assert (figures(ctx), ctx.outcome.warnings) == ((1, 1, 0), [])
    assert figures(stage.run("r-3")) == (0, 0, 0)
    assert stage.rows(ctx, "a") == [(1,)]


def test_a_retry_after_the_commit_tells_the_same_and_writes_nothing(stage: Stage) -> None:
    stage.put("a.csv", "a\n1\n2,3\n")
    ctx = stage.run("r-1")
    version = ctx.lake.version(TABLE)
    again = stage.run("r-1")
    assert figures(again) == figures(ctx) == (2, 1, 1)
    assert again.outcome.tables[0]["repeated"]
    assert again.lake.version(TABLE) == version


def test_a_retry_that_finds_part_of_its_files_writes_nothing(stage: Stage) -> None:
    stage.put("a.csv", "a\n1\n")
    gone = stage.put("b.csv", "a\n2\n")
    stage.run("r-1")
    gone.unlink()
    ctx = stage.run("r-1")
    assert figures(ctx) == (0, 0, 0)
    assert stage.rows(ctx, "a") == [(1,), (2,)]
    assert "in/b.csv" in ctx.outcome.warnings[0]


def test_what_died_between_proposal_and_commit_is_loaded_by_the_next_run(stage: Stage) -> None:
    stage.put("a.csv", "a\n1\n")
    dead = stage.context("r-1")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    dead.write = die  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.run(ctx=dead)
    stage.put("b.csv", "a\n2\n")
    ctx = stage.run("r-2")
    assert figures(ctx) == (2, 2, 0)
    assert stage.rows(ctx, "a") == [(1,), (2,)]
    assert figures(stage.run("r-3")) == (0, 0, 0)


def test_a_file_of_a_dead_batch_that_is_gone_is_left_out_with_a_warning(stage: Stage) -> None:
    gone, changed = stage.put("a.csv", "a\n1\n"), stage.put("b.csv", "a\n2\n")
    stage.put("c.csv", "a\n3\n")
    dead = stage.context("r-1")
    dead.ledger("files").propose(
        {"run": "r-1", "seen": [f.id for f in found(stage)], "files": [vars_of(f) for f in found(stage)]}
    )
    gone.unlink()
    changed.write_text("a\n20\n")
    ctx = stage.run("r-2")
    assert stage.rows(ctx, "a") == [(20,), (3,)]
    assert len(ctx.outcome.warnings) == 2


def found(stage: Stage) -> list[SourceFile]:
    return list(Folder(stage.root).find("in/*.csv"))


def vars_of(file: SourceFile) -> dict[str, Any]:
    return {"path": file.path, "uri": file.uri, "version": file.version, "size": file.size}


def test_a_failed_check_leaves_the_batch_to_the_next_run(stage: Stage) -> None:
    path = stage.put("a.csv", "a\n-1\n")
    checks = {"checks": [{"range": {"column": "a", "min": 0}, "where": "a IS NOT NULL"}]}
    for _ in range(2):
        with pytest.raises(DataError, match="range-a"):
            stage.run("r-1", table=checks)
    path.write_text("a\n1\n")
    stage.put("b.csv", "a\n2\n")
    ctx = stage.run("r-2", table=checks)
    assert stage.rows(ctx, "a") == [(1,), (2,)]


def test_two_runs_at_once_load_a_file_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.put("a.csv", "a\n1\n")
    slow = stage.context("r-1")

    def fresh(*given: Any) -> list[SourceFile]:
        monkeypatch.undo()
        before = original(*given)
        stage.run("r-2")
        return before

    original = ingest.fresh
    monkeypatch.setattr(ingest, "fresh", fresh)
    with pytest.raises(TemporaryError):
        stage.run(ctx=slow)
    assert stage.rows(stage.run("r-3"), "a, _run_id") == [(1, "r-2")]


def test_full_refresh_loads_everything_again(stage: Stage) -> None:
    import dataclasses

    stage.put("a.csv", "a\n1\n")
    stage.run("r-1")
    ctx = stage.context("r-2", "overwrite")
    ctx.task = dataclasses.replace(ctx.task, full_refresh=True)
    assert figures(stage.run(ctx=ctx)) == (1, 1, 0)


def test_a_table_keeps_the_types_it_has(stage: Stage) -> None:
    stage.put("a.csv", "id,n\n1,1\n2,2\n")
    stage.run("r-1")
    stage.put("b.csv", "id,n,more\n3,3.5,x\n00004,4,y\n5,5,z\n")
    ctx = stage.run("r-2")
    assert figures(ctx) == (3, 2, 1)
    assert stage.rows(ctx, "id, n, more") == [(1, 1, None), (2, 2, None), (4, 4, "y"), (5, 5, "z")]


def test_declared_types_are_read_from_the_text(stage: Stage) -> None:
    table = {"columns": [{"name": "cnpj", "type": "string"}, {"name": "amount", "type": "decimal(12,2)"}], "schema": "evolve"}  # fmt: skip
    stage.put("a.csv", "cnpj;amount;day\n12345;1.234,56;05/07/2025\n999;x;06/07/2025\n")
    ctx = stage.run(table=table, csv={"decimal": ",", "dateFormat": "%d/%m/%Y"})
    assert [tuple(map(str, row)) for row in stage.rows(ctx, "cnpj, amount, day")] == [
        ("12345", "1234.56", "2025-07-05")
    ]
    assert figures(ctx) == (2, 1, 1)


def test_read_all_overwrites_and_is_the_same_again(stage: Stage) -> None:
    stage.put("a.csv", "a\n1\n")
    stage.run("r-1", read="all", mode="overwrite")
    stage.put("b.csv", "a\n2\n")
    ctx = stage.run("r-2", read="all", mode="overwrite")
    assert stage.rows(ctx, "a") == [(1,), (2,)]


@pytest.mark.parametrize(("content", "rows", "warnings"), [("", 0, 1), ("a,b\n", 0, 0), (b"\xef\xbb\xbf", 0, 1)])
def test_files_without_rows_hold_up_nothing(stage: Stage, content: str | bytes, rows: int, warnings: int) -> None:
    stage.put("a.csv", content)
    ctx = stage.run("r-1")
    assert figures(ctx) == (rows, 0, 0)
    assert len(ctx.outcome.warnings) == warnings
    assert not ctx.lake.exists(TABLE)
    stage.put("b.csv", "a,b\n1,2\n")
    assert figures(stage.run("r-2")) == (1, 1, 0)
    assert figures(stage.run("r-3")) == (0, 0, 0)


def test_nothing_there(stage: Stage) -> None:
    assert figures(stage.run(path="in/*.csv")) == (0, 0, 0)
    with pytest.raises(DataError, match=r"no file matches 'in/\*\.csv'"):
        stage.run(read="all")
    stage.put("sales.csv", "")
    with pytest.raises(DataError, match=r"did you mean `sales\.csv`"):
        stage.run(path="in/sale.csv", read="all")
    with pytest.raises(DataError, match="is empty"):
        stage.run(read="all")


@pytest.mark.parametrize("path", ["../x.csv", "/etc/passwd", "in/../../x.csv", "s3://b/x"])
def test_a_path_that_leaves_the_folder(stage: Stage, path: str) -> None:
    with pytest.raises(ConfigError):
        stage.run(path=path)


def test_formats_are_told_apart(stage: Stage) -> None:
    stage.put("a.csv", "a\n1\n")
    stage.put("b.jsonl", '{"a": 2}\n')
    with pytest.raises(ConfigError, match="different formats"):
        stage.run(path="in/*")
    ctx = stage.run("r-1", path="in/*.jsonl")
    assert stage.rows(ctx, "a") == [(2,)]


def test_a_file_that_grows_while_it_is_read(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stage.put("a.csv", "a\n1\n")
    original = Folder.fetch
    calls = []

    def fetch(self: Folder, file: SourceFile, scratch: Path) -> SourceFile | None:
        calls.append(file)
        if len(calls) == 2:
            path.write_text("a\n1\n2\n")
            os.utime(path, ns=(1, 1))
        return original(self, file, scratch)

    monkeypatch.setattr(Folder, "fetch", fetch)
    with pytest.raises(TemporaryError, match="changed while it was read"):
        stage.run("r-1")
    assert stage.rows(stage.run("r-1"), "a") == [(1,), (2,)]


@pytest.mark.parametrize("source", [{"http": {"connection": "x", "path": "/"}}, {"database": {"connection": "x", "table": "t"}}])  # fmt: skip
def test_other_sources_are_refused(stage: Stage, source: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not part of this version"):
        run(Ingest.model_validate(source), stage.context())
