"""Which rows a merge changes, as SQL: the batch, the table it meets, and a temp table of changes.

Each change has an operation: i(nsert), u(pdate), d(elete, as the row asks), m(ark) and p(urge) rows that are missing;
q(uietly) purged are those that had been marked before.
"""

from adutora.errors import DataError
from adutora.io.duck import quote
from adutora.io.lake import sql
from adutora.io.lake.attempt import OWN, Attempt
from adutora.io.lake.columns import Plan
from adutora.io.lake.tombstones import KNOWN, Tombstones

OP = "__adutora_op"
CHANGES = OWN + "changes"
_BATCH, _STANDING = OWN + "merged", OWN + "matched"
_GOES = "__adutora_goes"
_DELETED = "_deleted"
_EXAMPLES = 3


class MergeRows:
    """Works on temp relations of the attempt's connection; call its steps in order."""

    def __init__(self, attempt: Attempt, plan: Plan) -> None:
        self._attempt, self._plan, self._con = attempt, plan, attempt.con
        self._request = attempt.request
        self._key = attempt.request.key
        self._names = [column.name for column in plan.columns]
        self._fresh = attempt.table is None or attempt.request.full_refresh
        latest_by = self._request.latest_by if self._request.delete_where else None
        self._tombstones = Tombstones(attempt, plan, latest_by) if latest_by else None

    # The batch

    def make_batch(self) -> None:
        """Cast the rows and, with latestBy, keep the latest of each key."""
        goes = "false"
        if self._request.delete_where:
            goes = f"coalesce((\n{self._request.delete_where}\n), false)"
        query = self._plan.select(self._request.relation, more=f"{goes} AS {_GOES}")
        if self._request.latest_by is None:
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE {_BATCH} AS {query}")
            return
        latest = quote(self._request.latest_by)
        order = [f"{latest} DESC NULLS LAST", *(f"{quote(n)} DESC NULLS LAST" for n in self._names), f"{_GOES} DESC"]
        self._con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_BATCH} AS SELECT * FROM ({query}) "
            f"QUALIFY row_number() OVER (PARTITION BY {self._keys()} ORDER BY {', '.join(order)}) = 1"
        )

    def check_keys(self) -> None:
        """Raise DataError for keys that are null or there twice, with examples."""
        empty = " OR ".join(f"{quote(name)} IS NULL" for name in self._key)
        count = sql.number(self._con, f"SELECT count(*) FROM {_BATCH} WHERE {empty}")
        if count:
            raise DataError(f"{self._request.table}: {count} rows have no key ({', '.join(self._key)})")
        shown = " || ', ' || ".join(f"CAST({quote(name)} AS VARCHAR)" for name in self._key)
        twice = sql.rows(
            self._con,
            f"SELECT {shown}, count(*) AS n, count(*) OVER () FROM {_BATCH} GROUP BY {self._keys()} "
            f"HAVING count(*) > 1 ORDER BY n DESC, 1 LIMIT {_EXAMPLES}",
        )
        if twice:
            examples = "; ".join(f"({key}) {count} times" for key, count, _ in twice)
            keys = f"{twice[0][2]} keys ({', '.join(self._key)})"
            raise DataError(
                f"{self._request.table}: {keys} are there more than once: {examples}",
                hint="set latestBy to keep the latest row of each key, or make the key unique",
            )

    # The changes

    def make_changes(self) -> None:
        """Make the table of changes."""
        if self._tombstones:
            self._tombstones.show(_BATCH)
        if self._fresh:
            names = ", ".join(quote(name) for name in self._names)
            self._con.execute(
                f"CREATE OR REPLACE TEMP TABLE {CHANGES} AS SELECT {names}, 'i' AS {OP} FROM {_BATCH} WHERE NOT {_GOES}"
            )
            return
        self._show_standing()
        parts = [self._by_rows()]
        missing = self._request.missing
        if missing and missing.action != "keep":
            parts.append(self._by_absence(missing.action))
        self._con.execute(f"CREATE OR REPLACE TEMP TABLE {CHANGES} AS {' UNION ALL '.join(parts)}")

    def keep_tombstones(self) -> None:
        """Commit that keys were deleted, whether the table had them or not; not those that a newer row outlived."""
        if self._tombstones is None:
            return
        query = f"SELECT b.* FROM {_BATCH} b"
        if not self._fresh:
            query += f" LEFT JOIN {_STANDING} o ON {self._match()} WHERE b.{_GOES} AND NOT {self._stale()}"
        else:
            query += f" WHERE b.{_GOES}"
        self._tombstones.keep(query)

    def live(self) -> int:
        """Return how many rows of the table are not marked as deleted."""
        return sql.number(self._con, f"SELECT count(*) FROM {_STANDING} WHERE {self._live('')}")

    def _show_standing(self) -> None:
        there = self._attempt.there
        items = [
            quote(c.name) if c.name in there else f"CAST(NULL AS {c.type.sql}) AS {quote(c.name)}"
            for c in self._plan.columns
        ]
        self._con.execute(
            f"CREATE OR REPLACE TEMP VIEW {_STANDING} AS SELECT {', '.join(items)} FROM {self._attempt.current()}"
        )

    def _by_rows(self) -> str:
        values = ", ".join(f"b.{quote(name)}" for name in self._names)
        old = f"WHEN {self._tombstones.older('b', 'd')} THEN NULL " if self._tombstones else ""
        op = (
            f"CASE {old}WHEN o.{quote(self._key[0])} IS NULL THEN CASE WHEN NOT b.{_GOES} THEN 'i' END "
            f"WHEN {self._stale()} THEN NULL WHEN b.{_GOES} THEN 'd' WHEN {self._differs()} THEN 'u' END"
        )
        return (
            f"SELECT * FROM (SELECT {values}, {op} AS {OP}{self._places()} FROM {_BATCH} b "
            f"LEFT JOIN {_STANDING} o ON {self._match()}{self._died()}) WHERE {OP} IS NOT NULL"
        )

    def _died(self) -> str:
        return f" LEFT JOIN {KNOWN} d ON {self._tombstones.match('b', 'd')}" if self._tombstones else ""

    def _by_absence(self, action: str) -> str:
        # Only the key of a row that goes is looked at.
        values = ", ".join(f"o.{quote(name)}" for name in self._names)
        live = self._live("o.")
        op, only = ("'m'", f" WHERE {live}") if action == "mark" else (f"CASE WHEN {live} THEN 'p' ELSE 'q' END", "")
        return f"SELECT {values}, {op}{self._places()} FROM {_STANDING} o ANTI JOIN {_BATCH} b ON {self._match()}{only}"

    def _differs(self) -> str:
        compared = [c.name for c in self._plan.columns if not c.system and c.name not in self._key]
        if _DELETED in self._names:
            compared.append(_DELETED)
        same = [f"b.{quote(name)} IS DISTINCT FROM o.{quote(name)}" for name in compared]
        return f"({' OR '.join(same)})" if same else "false"

    def _stale(self) -> str:
        if self._request.latest_by is None:
            return "false"
        new, old = (f"{side}.{quote(self._request.latest_by)}" for side in ("b", "o"))
        return f"({old} IS NOT NULL AND ({new} IS NULL OR {new} < {old}))"

    def _places(self) -> str:
        """Return, for each partition column, where the row stands now."""
        by = self._attempt.partitioned_by
        return "".join(f", o.{quote(name)} AS {quote('__adutora_at_' + name)}" for name in by)

    def _live(self, prefix: str) -> str:
        return f"{prefix}{quote(_DELETED)} IS DISTINCT FROM true" if _DELETED in self._names else "true"

    def _match(self) -> str:
        return " AND ".join(f"b.{quote(name)} = o.{quote(name)}" for name in self._key)

    def _keys(self) -> str:
        return ", ".join(quote(name) for name in self._key)
