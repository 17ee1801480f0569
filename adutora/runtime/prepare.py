"""From a stage's rows to those that may be written, and those that are set aside with the reason.

In this order:

1. The rows are materialised once, cast to the declared columns; a row that cannot be cast, or has no value where one
   is required, is rejected.
2. Checks with `onFail: quarantine` that judge a row by itself set rows aside; a row carries all its reasons.
3. Those that look at all rows (unique, sql, references to the table itself) follow in their order, on what is left.
4. The key (not null, unique) and all other checks judge what is about to be written. If one with `onFail: fail` finds
   anything, all of them are named in one DataError, and nothing is written.

`unique` and the key look at the rows of this write. `rowCount`, `freshness` and references to the table itself look at
the table as it will stand after the write.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from adutora.errors import AdutoraError, ConfigError, DataError
from adutora.io import duck
from adutora.io.casts import Target, select
from adutora.io.duck import literal, quote, quote_table
from adutora.runtime import rows
from adutora.runtime.after import after_write
from adutora.runtime.check_run import Finding, column_types, count, count_bad, register_references, run_checks
from adutora.runtime.checks import (
    ROW_RULES,
    TABLE_RULES,
    Reference,
    Subject,
    find,
    row_rule,
    surplus,
    user_query,
)
from adutora.spec.base import Check, Output, Table
from adutora.spec.nearest import nearest

if TYPE_CHECKING:
    from adutora.io.lake import Commit, Lake

OUT, BAD, LIVE, GOOD, REJECTED = (f"__adutora_{name}" for name in ("out", "bad", "live", "good", "set_aside"))
# Columns of the system that a query may pass on from its inputs.
PASSED_ON = frozenset({"_loaded_at", "_source", "_run_id", "_deleted"})
# A column of the relation with this name numbers the rows and is not written; without it rows are numbered here.
ROW_ID = "__adutora_row"
_HELPERS = ("__adutora_reason", "__adutora_raw", ROW_ID)
_KEY_NULL, _KEY_TWICE = "key-not-null", "key-unique"


@dataclass(frozen=True)
class Prepared:
    """Rows ready to be written (`relation`) and to be set aside (`rejected`: _reason, _source, _row), with counts."""

    relation: str
    rejected: str
    rows: int
    set_aside: int  # of the stage's own rows
    came_rejected: int  # rejected before, while reading
    findings: tuple[Finding, ...]


@dataclass
class Preparation:
    """One table's rules at work on one connection. Made for one write, used once."""

    con: duckdb.DuckDBPyConnection
    lake: "Lake"
    table: Table
    output: Output
    commit: "Commit"
    readable: Sequence[str] = ()
    full_refresh: bool = False
    replaces_partitions: str | None = None
    # For a replay: the table as it stands, which unique rows must not collide with, and types of columns that the
    # table has without declaring them.
    standing: str | None = None
    typed: Sequence[Target] = ()
    keep_system: bool = False
    _columns: dict[str, str] = field(default_factory=dict)
    _row_id: str = "rowid"
    _out: str = OUT
    _has_reasons: bool = False
    _references: dict[str, Reference] = field(default_factory=dict)

    def prepare(self, relation: str, rejected: str | None = None) -> Prepared:
        """Judge the rows of `relation`; `rejected` holds those that were set aside while reading.

        Raises DataError where columns or a check fail, ConfigError where a check does not fit the table.
        """
        with duck.translated(f"writing {self.table.name}"):
            self._materialise(relation)
            total = self._count(self._out)
            self._find_references()
            self._close_door()
            findings = self._quarantine()
            findings += self._judge()
            return self._finish(total, rejected, findings)

    # 1. Columns

    def _materialise(self, relation: str) -> None:
        given = column_types(self.con, relation)
        self._refuse_system_columns(given)
        numbered = given.pop(ROW_ID, None)
        if self.output.mode == "append" and not self.keep_system:  # the lake says itself who loaded a row, and when
            given = {name: kind for name, kind in given.items() if name not in {"_run_id", "_loaded_at"}}
        self._take(relation, given, numbered)
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {BAD} (rid BIGINT, reason VARCHAR)")
        if self._has_reasons:
            self._set_aside(
                f"SELECT {self._row_id}, __adutora_reason FROM {self._out} WHERE __adutora_reason IS NOT NULL"
            )
        names = ", ".join(f"o.{quote(name)}" for name in self._columns)
        self.con.execute(
            f"CREATE OR REPLACE TEMP VIEW {LIVE} AS SELECT o.{self._row_id} AS __adutora_rid, {names} "
            f"FROM {self._out} o ANTI JOIN {BAD} b ON o.{self._row_id} = b.rid"
        )
        self.con.execute(f"CREATE OR REPLACE TEMP VIEW {GOOD} AS SELECT * EXCLUDE (__adutora_rid) FROM {LIVE}")

    def _take(self, relation: str, given: dict[str, str], numbered: str | None) -> None:
        """Cast the rows into a table of their own; a temp table that needs no cast is used as it is."""
        targets = self._targets(given)
        if numbered or any(name.lower() == "rowid" for name in given):  # that name hides DuckDB's own
            self._row_id = ROW_ID
        if not targets and self._row_id == "rowid" and self._is_table(relation):
            self._out, self._columns = relation, given
            return
        raw = rows.to_json({name: kind for name, kind in given.items() if name != "_source"})
        query = select({**given, ROW_ID: numbered} if numbered else given, targets, relation, raw)
        if self._row_id == ROW_ID and not numbered:
            query = f"SELECT *, row_number() OVER () AS {ROW_ID} FROM ({query})"
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {OUT} AS {query}")
        self._columns = {n: k for n, k in column_types(self.con, OUT).items() if n not in _HELPERS}
        self._has_reasons = True

    def _is_table(self, relation: str) -> bool:
        query = f"SELECT count(*) FROM duckdb_tables() WHERE temporary AND table_name = {literal(relation)}"
        return count(self.con, query) == 1

    def _refuse_system_columns(self, given: dict[str, str]) -> None:
        declared = {column.name for column in self.table.columns or ()} | {ROW_ID}
        bad = [name for name in given if name.startswith("_") and name not in PASSED_ON | declared]
        if bad:
            raise DataError(
                f"{self.table.name}: column {', '.join(map(repr, bad))} begins with `_`, as the system's own do",
                hint="give it another name: in SQL with AS, in a file in its header",
            )

    def _targets(self, given: dict[str, str]) -> dict[str, Target]:
        declared = self.table.columns or ()
        spelled = {column.name: find(column.name, given) for column in declared}
        freeze = schema_mode(self.table) == "freeze"
        lacking = [c.name for c in declared if spelled[c.name] is None and (freeze or c.required)]
        known = set(spelled.values())
        extra = [n for n in given if declared and freeze and n not in known and n not in PASSED_ON]
        if lacking or extra:
            raise self._misfit(lacking, extra, given)
        targets = {spelled[column.name] or column.name: Target.of(column) for column in declared}
        return targets | {target.name: target for target in self.typed if target.name in given}

    def _misfit(self, lacking: list[str], extra: list[str], given: dict[str, str]) -> DataError:
        parts = []
        for name in lacking:
            near = nearest(name, extra or given)
            parts.append(f"has no column {name!r}" + (f" (is it {near!r}?)" if near else ""))
        if extra:
            parts.append(f"has column {', '.join(map(repr, extra))}, which the table does not declare")
        return DataError(
            f"{self.table.name}: what the stage wrote {'; '.join(parts)}",
            hint="declare what is new, or set schema: evolve" if extra else "nothing was written",
        )

    # 2. and 3. What is set aside

    def _set_aside(self, query: str) -> int:
        """Mark rows bad by a query of row id and reason; return how many. No row is marked twice."""
        return count(self.con, f"INSERT INTO {BAD} {query}")

    def _subject(self) -> Subject:
        return Subject(self.table.name, self._columns, self._references, self.commit.at)

    def _is_own(self, check: Check) -> bool:
        return check.references is not None and check.references.table == self.table.name

    def _quarantine(self) -> list[Finding]:
        checks = [check for check in self.table.checks if check.onFail == "quarantine"]
        for check in checks:
            if check.rule in TABLE_RULES:
                raise ConfigError(
                    f"{self.table.name}: check {check.title} judges the table and has no rows to quarantine",
                    hint="write onFail: fail or onFail: warn",
                )
        total = self._count(LIVE)
        single = [check for check in checks if check.rule in ROW_RULES and not self._is_own(check)]
        findings = self._quarantine_rows(single, total)
        for check in (check for check in checks if check not in single):
            with duck.translated(f"{self.table.name}: check {check.title}"):
                findings.append(Finding(check, self._quarantine_set(check), total))
        return findings

    def _quarantine_rows(self, checks: Sequence[Check], total: int) -> list[Finding]:
        rules = [row_rule(self.con, check, self._subject()) for check in checks]
        counts = count_bad(self.con, rules, LIVE)
        if any(counts):
            reasons = ", ".join(f"CASE WHEN {rule.bad} THEN {rule.reason} END" for rule in rules)
            any_bad = " OR ".join(rule.bad for rule in rules)
            self._set_aside(f"SELECT __adutora_rid, concat_ws('; ', {reasons}) FROM {LIVE} WHERE {any_bad}")
        return [Finding(check, n, total) for check, n in zip(checks, counts, strict=True)]

    def _quarantine_set(self, check: Check) -> int:
        if check.rule == "unique":
            why = f"{check.title}: {', '.join(check.unique or ())} as in an earlier row"
            query = surplus(self.con, check, self._subject(), LIVE, "__adutora_rid")
            twice = self._set_aside(f"SELECT rid, {literal(why)} FROM ({query})")
            return twice + self._quarantine_standing(check)
        if check.rule == "sql":
            return self._quarantine_sql(check)
        failed = 0
        # A row that goes may have been what another row refers to.
        while found := sum(finding.failed for finding in self._quarantine_rows([check], 0)):
            failed += found
        return failed

    def _quarantine_standing(self, check: Check) -> int:
        if self.standing is None:
            return 0
        names, key = check.unique or [], self.table.key or []
        same = " AND ".join(f"l.{quote(name)} = s.{quote(name)}" for name in names)
        if self.output.mode == "merge" and key and set(names) != set(key):  # it may be the very row that is replaced
            same += " AND NOT (" + " AND ".join(f"l.{quote(name)} = s.{quote(name)}" for name in key) + ")"
        why = literal(f"{check.title}: {', '.join(names)} as in a row of the table")
        held = f" AND (\n{check.where}\n)" if check.where else ""
        live = f"(SELECT * FROM {LIVE} WHERE true{held})"
        return self._set_aside(f"SELECT __adutora_rid, {why} FROM {live} l SEMI JOIN {self.standing} s ON {same}")

    def _quarantine_sql(self, check: Check) -> int:
        query = user_query(self.con, check)
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE __adutora_found AS SELECT DISTINCT * FROM ({query})")
        found = column_types(self.con, "__adutora_found")
        names = [name for name in self._columns if find(name, found)]
        key = [find(name, self._columns) or name for name in self.table.key or ()]
        if len(names) < len(self._columns):
            names = key if key and all(find(name, found) for name in key) else []
        if not names:
            raise ConfigError(
                f"{self.table.name}: check {check.title} returns neither whole rows nor the table's key",
                hint=f"write SELECT * FROM {self.table.name} WHERE …",
            )
        same = " AND ".join(f"l.{quote(name)} IS NOT DISTINCT FROM f.{quote(name)}" for name in names)
        strange = count(self.con, f"SELECT count(*) FROM __adutora_found f ANTI JOIN {LIVE} l ON {same}")
        if strange:
            raise ConfigError(
                f"{self.table.name}: check {check.title} returns {strange} rows that are no rows of the table",
                hint=f"write SELECT * FROM {self.table.name} WHERE …",
            )
        why = literal(f"{check.title}: returned by its query")
        return self._set_aside(f"SELECT __adutora_rid, {why} FROM {LIVE} l SEMI JOIN __adutora_found f ON {same}")

    # 4. What must hold

    def _judge(self) -> list[Finding]:
        checks = [*self._key_checks(), *(check for check in self.table.checks if check.onFail != "quarantine")]
        findings = run_checks(self.con, checks, self._subject(), GOOD, self._after())
        failed = [finding for finding in findings if finding.failed and finding.check.onFail == "fail"]
        if failed:
            raise DataError(
                f"{self.table.name}: " + "; ".join(finding.message for finding in failed),
                hint=self._way_out(failed),
            )
        return findings

    def _key_checks(self) -> list[Check]:
        key = self.table.key
        if not key:
            return []
        never_null = Check(name=_KEY_NULL, notNull=key)
        if self.output.mode == "merge" and self.output.latestBy:  # the lake keeps the latest of each key
            return [never_null]
        return [never_null, Check(name=_KEY_TWICE, unique=key)]

    def _way_out(self, failed: Sequence[Finding]) -> str:
        titles, key = {finding.check.title for finding in failed}, ", ".join(self.table.key or ())
        if _KEY_NULL in titles:
            return f"a check {{notNull: [{key}], onFail: quarantine}} sets such rows aside"
        if _KEY_TWICE in titles:
            latest = " or, with mode: merge, latestBy keeps the latest" if self.output.mode == "merge" else ""
            return f"a check {{unique: [{key}], onFail: quarantine}} keeps the first of them{latest}"
        return "nothing was written; onFail: quarantine sets bad rows aside, onFail: warn only reports"

    def _after(self) -> str:
        needed = any(check.rule in TABLE_RULES for check in self.table.checks)
        return self._references[self.table.name].relation if needed else GOOD

    def _find_references(self) -> None:
        """Register the tables that checks refer to; the table itself as it will stand after the write."""
        self._references = register_references(self.con, self.lake, self.table.checks, self.table.name)
        if any(check.rule in TABLE_RULES or self._is_own(check) for check in self.table.checks):
            output = self.output.model_copy(update={"mode": "overwrite"}) if self.full_refresh else self.output
            after = after_write(
                self.con,
                self.lake,
                self.table,
                output,
                commit=self.commit,
                relation=GOOD,
                gone=self.replaces_partitions,
            )
            self._references[self.table.name] = Reference(after, self._columns)

    def _close_door(self) -> None:
        """Show the rows under the table's own name, and let SQL of a check read nothing else."""
        checks = self.table.checks
        if any(check.sql for check in checks):
            layer = quote(self.table.name.split(".", 1)[0])
            self.con.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
            view = quote_table(self.table.name)
            self.con.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM temp.{GOOD}")
        if self.output.deleteWhere or any(check.sql or check.where for check in checks):
            duck.seal(self.con, self.readable)

    # The end

    def _count(self, relation: str) -> int:
        return count(self.con, f"SELECT count(*) FROM {relation}")

    def _finish(self, total: int, rejected: str | None, findings: list[Finding]) -> Prepared:
        raw = rows.to_json({name: kind for name, kind in self._columns.items() if name != "_source"})
        raw = f"CAST({raw} AS VARCHAR)"
        if self._has_reasons:
            raw = f"coalesce(__adutora_raw, {raw})"
        source = "CAST(_source AS VARCHAR)" if "_source" in self._columns else "CAST(NULL AS VARCHAR)"
        # Names that no column of the rows has.
        bad = f"SELECT rid AS __adutora_bad_row, reason AS __adutora_why FROM {BAD}"
        before = f"SELECT _reason, _source, _row FROM {rejected} UNION ALL " if rejected else ""
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {REJECTED} AS {before}SELECT __adutora_why AS _reason, {source} AS _source, "
            f"{raw} AS _row FROM {self._out} o JOIN ({bad}) b ON o.{self._row_id} = b.__adutora_bad_row"
        )
        good, all_rejected = self._count(GOOD), self._count(REJECTED)
        came = self._count(rejected) if rejected else 0
        if total != good + all_rejected - came:
            raise AdutoraError(
                f"{self.table.name}: {total} rows are not {good} good and {all_rejected - came} rejected"
            )
        return Prepared(GOOD, REJECTED, good, all_rejected - came, came, tuple(findings))

    def release(self) -> None:
        """Drop what the preparation made, to give its disk back."""
        for name in (GOOD, LIVE):
            self.con.execute(f"DROP VIEW IF EXISTS temp.{name}")
        for name in (OUT, BAD, REJECTED, "__adutora_found"):
            self.con.execute(f"DROP TABLE IF EXISTS temp.{name}")


def schema_mode(table: Table) -> str:
    """Return `freeze` or `evolve`: as written, else freeze where columns are declared."""
    return table.schema_ or ("freeze" if table.columns else "evolve")
