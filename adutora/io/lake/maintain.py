"""Upkeep: compaction, clean-up of files and deletion of old rows. Each is one commit, or none if there is no need."""

import datetime as dt
import logging
from dataclasses import dataclass

from deltalake import CommitProperties, DeltaTable

from adutora.errors import AdutoraError, ConfigError
from adutora.io.duck import quote
from adutora.io.lake import commits, predicate
from adutora.io.lake.failures import Conflict, translated
from adutora.io.lake.schema import from_delta

log = logging.getLogger(__name__)

DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Upkeep:
    """What was done. `skipped` says why something that was due was not."""

    optimized: bool = False
    vacuumed: int = 0
    skipped: str | None = None


def maintain(
    table: DeltaTable, name: str, optimize: dt.timedelta | None, vacuum: dt.timedelta | None, now: dt.datetime
) -> Upkeep:
    """Compact if the last time is longer ago than `optimize`; delete files that no version of the time `vacuum` needs.

    Files are deleted once a day at most. Another writer's commit wins over compaction, which is then put off.
    """
    optimized, vacuumed, skipped = False, 0, None
    try:
        with translated(f"upkeep of {name}"):
            if optimize is not None and _due(table, "OPTIMIZE", optimize, now):
                optimized = int(table.optimize.compact()["numFilesAdded"]) > 0
            if vacuum is not None and _due(table, "VACUUM END", min(vacuum, DAY), now):
                vacuumed = _vacuum(table, vacuum)
    except Conflict as error:
        skipped = str(error)
    except AdutoraError as error:
        # The rows are written; upkeep has time until the next run.
        log.warning("%s", error)
        skipped = str(error)
    return Upkeep(optimized, vacuumed, skipped)


def _vacuum(table: DeltaTable, keep: dt.timedelta) -> int:
    hours = max(24, int(keep.total_seconds() // 3600))
    if not table.vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False):
        return 0
    return len(table.vacuum(retention_hours=hours, dry_run=False, enforce_retention_duration=False))


def _due(table: DeltaTable, operation: str, every: dt.timedelta, now: dt.datetime) -> bool:
    """Say whether an operation was last done longer ago than `every`; if never, count from the oldest commit."""
    at = now
    for entry in commits.history(table):
        at = dt.datetime.fromtimestamp(entry["timestamp"] / 1000, dt.UTC)
        if entry.get("operation") == operation or now - at >= every:
            break
    return now - at >= every


def delete_older(table: DeltaTable, name: str, column: str, before: dt.datetime) -> int:
    """Delete rows whose date or timestamp `column` lies before an instant; return how many.

    A date counts as older once its whole day is. Raises ConfigError if there is no such column.
    """
    columns = from_delta(table.schema().to_json())
    if column not in columns:
        raise ConfigError(f"{name}: retention counts from {column!r}, which is no column of the table")
    kind = columns[column].type
    if kind.name not in ("date", "timestamp", "timestamp_ntz"):
        raise ConfigError(f"{name}: retention counts from {column!r}, which is {kind.text} and no date or timestamp")
    instant = before.astimezone(dt.UTC)
    bound: dt.date = instant.date() if kind.name == "date" else instant
    if kind.name == "timestamp_ntz":
        bound = instant.replace(tzinfo=None)
    text = bound.isoformat()
    import pyarrow.compute as pc

    with translated(f"retention of {name}"):
        if not table.to_pyarrow_dataset().count_rows(filter=pc.field(column) < bound):
            return 0
        said = CommitProperties(custom_metadata={"adutora.retention": f"{column} < {text}"})
        done = table.delete(f"{quote(column)} < {predicate.value(text, kind)}", commit_properties=said)
        return int(done["num_deleted_rows"])
