"""`append`: rows are added, with the run that brought them and the time."""

import datetime as dt

from adutora.io.duck import literal, quote
from adutora.io.lake import commits, sql
from adutora.io.lake.attempt import Attempt, constant
from adutora.io.lake.columns import Plan, Planned
from adutora.io.lake.schema import STRING, TIMESTAMP
from adutora.io.lake.types import Commit, Figures, WriteResult

RUN, STAGE, LOADED_AT = "_run_id", "_stage", "_loaded_at"


def append(attempt: Attempt) -> WriteResult:
    """Add the rows, with `_run_id` and `_loaded_at`.

    A rerun of the same run and stage with something changed replaces that run's rows in the same commit. Items of a
    fan-out share one run and one table: their rows carry `_stage` too, and each item replaces its own. A write that
    brings batches of a ledger never replaces: another batch of the same run has other rows, and all of them count.
    """
    commit = attempt.request.commit
    loaded_at = _loaded_at(attempt)
    plan = attempt.plan().with_columns(system_columns(commit, loaded_at), attempt.there)
    rows, total = attempt.count(), attempt.total()
    query = plan.select(attempt.request.relation)
    if attempt.table is None:
        figures = Figures(rows=rows, inserted=rows, total_rows=rows)
        version = attempt.create(query, plan, attempt.properties(figures, loaded_at=loaded_at))
        return attempt.result(figures, version, changed=True)
    if attempt.request.full_refresh:
        return _refresh(attempt, plan, query, loaded_at)
    former = None if commit.ledger else _former(attempt)
    if former:
        return _replace(attempt, plan, query, former, loaded_at)
    if not rows:
        return attempt.nothing(plan, Figures(rows=0, total_rows=total))
    figures = Figures(rows=rows, inserted=rows, total_rows=total + rows)
    # Appends of two writers do not disturb each other, but two of one ledger's batch would.
    said = attempt.properties(figures, loaded_at=loaded_at, serial=bool(commit.ledger or plan.added))
    version = attempt.put(query, plan, said, mode="append", schema_mode="merge" if plan.added else None)
    return attempt.result(figures, version, changed=True)


def system_columns(commit: Commit, loaded_at: dt.datetime) -> list[Planned]:
    """Return the columns that tell where a row came from."""
    stamp = f"CAST({literal(loaded_at.isoformat())} AS TIMESTAMP WITH TIME ZONE)"
    columns = [
        constant(RUN, STRING, literal(commit.run), "Run that brought the row"),
        constant(LOADED_AT, TIMESTAMP, stamp, "When that run's stage began"),
    ]
    if commit.stage.endswith("]"):
        columns.append(constant(STAGE, STRING, literal(commit.stage), "Item of the fan-out that brought the row"))
    return columns


def own_rows(attempt: Attempt) -> str | None:
    """Return the condition, in SQL of DuckDB and delta-rs alike, for rows of this run and stage."""
    there, commit = attempt.there, attempt.request.commit
    if RUN not in there:
        return None
    parts = [f"{quote(RUN)} = {literal(commit.run)}"]
    if commit.stage.endswith("]"):
        if STAGE not in there:
            return None
        parts.append(f"{quote(STAGE)} = {literal(commit.stage)}")
    elif STAGE in there:
        parts.append(f"{quote(STAGE)} IS NULL")
    return " AND ".join(parts)


def _former(attempt: Attempt) -> int:
    mine = own_rows(attempt)
    if mine is None:
        return 0
    return sql.number(attempt.con, f"SELECT count(*) FROM {attempt.current()} WHERE {mine}")


def _replace(attempt: Attempt, plan: Plan, query: str, former: int, loaded_at: dt.datetime) -> WriteResult:
    attempt.evolve(plan)
    rows = attempt.count()
    figures = Figures(rows=rows, inserted=rows, deleted=former, total_rows=attempt.total() - former + rows)
    said = attempt.properties(figures, loaded_at=loaded_at)
    version = attempt.put(query, plan, said, mode="overwrite", predicate=own_rows(attempt))
    return attempt.result(figures, version, changed=True)


def _refresh(attempt: Attempt, plan: Plan, query: str, loaded_at: dt.datetime) -> WriteResult:
    rows = attempt.count()
    figures = Figures(rows=rows, inserted=rows, deleted=attempt.total(), total_rows=rows)
    said = attempt.properties(figures, loaded_at=loaded_at)
    version = attempt.put(query, plan, said, mode="overwrite", schema_mode="overwrite", repartition=True)
    return attempt.result(figures, version, changed=True)


def _loaded_at(attempt: Attempt) -> dt.datetime:
    """Return the time for `_loaded_at`: never earlier than before, even if the clock was set back.

    `latestBy: _loaded_at` of a later stage would else take the newer rows for older ones.
    """
    last = commits.last_loaded_at(attempt.table) if attempt.table is not None else None
    at = attempt.request.commit.at.astimezone(dt.UTC)
    return max(at, last) if last is not None else at
