"""Deletions that a merge remembers, in `<layer>.<name>__deleted`: the key, and the value of `latestBy` it died at.

Without them an older row that comes in a later run would bring a deleted key back. They are committed before the data:
a process that dies in between leaves a tombstone without its deletion, and the next try deletes the row and adds none.
"""

from adutora.io.duck import literal, quote
from adutora.io.lake import sql
from adutora.io.lake.attempt import OWN, Attempt
from adutora.io.lake.columns import Plan, Planned
from adutora.io.lake.read import source_relation
from adutora.io.lake.schema import STRING, TIMESTAMP
from adutora.io.lake.store import DELETED_SUFFIX
from adutora.io.lake.types import Figures, WriteRequest

KNOWN = OWN + "tombstones"
DIED = "__adutora_died"
_NEW, _SOURCE = OWN + "new_tombstones", OWN + "tombstones_source"


class Tombstones:
    """The tombstones of the table of an attempt, which has `latestBy` and `deleteWhere`."""

    def __init__(self, attempt: Attempt, plan: Plan, latest_by: str) -> None:
        self._attempt, self._plan, self._con = attempt, plan, attempt.con
        self._key, self._latest = attempt.request.key, latest_by
        self._name = attempt.request.table + DELETED_SUFFIX
        self._table = attempt.store.open(self._name)
        self._fresh = attempt.table is None or attempt.request.full_refresh

    def show(self, batch: str) -> None:
        """Make temp table `KNOWN`: of the keys of `batch` that died before, when; none for a table made anew."""
        keys = ", ".join(quote(name) for name in self._key)
        if self._table is None or self._fresh:
            query = f"SELECT {keys}, {quote(self._latest)} AS {DIED} FROM {batch} LIMIT 0"
        else:
            source = source_relation(self._con, self._table, _SOURCE)
            query = (
                f"SELECT {keys}, max({quote(self._latest)}) AS {DIED} FROM {source} d "
                f"SEMI JOIN {batch} b ON {self.match('b', 'd')} GROUP BY {keys}"
            )
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {KNOWN} AS {query}")
        self._con.unregister(_SOURCE)

    def match(self, one: str, other: str) -> str:
        """Return the condition that two relations speak of one key."""
        return " AND ".join(f"{one}.{quote(name)} = {other}.{quote(name)}" for name in self._key)

    def older(self, row: str, died: str) -> str:
        """Return the condition that a row is older than its key's tombstone."""
        new = f"{row}.{quote(self._latest)}"
        return f"({died}.{DIED} IS NOT NULL AND ({new} IS NULL OR {new} < {died}.{DIED}))"

    def keep(self, dying: str) -> None:
        """Commit a tombstone for each row of the query `dying`, but for what is known already.

        For a table that is made anew they take the place of all others.
        """
        names = ", ".join(f"g.{quote(name)}" for name in (*self._key, self._latest))
        new = f"g.{quote(self._latest)}"
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_NEW} AS SELECT {names} FROM ({dying}) g "
            f"LEFT JOIN {KNOWN} d ON {self.match('g', 'd')} "
            f"WHERE {new} IS NOT NULL AND (d.{DIED} IS NULL OR {new} > d.{DIED})"
        )
        rows = sql.number(self._con, f"SELECT count(*) FROM {_NEW}")
        stand = 0 if self._table is None else int(self._table.count())
        if rows or (self._fresh and stand):
            self._commit(rows, stand)

    def _commit(self, rows: int, stand: int) -> None:
        about = f"Keys that were deleted from {self._attempt.name}, and when: older rows do not bring them back"
        commit = self._attempt.request.commit
        request = WriteRequest(self._name, _NEW, commit, mode="append", description=about)
        mine = Attempt(self._con, self._attempt.store, request, self._table)
        figures = Figures(rows=rows, inserted=rows, total_rows=rows if self._fresh else stand + rows)
        plan = self._columns(mine)
        query = plan.select(_NEW)
        if self._table is None:
            mine.create(query, plan, mine.properties(figures))
        elif self._fresh:
            mine.put(query, plan, mine.properties(figures), mode="overwrite", schema_mode="overwrite")
        else:
            mine.put(query, plan, mine.properties(figures, serial=False), mode="append")

    def _columns(self, mine: Attempt) -> Plan:
        types = {column.name: column.type for column in self._plan.columns}
        if not self._fresh:
            types |= {name: column.type for name, column in mine.there.items()}
        commit = self._attempt.request.commit
        at = f"CAST({literal(commit.at.isoformat())} AS TIMESTAMP WITH TIME ZONE)"
        return Plan(
            (
                *(
                    Planned(name, types[name], f"CAST({quote(name)} AS {types[name].sql})")
                    for name in dict.fromkeys((*self._key, self._latest))
                ),
                Planned("_run_id", STRING, literal(commit.run)),
                Planned("_deleted_at", TIMESTAMP, at),
            )
        )
