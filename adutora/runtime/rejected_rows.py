"""The table of rejected rows, as a replay changes it. Every commit fails if anybody else was faster.

All functions take the name of the table that rejected the rows, and raise `Conflict` where a race was lost.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import duckdb
from deltalake import CommitProperties, DeltaTable

from adutora.io.duck import literal, quote, quote_table
from adutora.io.lake import Lake, WriteRequest
from adutora.io.lake.attempt import Attempt
from adutora.io.lake.columns import Plan, Planned
from adutora.io.lake.failures import Conflict, translated
from adutora.io.lake.lock import table_lock
from adutora.io.lake.schema import from_delta
from adutora.io.lake.store import REJECTED_SUFFIX, Store
from adutora.io.lake.types import Commit, Figures
from adutora.runtime.prepare import ROW_ID

PREFIX: Final = "replaying "
_VIEW, _NEW = "__adutora_ref.marked", "__adutora_replay_new"
_MOST_RUNS = 200  # past so many the whole table is rewritten: a predicate has its limits


def marks(con: duckdb.DuckDBPyConnection, lake: Lake, table: str) -> list[str]:
    """Return the ids of replays that were not ended."""
    if lake.rejected(con, table, _VIEW) is None:
        return []
    found = con.execute(
        f"SELECT DISTINCT regexp_extract(_reason, '^{PREFIX}([0-9a-f]+): ', 1) AS mark FROM {quote_table(_VIEW)} "
        f"WHERE starts_with(_reason, {literal(PREFIX)}) ORDER BY 1"
    ).fetchall()
    return [str(mark) for (mark,) in found if mark]


def mark(
    con: duckdb.DuckDBPyConnection, store: Store, table: str, relations: tuple[str, str], *, mark: str, version: int
) -> None:
    """Mark the rows that pass, and give those that stay in the same runs their reason of today.

    `relations` are the rows of `version`, numbered, and reasons of those that stay, by number.
    """
    every, why = relations
    passing = f"SELECT DISTINCT _run_id FROM {every} ANTI JOIN {why} USING ({ROW_ID})"
    runs = [run for (run,) in con.execute(f"{passing} LIMIT {_MOST_RUNS + 1}").fetchall()]
    some = len(runs) <= _MOST_RUNS and None not in runs
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_NEW} AS SELECT e.* EXCLUDE ({ROW_ID}) REPLACE "
        f"(coalesce(w.why, {literal(_prefix(mark))} || e._reason) AS _reason) "
        f"FROM {every} e LEFT JOIN {why} w USING ({ROW_ID})"
        + (f" WHERE e._run_id IN ({', '.join(map(literal, runs))})" if some else "")
    )
    predicate = f"{quote('_run_id')} IN ({', '.join(map(literal, runs))})" if some else None
    with table_lock(store.lock_path(table), table):
        found = store.open(table + REJECTED_SUFFIX)
        if found is None or int(found.version()) != version:
            raise Conflict(f"rejected rows of {table}: somebody else was faster")
        columns = from_delta(found.schema().to_json())
        plan = Plan(tuple(Planned(column, kind.type, quote(column)) for column, kind in columns.items()))
        commit = Commit(f"replay-{mark}", "", "replay", mark, dt.datetime.now(dt.UTC))
        attempt = Attempt(con, store, WriteRequest(table + REJECTED_SUFFIX, _NEW, commit), found)
        attempt.put(plan.select(_NEW), plan, _alone(), mode="overwrite", predicate=predicate)
    con.execute(f"DROP TABLE {_NEW}")


def unmark(store: Store, table: str, mark: str) -> None:
    """Take a mark away: its rows were never written."""
    rest = f"substr({quote('_reason')}, {len(_prefix(mark)) + 1})"
    with _opened(store, table) as found:
        found.update(updates={"_reason": rest}, predicate=_marked(mark), commit_properties=_alone())


def forget(store: Store, table: str, mark: str) -> None:
    """Delete the rows of a mark: they are in the table."""
    with _opened(store, table) as found:
        found.delete(_marked(mark), commit_properties=_alone())


def append_plainly(con: duckdb.DuckDBPyConnection, lake: Lake, store: Store, request: WriteRequest) -> None:
    """Append rows as they are, without the system's columns; make the table if it is not there."""
    if not lake.exists(request.table):
        lake.write(con, replace(request, mode="overwrite"))
        return
    with table_lock(store.lock_path(request.table), request.table):
        attempt = Attempt(con, store, request, store.open(request.table))
        plan, rows = attempt.plan(), attempt.count()
        figures = Figures(rows=rows, inserted=rows, total_rows=attempt.total() + rows)
        attempt.put(
            plan.select(request.relation),
            plan,
            attempt.properties(figures),
            mode="append",
            schema_mode="merge" if plan.added else None,
        )


@contextmanager
def _opened(store: Store, table: str) -> Iterator[DeltaTable]:
    with table_lock(store.lock_path(table), table), translated(f"rejected rows of {table}"):
        found = store.open(table + REJECTED_SUFFIX)
        if found is None:
            raise Conflict(f"rejected rows of {table} are gone")
        yield found


def _alone() -> CommitProperties:
    return CommitProperties(max_commit_retries=0)


def _prefix(mark: str) -> str:
    return f"{PREFIX}{mark}: "


def _marked(mark: str) -> str:
    return f"{quote('_reason')} LIKE {literal(_prefix(mark) + '%')}"
