"""Rejected rows, kept beside the table with the reason, in `<layer>.<name>__rejected`."""

from dataclasses import replace

from adutora.io.duck import literal, quote
from adutora.io.lake import commits, sql
from adutora.io.lake.attempt import OWN, Attempt
from adutora.io.lake.columns import Plan, Planned
from adutora.io.lake.content import aggregates
from adutora.io.lake.schema import STRING, TIMESTAMP
from adutora.io.lake.store import REJECTED_SUFFIX
from adutora.io.lake.types import Commit, Figures, WriteRequest

_COLUMNS = ("_run_id", "_stage", "_reason", "_rejected_at", "_source", "_row")
_SAID = ("_reason", "_source", "_row")
_NEW = OWN + "new_rejected"
_EMPTY = OWN + "none_rejected"


def write_rejected(attempt: Attempt) -> int:
    """Commit the rejected rows of a write, before its data; return how many there are.

    With `overwrite` they replace what this stage rejected before; with other modes, what this run's stage did (with a
    ledger: nothing, for its batches add up). A `merge` without a ledger reads the same rows again in every run: those
    that an earlier run rejected for the same reason are not kept twice. Nothing is committed if all are as they were.
    """
    request = attempt.request
    rows = attempt.count(request.rejected) if request.rejected else 0
    name = request.table + REJECTED_SUFFIX
    table = attempt.store.open(name)
    if (table is None and not rows) or commits.is_done(table, request.commit):
        return rows
    mine = Attempt(attempt.con, attempt.store, _request(attempt, name), table)
    if table is not None and request.mode == "merge" and not request.commit.ledger and not request.full_refresh:
        mine = _without_known(mine)
        _commit(mine, mine.count(mine.request.relation), _scope(request))
    else:
        _commit(mine, rows, _scope(request))
    return rows


def _without_known(attempt: Attempt) -> Attempt:
    """Return the attempt without rows that an earlier run of the stage rejected for the same reason."""
    commit, relation = attempt.request.commit, quote(attempt.request.relation)
    same = " AND ".join(f"old.{name} IS NOT DISTINCT FROM CAST(new.{name} AS VARCHAR)" for name in _SAID)
    attempt.con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_NEW} AS SELECT new.* FROM {relation} new ANTI JOIN ("
        f"SELECT * FROM {attempt.current()} WHERE _stage = {literal(commit.stage)} AND _run_id <> {literal(commit.run)}"
        f") old ON {same}"
    )
    return Attempt(attempt.con, attempt.store, replace(attempt.request, relation=_NEW), attempt.table)


def _request(attempt: Attempt, name: str) -> WriteRequest:
    relation = attempt.request.rejected
    if relation is None:
        attempt.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_EMPTY} AS SELECT '' AS _reason, '' AS _source, '' AS _row LIMIT 0"
        )
        relation = _EMPTY
    description = f"Rows that {attempt.request.table} rejected, with the reason"
    return WriteRequest(name, relation, attempt.request.commit, mode="append", description=description)


def _scope(request: WriteRequest) -> str | None:
    commit = request.commit
    stage = f"{quote('_stage')} = {literal(commit.stage)}"
    if request.full_refresh or request.mode == "overwrite":
        return stage
    if commit.ledger:
        return None
    return f"{quote('_run_id')} = {literal(commit.run)} AND {stage}"


def _commit(attempt: Attempt, rows: int, scope: str | None) -> None:
    plan = _plan(attempt.request.commit)
    query = plan.select(attempt.request.relation)
    total = attempt.total()
    if attempt.table is None:
        attempt.create(query, plan, attempt.properties(Figures(rows=rows, inserted=rows, total_rows=rows)))
        return
    former, same = _compare(attempt, scope) if scope else (0, False)
    if same or not rows + former:
        return
    figures = Figures(rows=rows, inserted=rows, deleted=former, total_rows=total - former + rows)
    said = attempt.properties(figures, serial=bool(former or attempt.request.commit.ledger))
    if former:
        attempt.put(query, plan, said, mode="overwrite", predicate=scope)
    else:
        attempt.put(query, plan, said, mode="append")


def _compare(attempt: Attempt, scope: str) -> tuple[int, bool]:
    """Return how many rows stand in the scope, and whether the new ones are the same."""
    figures = aggregates(_SAID)
    texts = ", ".join(f"CAST({name} AS VARCHAR) AS {name}" for name in _SAID)
    old = sql.first(attempt.con, f"SELECT {figures} FROM {attempt.current()} WHERE {scope}")
    new = sql.first(attempt.con, f"SELECT {figures} FROM (SELECT {texts} FROM {quote(attempt.request.relation)})")
    return int(old[0]), old == new


def _plan(commit: Commit) -> Plan:
    constants = {
        "_run_id": literal(commit.run),
        "_stage": literal(commit.stage),
        "_rejected_at": f"CAST({literal(commit.at.isoformat())} AS TIMESTAMP WITH TIME ZONE)",
    }
    return Plan(
        tuple(
            Planned(
                name,
                TIMESTAMP if name == "_rejected_at" else STRING,
                constants.get(name, f"CAST({name} AS VARCHAR)"),
            )
            for name in _COLUMNS
        )
    )
