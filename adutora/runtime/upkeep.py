"""After a write: old rows go, files are compacted and cleaned up, each where the table's description asks for it."""

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext


def keep_up(ctx: "StageContext", table: str) -> None:
    """Do what `retention` and `maintenance` of a table ask for. Ages count from the run's start."""
    spec = ctx.table_spec(table)
    if spec.retention is not None and ctx.lake.exists(table):
        before = ctx.task.started_at.astimezone(dt.UTC) - dt.timedelta(seconds=int(spec.retention.maxAge))
        deleted = ctx.lake.delete_where_older(table, spec.retention.column, before)
        ctx.outcome.metrics["retention.deleted"] = float(deleted)
        if deleted:
            ctx.log.info("%s: %d rows past %s deleted", table, deleted, spec.retention.maxAge)
    if spec.maintenance is not None and ctx.lake.exists(table):
        done = ctx.lake.maintain(
            table, optimize=_span(spec.maintenance.optimize), vacuum=_span(spec.maintenance.vacuum)
        )
        if done.skipped:
            ctx.outcome.warnings.append(f"{table}: upkeep put off: {done.skipped}")


def _span(seconds: int | None) -> dt.timedelta | None:
    return None if seconds is None else dt.timedelta(seconds=int(seconds))
