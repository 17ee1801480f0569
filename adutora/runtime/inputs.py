"""A stage's inputs: tables and files under the names that SQL uses, with what was read remembered."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from adutora.errors import ConfigError
from adutora.io import duck
from adutora.io.files import load_file_input, recovering
from adutora.spec.base import Input
from adutora.spec.template import parse

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

    from adutora.io.ledger import Batch, Ledger
    from adutora.runtime.context import StageContext

T = TypeVar("T")


def load_input(ctx: "StageContext", item: Input, raw: Input) -> None:
    """Make one input readable under its SQL name and remember its version for the fingerprint."""
    if item.table is not None:
        _LOADERS[item.read](ctx, item.table)
    else:
        _load_file(ctx, item, raw)


def counted(ctx: "StageContext", relation: str) -> int:
    """Return the rows of a relation and add them to the outcome's `rows_in`."""
    (rows,) = ctx.con.execute(f"SELECT count(*) FROM {duck.quote_table(relation)}").fetchall()[0]
    ctx.outcome.rows_in = (ctx.outcome.rows_in or 0) + int(rows)
    return int(rows)


def _load_all(ctx: "StageContext", table: str) -> None:
    version = ctx.lake.register(ctx.con, table, table)
    ctx.input_versions[table] = version
    counted(ctx, table)


def _load_new(ctx: "StageContext", table: str) -> None:
    after, upto = _range(ctx, table)
    ctx.lake.register_changes(ctx.con, table, table, after, upto)
    ctx.input_versions[table] = [after, upto]
    rows = counted(ctx, table)
    ctx.log.info("%s: %d new rows, versions %d to %d", table, rows, after + 1, upto)


def _load_changed_partitions(ctx: "StageContext", table: str) -> None:
    """Show all rows of the partitions that changed; at the first time, of all."""
    after, upto = _range(ctx, table)
    ctx.input_versions[table] = [after, upto]
    if after < 0:
        ctx.lake.register(ctx.con, table, table, upto)
    else:
        whole, changed = "__adutora_whole", f"__adutora_changed_{len(ctx.input_versions)}"
        ctx.lake.register(ctx.con, table, whole, upto)
        ctx.lake.changed_partitions(ctx.con, table, after, upto, changed)
        _show_partitions(ctx, table, whole, changed)
        ctx.changed_partitions = changed
    counted(ctx, table)


def _show_partitions(ctx: "StageContext", table: str, whole: str, changed: str) -> None:
    columns = [row[0] for row in ctx.con.execute(f"DESCRIBE {duck.quote(changed)}").fetchall()]
    same = " AND ".join(f"w.{duck.quote(name)} IS NOT DISTINCT FROM c.{duck.quote(name)}" for name in columns)
    schema = duck.quote(table.split(".", maxsplit=1)[0])
    ctx.con.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    kept = f"__adutora_kept_{len(ctx.input_versions)}"
    ctx.con.execute(
        f"CREATE TEMP TABLE {kept} AS SELECT w.* FROM {duck.quote(whole)} w SEMI JOIN {duck.quote(changed)} c ON {same}"
    )
    ctx.con.execute(f"CREATE OR REPLACE VIEW {duck.quote_table(table)} AS SELECT * FROM {kept}")


def _range(ctx: "StageContext", table: str) -> tuple[int, int]:
    """Return versions (after, upto] to read. Raises ConfigError where the table is not there."""
    upto = ctx.lake.version(table)
    if upto is None:
        ctx.lake.register(ctx.con, table, table)
        raise ConfigError(f"there is no table {table}")
    ledger = ctx.ledger(f"input-{table}")
    batch = next_batch(ctx, ledger, lambda last: _proposal(ctx, last, upto))
    if batch is None:
        return upto, upto
    ctx.take(ledger, batch)
    return int(batch.content["after"]), int(batch.content["upto"])


def _proposal(ctx: "StageContext", last: "Batch | None", upto: int) -> dict[str, Any] | None:
    after = -1 if last is None else int(last.content["upto"])
    if after >= upto and last is not None:
        return None
    return {"after": after, "upto": upto, "run": ctx.task.run_id}


