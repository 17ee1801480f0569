"""A stage's rows into its table: prepared by the table's rules, then one commit."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from adutora.errors import AdutoraError, DataError
from adutora.io.duck import quote
from adutora.io.lake import WriteRequest, WriteResult
from adutora.io.memory import give_back
from adutora.runtime.check_run import column_types
from adutora.runtime.prepare import Preparation, Prepared, schema_mode
from adutora.spec.base import Output, Table

if TYPE_CHECKING:
    from adutora.io.lake import Commit
    from adutora.runtime.context import StageContext
    from adutora.runtime.outcome import Outcome


def write_output(
    ctx: "StageContext",
    relation: str,
    *,
    rejected: str | None = None,
    rows_in: int | None = None,
    preserving: bool = False,
) -> None:
    """Commit the rows of DuckDB relation `relation` to the stage's output table, by the rules of `runtime.prepare`.

    `rejected` is a relation of rows that were set aside before (`_reason`, `_source`, `_row`); they are kept in the
    table of rejected rows. `rows_in` is how many rows the stage read (default: what its inputs counted); with
    `preserving` it must be the rows written and rejected together. Fills in `ctx.outcome`.

    Raises DataError, and writes nothing, if columns do not fit, a check fails, or an `overwrite` would leave nothing
    because every row was rejected.
    """
    output = ctx.require_output()
    table = ctx.table_spec(output.table)
    commit = ctx.commit()
    # An item of a fan-out must not empty the table under the others.
    full_refresh = ctx.task.full_refresh and ctx.task.item_index is None
    gone = _replaced_partitions(ctx, table, output)
    preparation = Preparation(
        ctx.con,
        ctx.lake,
        table,
        output,
        commit,
        readable=tuple(ctx.readable),
        full_refresh=full_refresh,
        replaces_partitions=gone,
    )
    prepared = preparation.prepare(relation, rejected)
    if rows_in is not None:
        ctx.outcome.rows_in = rows_in
    _balance(table, prepared, ctx.outcome.rows_in if preserving else None)
    _refuse_empty(table, output, prepared, ctx)
    request = write_request(table, output, commit, prepared)
    request = replace(request, full_refresh=full_refresh, replaces_partitions=gone)
    give_back()  # the buffers and the code of what was read, before the lake takes its own
    result = ctx.lake.write(ctx.con, request)
    if result.rows != prepared.rows and not result.repeated:
        raise AdutoraError(f"{table.name}: {prepared.rows} rows were handed over and {result.rows} written")
    record(ctx.outcome, prepared, result)
    preparation.release()


def write_request(table: Table, output: Output, commit: "Commit", prepared: Prepared) -> WriteRequest:
    """Return the request for the lake."""
    return WriteRequest(
        table=table.name,
        relation=prepared.relation,
        commit=commit,
        mode=output.mode,
        key=tuple(table.key or ()),
        partition_by=tuple(table.partitionBy or ()),
        schema_mode=schema_mode(table),
        description=table.description,
        columns=tuple(table.columns or ()),
        latest_by=output.latestBy,
        delete_where=output.deleteWhere,
        missing=output.missing,
        rejected=prepared.rejected if prepared.set_aside + prepared.came_rejected else None,
    )


def record(outcome: "Outcome", prepared: Prepared, result: WriteResult) -> None:
    """Put rows, table, metrics and warnings into the outcome. Rows of several writes add up."""
    rejected = prepared.set_aside + prepared.came_rejected
    outcome.rows_out = (outcome.rows_out or 0) + prepared.rows
    outcome.rows_rejected = (outcome.rows_rejected or 0) + rejected
    outcome.tables.append(asdict(result))
    for finding in prepared.findings:
        name = f"checks.{finding.check.title}.failed"
        outcome.metrics[name] = outcome.metrics.get(name, 0.0) + finding.failed
        if finding.failed and finding.check.onFail == "warn":
            outcome.warnings.append(f"{result.table}: {finding.message}")
    if rejected and not prepared.rows:
        outcome.warnings.append(f"{result.table}: all {rejected} rows were rejected")


def _balance(table: Table, prepared: Prepared, rows_in: int | None) -> None:
    rejected = prepared.set_aside + prepared.came_rejected
    if rows_in is not None and rows_in != prepared.rows + rejected:
        raise AdutoraError(f"{table.name}: {rows_in} rows came in, but {prepared.rows} and {rejected} rejected go out")


def _replaced_partitions(ctx: "StageContext", table: Table, output: Output) -> str | None:
    """Return the changed partitions of the input, where the output is split by the same columns.

    One of them from which all rows have gone must go from the output too.
    """
    changed = ctx.changed_partitions
    if changed is None or output.mode != "overwritePartitions":
        return None
    return changed if set(column_types(ctx.con, quote(changed))) == set(table.partitionBy or ()) else None


def _refuse_empty(table: Table, output: Output, prepared: Prepared, ctx: "StageContext") -> None:
    rejected = prepared.set_aside + prepared.came_rejected
    if prepared.rows or not rejected or output.mode != "overwrite":
        return
    found = ctx.con.execute(f"SELECT _reason FROM {prepared.rejected} LIMIT 3").fetchall()
    reasons = "; ".join(str(reason) for (reason,) in found)
    raise DataError(
        f"{table.name}: all {rejected} rows were rejected, and nothing is left to overwrite the table with: {reasons}",
        hint="the table stays as it was; look at the columns and checks, or at what came in",
    )
