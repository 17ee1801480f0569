"""`merge`: rows are matched with the table's by key; only rows that really change are written.

What changes is worked out in DuckDB against the table at one version, and committed on exactly that version.
"""

from dataclasses import dataclass

from deltalake import DeltaTable

from adutora.errors import AdutoraError, ConfigError, DataError
from adutora.io.duck import quote
from adutora.io.lake import failures, predicate, sql
from adutora.io.lake.attempt import Attempt, constant
from adutora.io.lake.columns import Plan
from adutora.io.lake.merge_rows import CHANGES, OP, MergeRows
from adutora.io.lake.schema import BOOLEAN, STRING
from adutora.io.lake.types import Figures, WriteResult

DELETED = "_deleted"
_FEW = 100_000  # changes that delta-rs may hold at once, to read only files that can have them
_PARTITIONS = 1_000  # values in a condition that narrows the files down


@dataclass(frozen=True)
class _Counts:
    rows: int
    inserted: int
    updated: int
    deleted: int  # for rows that asked for it
    marked: int
    purged: int
    quietly: int  # purged, but marked before

    @property
    def changes(self) -> int:
        return self.inserted + self.updated + self.deleted + self.marked + self.purged + self.quietly


def merge(attempt: Attempt) -> WriteResult:
    """Update, insert and delete by key.

    `latest_by`: of several rows of a key the greatest wins, and one older than the table's row changes nothing; a tie
    within the batch is decided by the greatest row over all columns, one with the table by the new row. A deletion
    by `delete_where` is remembered (see `tombstones`): an older row that comes later does not bring the key back, one
    as old or newer does. A column that the rows lack becomes null in rows that are updated. Columns
    that begin with `_` do not make a row changed.

    Raises DataError for a key that is null or there twice, and if `missing` would take too many rows.
    """
    request = attempt.request
    if not request.key:
        raise ConfigError(f"{attempt.name}: mode merge needs the table's key", hint="give the table a key")
    plan = _plan(attempt)
    rows = MergeRows(attempt, plan)
    with failures.translated(f"merge into {attempt.name}"):
        rows.make_batch()
        rows.check_keys()
        rows.make_changes()
    counts = _count(attempt, rows)
    if attempt.table is None or request.full_refresh:
        rows.keep_tombstones()
        return _whole(attempt, plan, counts)
    _check_share(attempt, rows, counts)
    rows.keep_tombstones()
    figures = _figures(attempt, counts)
    if not counts.changes:
        return attempt.nothing(plan, figures)
    attempt.evolve(plan)
    said = attempt.properties(figures)
    if counts.changes == counts.inserted:
        version = attempt.put(_select(plan), plan, said, mode="append")
    else:
        version = _execute(attempt, plan, counts, figures)
    return attempt.result(figures, version, changed=True)


def _plan(attempt: Attempt) -> Plan:
    plan = attempt.plan()
    missing, there = attempt.request.missing, attempt.there
    names = {column.name for column in plan.columns}
    for name in (*attempt.request.key, *([attempt.request.latest_by] if attempt.request.latest_by else [])):
        if name not in names:
            raise ConfigError(f"{attempt.name}: {name!r} is no column of the rows to merge")
    if DELETED in there or (missing and missing.action == "mark"):
        column = constant(DELETED, BOOLEAN, "false", "The source no longer has the row")
        return plan.with_columns([column], there)
    return plan


def _count(attempt: Attempt, rows: MergeRows) -> _Counts:
    found = dict(sql.rows(attempt.con, f"SELECT {OP}, count(*) FROM {CHANGES} GROUP BY 1"))
    ops = (int(found.get(op, 0)) for op in ("i", "u", "d", "m", "p", "q"))
    return _Counts(attempt.count(), *ops)


def _figures(attempt: Attempt, counts: _Counts) -> Figures:
    gone = counts.deleted + counts.purged + counts.quietly
    return Figures(
        rows=counts.rows,
        inserted=counts.inserted,
        updated=counts.updated,
        deleted=gone + counts.marked,
        unchanged=counts.rows - counts.inserted - counts.updated - counts.deleted,
        total_rows=attempt.total() + counts.inserted - gone,
    )