def next_batch(
    ctx: "StageContext", ledger: "Ledger", propose: Callable[["Batch | None"], dict[str, Any] | None]
) -> "Batch | None":
    """Return the batch that this try has to bring, None if there is nothing new.

    A batch that was proposed and is not in the output table is brought first, by whichever run comes; so is one that
    this very run has brought already, for then this is a retry and must report the same. A full refresh begins anew,
    and so does a stage whose table has gone.
    """
    last = ledger.last()
    own = last is not None and last.content.get("run") == ctx.task.run_id
    if ctx.task.full_refresh and not own:
        ledger.reset()
        last = None
    if last is not None:
        done = ctx.lake.batch(ctx.require_output().table, ledger.id)
        if own or done is None or done < last.number:
            return last
    content = propose(last)
    return None if content is None else ledger.propose(content)


def _load_file(ctx: "StageContext", item: Input, raw: Input) -> None:
    name = item.name or ""
    rejects = f"__adutora_rejects_{name}"
    reading = load_file_input(
        ctx.con,
        item,
        files_root=ctx.task.files_root,
        cwd=_standing(ctx, raw),
        relation=name,
        rejects=rejects,
        scratch=ctx.scratch,
    )
    ctx.readings.append(reading)
    ctx.readable.extend(str(path) for path in reading.readable)
    ctx.input_versions[name] = [[file.path, file.version] for file in reading.files]
    ctx.outcome.warnings.extend(reading.warnings)
    if reading.rows_in is not None:
        ctx.outcome.rows_in = (ctx.outcome.rows_in or 0) + reading.rows_in
    if ctx.con.execute(f"SELECT count(*) FROM {duck.quote(rejects)}").fetchall()[0][0]:
        ctx.rejects.append(rejects)


def _standing(ctx: "StageContext", raw: Input) -> "Path | None":
    """Return the folder that a path counts from if it comes from a value that the user gave, else None."""
    given = {ref.path[0] for ref in parse(raw.file or "").refs if ref.root == "params"}
    return ctx.task.cwd if given.intersection(ctx.task.given_params) else None


def read_lazily(ctx: "StageContext", action: Callable[[], T]) -> T:
    """Run an action that reads the inputs; where a late row of a CSV file breaks it, mend the reading and try again.

    Rows that the action reads from CSV files are added to the outcome's `rows_in`.
    """
    lazy = [reading for reading in ctx.readings if reading.repair is not None]
    if not lazy:
        return action()
    return recovering(ctx.con, lazy, action)


def refused(ctx: "StageContext") -> str | None:
    """Return one relation of the rows that inputs refused, None where they refused none."""
    if not ctx.rejects:
        return None
    union = " UNION ALL ".join(f"SELECT * FROM {duck.quote(name)}" for name in ctx.rejects)
    ctx.con.execute(f"CREATE TEMP TABLE __adutora_refused AS {union}")
    return "__adutora_refused"


def profile(con: "duckdb.DuckDBPyConnection") -> None:
    """Let DuckDB count what operators read; must come before the connection is sealed."""
    con.execute("SET enable_profiling = 'no_output'")


def rows_scanned(con: "duckdb.DuckDBPyConnection") -> int:
    """Return how many rows the last statement read from CSV files."""
    text = con.get_profiling_information("json")
    return _scanned(json.loads(text).get("operator", [])) if text else 0


def _scanned(operators: list[dict[str, Any]]) -> int:
    total = 0
    for operator in operators:
        info = operator.get("extra_info") or {}
        if isinstance(info, dict) and info.get("Function") == "READ_CSV":
            total += int(operator.get("intermediate_rows", 0))
        total += _scanned(operator.get("children", []))
    return total


_LOADERS: dict[str, Callable[["StageContext", str], None]] = {
    "all": _load_all,
    "new": _load_new,
    "changedPartitions": _load_changed_partitions,
}
