"""Rejected rows again: those that pass the table's rules as they are today are written, the others stay.

Three commits, in an order that loses and doubles nothing, wherever the process is killed:

1. rows that pass are marked in the table of rejected rows, `replaying <id>: …` before the reason;
2. they are written to the table, and the same commit marks batch 1 of the ledger `replay-<id>` as done;
3. marked rows are deleted.

A replay first ends what an earlier one left: rows marked with an id that the table knows are deleted, others lose the
mark. Rules may have changed in between; it makes no difference.

What stays, too: a line that could not be read as a row, a row with columns that the table does not have, a row that a
`clean` stage dropped (the table's rules would let it in again), and one whose key or unique columns stand in the table.
With `mode: merge` a row replaces that of its key, as the stage's own would; `latestBy` guards a newer one.
`rowCount` and `freshness` are not judged: they judge a whole table.
"""

import datetime as dt
import uuid
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

import duckdb

from adutora.errors import ConfigError, TemporaryError
from adutora.io import duck
from adutora.io.casts import Target
from adutora.io.duck import literal, quote, quote_table
from adutora.io.lake import Commit, Lake
from adutora.io.lake.failures import Conflict
from adutora.io.lake.lock import table_lock
from adutora.io.lake.store import REJECTED_SUFFIX, Store
from adutora.runtime import rejected_rows, rows
from adutora.runtime.check_run import column_types, count
from adutora.runtime.checks import TABLE_RULES
from adutora.runtime.output import write_request
from adutora.runtime.prepare import BAD, ROW_ID, Preparation, Prepared
from adutora.spec.base import Check, Output, Table

SNAPSHOT: Final = "__adutora_replay_all"
_GIVEN, _WHY = "__adutora_replay_given", "__adutora_replay_why"
_TABLE, _REJECTED = "__adutora_ref.replayed", "__adutora_ref.rejected"
_TRIES = 5
_SHOWN = 10  # reasons that a report counts


@dataclass(frozen=True)
class Replayed:
    """What a replay did: rows written, rows that stay, and the reasons of those with how many rows have each."""

    table: str
    replayed: int
    rejected: int
    reasons: tuple[tuple[str, int], ...] = ()