def _check_share(attempt: Attempt, rows: MergeRows, counts: _Counts) -> None:
    missing, gone = attempt.request.missing, counts.marked + counts.purged
    if missing is None or not gone:
        return
    live = rows.live()
    if gone > missing.maxShare * live:
        verb = "marked as deleted" if missing.action == "mark" else "deleted"
        raise DataError(
            f"{attempt.name}: {gone} of {live} rows ({gone / live:.1%}) are missing from the new data and would be "
            f"{verb}; missing.maxShare allows {missing.maxShare:.1%}",
            hint="a short answer is no purge: look at the source, or raise maxShare for this once",
        )


def _whole(attempt: Attempt, plan: Plan, counts: _Counts) -> WriteResult:
    inserted = counts.inserted
    figures = Figures(
        rows=counts.rows,
        inserted=inserted,
        deleted=attempt.total(),
        unchanged=counts.rows - inserted,
        total_rows=inserted,
    )
    said = attempt.properties(figures)
    if attempt.table is None:
        return attempt.result(figures, attempt.create(_select(plan), plan, said), changed=True)
    version = attempt.put(_select(plan), plan, said, mode="overwrite", schema_mode="overwrite", repartition=True)
    return attempt.result(figures, version, changed=True)


def _select(plan: Plan, more: str = "") -> str:
    names = ", ".join(quote(column.name) for column in plan.columns)
    return f"SELECT {names}{more} FROM {CHANGES}"


def _execute(attempt: Attempt, plan: Plan, counts: _Counts, figures: Figures) -> int:
    table = attempt.table
    assert table is not None  # noqa: S101  (merge() makes a missing table)
    condition = " AND ".join(
        [*(f"t.{quote(name)} = s.{quote(name)}" for name in attempt.request.key), *_narrow(attempt, plan)]
    )
    values = {quote(column.name): f"s.{quote(column.name)}" for column in plan.columns}
    source = attempt.stream(_select(plan, f", {OP}"), plan, [(OP, STRING)])
    with failures.translated(f"table {attempt.name}"):
        merger = table.merge(
            source,
            predicate=condition,
            source_alias="s",
            target_alias="t",
            streamed_exec=counts.changes > _FEW,
            commit_properties=attempt.properties(figures),
        ).when_matched_delete(predicate=f"s.{OP} IN ('d', 'p', 'q')")
        if DELETED in {column.name for column in plan.columns}:
            merger = merger.when_matched_update({quote(DELETED): "true"}, predicate=f"s.{OP} = 'm'")
        merger = merger.when_matched_update(values, predicate=f"s.{OP} = 'u'")
        done = merger.when_not_matched_insert(values, predicate=f"s.{OP} = 'i'").execute()
    _verify(attempt, counts, done)
    return int(table.version())


def _verify(attempt: Attempt, counts: _Counts, done: dict[str, int]) -> None:
    wanted = (counts.inserted, counts.updated + counts.marked, counts.deleted + counts.purged + counts.quietly)
    got = tuple(int(done[f"num_target_rows_{what}"]) for what in ("inserted", "updated", "deleted"))
    if wanted != got:
        raise AdutoraError(
            f"{attempt.name}: of {wanted} rows to insert, update and delete, the merge did {got}; "
            f"restore version {version_before(attempt.table)}"
        )


def version_before(table: DeltaTable | None) -> int:
    """Return the version before the current one."""
    return int(table.version()) - 1 if table is not None else 0


def _narrow(attempt: Attempt, plan: Plan) -> list[str]:
    """Return a condition on the table's partitions: those in which rows that change stand now."""
    by = attempt.partitioned_by
    if not by:
        return []
    kinds = {column.name: column.type for column in plan.columns}
    texts = ", ".join(f"CAST({quote('__adutora_at_' + name)} AS VARCHAR)" for name in by)
    rows = sql.rows(
        attempt.con,
        f"SELECT DISTINCT {texts} FROM {CHANGES} WHERE {OP} <> 'i' ORDER BY ALL LIMIT {_PARTITIONS + 1}",
    )
    if len(rows) > _PARTITIONS:
        return []
    text = predicate.partitions(rows, {name: kinds[name] for name in by})
    for name in by:
        text = text.replace(f"{quote(name)} ", f"t.{quote(name)} ")
    return [text]
