"""Checks carried out on a DuckDB relation: one finding for each, with how many rows are bad and examples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from adutora.io import duck
from adutora.io.duck import quote, quote_table
from adutora.runtime import rows
from adutora.runtime.checks import ROW_RULES, Reference, RowRule, Subject, duplicates, row_rule, table_query, user_query
from adutora.spec.base import Check

if TYPE_CHECKING:
    from adutora.io.lake import Lake

EXAMPLES = 3
_SHOWN = 200  # characters of a row that an example shows


@dataclass(frozen=True)
class Finding:
    """What one check found. For a check on the table `failed` is 0 or 1 and `total` None."""

    check: Check
    failed: int
    total: int | None = None
    examples: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """One line: the check, how many of how many rows, and examples."""
        shown = "; ".join(self.examples)
        if self.total is None:
            return f"check {self.check.title}: {shown}"
        of = "row is" if self.total == 1 else "rows are"
        return f"check {self.check.title}: {self.failed} of {self.total} {of} bad" + (f": {shown}" if shown else "")


def run_checks(
    con: duckdb.DuckDBPyConnection, checks: Sequence[Check], subject: Subject, relation: str, whole: str | None = None
) -> list[Finding]:
    """Carry out checks on the rows of `relation`, in their order, and return a finding for each.

    `whole` is the relation that rowCount and freshness look at; default: the same.
    """
    with duck.translated(f"{subject.table}: checks"):
        total = count(con, f"SELECT count(*) FROM {relation}")
        rules = {index: row_rule(con, check, subject) for index, check in enumerate(checks) if check.rule in ROW_RULES}
        counts = dict(zip(rules, count_bad(con, list(rules.values()), relation), strict=True))
    found = []
    for index, check in enumerate(checks):
        with duck.translated(f"{subject.table}: check {check.title}"):
            if index in rules:
                found.append(_rows_finding(con, rules[index], subject, relation, failed=counts[index], total=total))
            elif check.rule == "unique":
                found.append(_unique_finding(con, check, subject, relation, total))
            elif check.rule == "sql":
                found.append(_sql_finding(con, check, total))
            else:
                found.append(_table_finding(con, check, subject, whole or relation))
    return found


def count_bad(con: duckdb.DuckDBPyConnection, rules: Sequence[RowRule], relation: str) -> list[int]:
    """Return how many rows of `relation` are bad by each rule, in one pass."""
    if not rules:
        return []
    counts = ", ".join(f"count(*) FILTER (WHERE {rule.bad})" for rule in rules)
    return [int(n) for n in one_row(con, f"SELECT {counts} FROM {relation}")]


def one_row(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the one row of a query. It is fetched whole: a result left open blocks the connection."""
    found: tuple[Any, ...] = con.execute(query).fetchall()[0]
    return found


def count(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the number that a query or a statement that changes rows gives."""
    return int(one_row(con, query)[0])


def column_types(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return the columns of a relation with their DuckDB types, in order."""
    return {name: kind for name, kind, *_ in con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}


def register_references(
    con: duckdb.DuckDBPyConnection, lake: "Lake", checks: Sequence[Check], own: str
) -> dict[str, Reference]:
    """Register the tables that checks refer to, but for `own`, and return them by name.

    Raises ConfigError, with the nearest name, for a table that is not there.
    """
    found: dict[str, Reference] = {}
    for name in dict.fromkeys(check.references.table for check in checks if check.references):
        if name != own:
            view = f"__adutora_ref.{name.replace('.', '__')}"
            lake.register(con, name, view)
            found[name] = Reference(quote_table(view), column_types(con, quote_table(view)))
    return found


def _rows_finding(
    con: duckdb.DuckDBPyConnection, rule: RowRule, subject: Subject, relation: str, *, failed: int, total: int
) -> Finding:
    if not failed:
        return Finding(rule.check, 0, total)
    prefix = len(rule.check.title) + 3  # the finding names the check already
    text = f"substr({rule.reason}, {prefix}) || ' in ' || {_row_text(subject.columns)}"
    query = f"SELECT {text} FROM {relation} WHERE {rule.bad} LIMIT {EXAMPLES}"
    return Finding(rule.check, failed, total, _texts(con, query))


def _unique_finding(
    con: duckdb.DuckDBPyConnection, check: Check, subject: Subject, relation: str, total: int
) -> Finding:
    groups = duplicates(con, check, subject, relation)
    failed = count(con, f"SELECT coalesce(sum(__adutora_n - 1), 0) FROM ({groups})")
    if not failed:
        return Finding(check, 0, total)
    parts = ", ".join(
        f"{duck.literal(name + '=')} || left(CAST({quote(name)} AS VARCHAR), 80)" for name in check.unique or ()
    )
    text = f"concat_ws(', ', {parts}) || ' stands ' || __adutora_n || ' times'"
    return Finding(check, failed, total, _texts(con, f"SELECT {text} FROM ({groups}) ORDER BY 1 LIMIT {EXAMPLES}"))


def _sql_finding(con: duckdb.DuckDBPyConnection, check: Check, total: int) -> Finding:
    query = user_query(con, check)
    failed = count(con, f"SELECT count(*) FROM ({query})")
    if not failed:
        return Finding(check, 0, total)
    text = _row_text(column_types(con, f"({query})"))
    return Finding(check, failed, total, _texts(con, f"SELECT {text} FROM ({query}) LIMIT {EXAMPLES}"))


def _table_finding(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject, whole: str) -> Finding:
    (why,) = one_row(con, table_query(con, check, subject, whole))
    return Finding(check, 1 if why else 0, None, (str(why),) if why else ())


def _row_text(columns: Mapping[str, str]) -> str:
    text = f"CAST({rows.to_json(columns)} AS VARCHAR)"
    return f"CASE WHEN length({text}) > {_SHOWN} THEN left({text}, {_SHOWN}) || '…' ELSE {text} END"


def _texts(con: duckdb.DuckDBPyConnection, query: str) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in con.execute(query).fetchall())