@dataclass
class Replay:
    """The replay of one table, by its description and the output of the stage that writes it."""

    con: duckdb.DuckDBPyConnection
    lake: Lake
    table: Table
    output: Output
    pipeline: str
    _standing: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Where the lake's tables lie: a replay changes rejected rows in ways that no stage does."""
        return self.lake.store

    def run(self) -> Replayed:
        """Replay all rejected rows of the table.

        Raises ConfigError if the table has no columns to go by, TemporaryError if others write all the time.
        """
        name = self.table.name
        with table_lock(self.store.lock_path(name + REJECTED_SUFFIX), name + REJECTED_SUFFIX):
            for _ in range(_TRIES):
                try:
                    return self._once()
                except Conflict:
                    continue
        raise TemporaryError(f"replay of {name}: others rejected rows all the time", hint="try again later")

    def _once(self) -> Replayed:
        self._end_former()
        with duck.translated(f"replay of {self.table.name}"):
            version = self._snapshot()
            if version is None or not self._count(SNAPSHOT):
                return Replayed(self.table.name, 0, 0)
            self._restore()
            preparation, prepared = self._judge()
            self._explain()
            done = prepared.rows
            if done:
                self._commit(prepared, version)
            preparation.release()
            return self._report(done)

    def _count(self, relation: str) -> int:
        return count(self.con, f"SELECT count(*) FROM {relation}")

    # What an earlier replay left

    def _end_former(self) -> None:
        for mark in rejected_rows.marks(self.con, self.lake, self.table.name):
            if self.lake.batch(self.table.name, _ledger(mark)) is not None:
                rejected_rows.forget(self.store, self.table.name, mark)
            else:
                rejected_rows.unmark(self.store, self.table.name, mark)

    # The rows

    def _snapshot(self) -> int | None:
        version = self.lake.rejected(self.con, self.table.name, _REJECTED)
        if version is not None:
            self.con.execute(
                f"CREATE OR REPLACE TEMP TABLE {SNAPSHOT} AS SELECT row_number() OVER () AS {ROW_ID}, * "
                f"FROM {quote_table(_REJECTED)}"
            )
        return version

    def _restore(self) -> None:
        """Make the relation of rows that can be restored, all as text, and the table of those that cannot, with why."""
        self._standing = {}
        if self.lake.exists(self.table.name):
            self.lake.register(self.con, self.table.name, _TABLE)
            self._standing = column_types(self.con, quote_table(_TABLE))
        known = {column.name: None for column in self.table.columns or ()} | dict.fromkeys(self._standing)
        if not known:
            raise ConfigError(
                f"{self.table.name} does not stand yet, and no columns are declared: its rows cannot be restored",
                hint="declare columns under tables, or run the stage",
            )
        members = self._classify(list(known))
        values = []
        for name in known:
            texts = [rows.from_json("_row", member) for member in members.get(name.lower(), [])]
            if name == "_source":
                texts = ["_source"]
            if texts or name in self._standing:
                values.append(f"{_first(texts)} AS {quote(name)}")
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_GIVEN} AS SELECT {', '.join([ROW_ID, *values])} FROM {SNAPSHOT} "
            f"ANTI JOIN {_WHY} USING ({ROW_ID}) ORDER BY {ROW_ID}"
        )

    def _classify(self, known: list[str]) -> dict[str, list[str]]:
        """Set aside what cannot be restored; return how the rows spell the columns, by lower-case name."""
        is_row = "coalesce(json_valid(_row) AND json_type(CASE WHEN json_valid(_row) THEN _row END) = 'OBJECT', false)"
        keys = f"json_keys(CASE WHEN {is_row} THEN _row END)"
        listed = ", ".join(literal(name.lower()) for name in known)
        strange = f"array_to_string(list_filter({keys}, lambda k: lower(k) NOT IN ({listed})), ', ')"
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_WHY} AS SELECT {ROW_ID}, why FROM (SELECT {ROW_ID}, CASE "
            f"WHEN _reason LIKE 'clean: %' OR NOT {is_row} THEN _reason "
            f"WHEN {strange} <> '' THEN 'the table has no column ' || {strange} END AS why FROM {SNAPSHOT}) "
            f"WHERE why IS NOT NULL"
        )
        members: dict[str, list[str]] = {}
        for (member,) in self.con.execute(
            f"SELECT DISTINCT unnest({keys}) FROM {SNAPSHOT} ANTI JOIN {_WHY} USING ({ROW_ID}) ORDER BY 1"
        ).fetchall():
            members.setdefault(str(member).lower(), []).append(str(member))
        return members

    # The rules

    def _judge(self) -> tuple[Preparation, Prepared]:
        declared = {column.name for column in self.table.columns or ()}
        typed = [Target(name, kind, kind) for name, kind in self._standing.items() if name not in declared]
        at = dt.datetime.now(dt.UTC)
        commit = Commit(f"replay-{uuid.uuid4().hex[:12]}", self.pipeline, "replay", "1", at)
        table = self.table.model_copy(update={"checks": self._checks(), "schema_": "evolve"})
        standing = quote_table(_TABLE) if self._standing else None
        preparation = Preparation(
            self.con,
            self.lake,
            table,
            self._way(),
            commit,
            standing=standing,
            typed=typed,
            keep_system=self.output.mode != "append",
        )
        return preparation, preparation.prepare(_GIVEN)

    def _checks(self) -> list[Check]:
        """Return the table's checks such that a bad row stays, and does not stop the others."""
        checks = [check for check in self.table.checks if check.rule not in TABLE_RULES]
        checks = [c.model_copy(update={"onFail": "quarantine"}) if c.onFail == "fail" else c for c in checks]
        key = self.table.key
        if not key:
            return checks
        checks.insert(0, Check(name="key-not-null", onFail="quarantine", notNull=key))
        if self.output.mode != "merge":
            checks.append(Check(name="key-unique", onFail="quarantine", unique=key))
        return checks

    def _way(self) -> Output:
        """How rows are written: appended, or merged where the stage merges."""
        if self.output.mode == "merge":
            return self.output.model_copy(update={"missing": None})
        return Output(table=self.table.name, mode="append")

    def _explain(self) -> None:
        self.con.execute(f"INSERT INTO {_WHY} SELECT rid, reason FROM {BAD}")

    # The commits

    def _commit(self, prepared: Prepared, version: int) -> None:
        mark = uuid.uuid4().hex[:12]
        rejected_rows.mark(self.con, self.store, self.table.name, (SNAPSHOT, _WHY), mark=mark, version=version)
        at = dt.datetime.now(dt.UTC)
        commit = Commit(f"replay-{mark}", self.pipeline, "replay", mark, at, {_ledger(mark): 1})
        # What stays is among the rejected rows already.
        request = replace(write_request(self.table, self._way(), commit, prepared), rejected=None)
        if self.output.mode in {"merge", "append"}:
            self.lake.write(self.con, request)
        else:  # append would add the system's columns, which the stage's own rows do not have
            rejected_rows.append_plainly(self.con, self.lake, self.store, request)
        rejected_rows.forget(self.store, self.table.name, mark)

    def _report(self, done: int) -> Replayed:
        reasons: Counter[str] = Counter(
            {
                str(why): int(n)
                for why, n in self.con.execute(
                    f"SELECT why, count(*) FROM {_WHY} GROUP BY why ORDER BY count(*) DESC, why LIMIT {_SHOWN}"
                ).fetchall()
            }
        )
        return Replayed(self.table.name, done, self._count(_WHY), tuple(reasons.most_common()))


def _ledger(mark: str) -> str:
    return f"replay-{mark}"


def _first(texts: list[str]) -> str:
    if not texts:
        return "CAST(NULL AS VARCHAR)"
    return texts[0] if len(texts) == 1 else f"coalesce({', '.join(texts)})"
