"""Checks as SQL: what is bad, how many rows, and why each of them.

A rule that judges a row by itself (notNull, range, acceptedValues, pattern, references) is a condition over the
row's columns; `unique` and `sql` look at all rows; `rowCount` and `freshness` judge the table.

A null passes every rule but `notNull`. NaN is no value to `notNull` and lies outside every `range`.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from adutora.errors import ConfigError, DataError
from adutora.io.casts import family, shown, strict
from adutora.io.duck import literal, quote
from adutora.spec.base import Check
from adutora.spec.nearest import did_you_mean

ROW_RULES = frozenset({"notNull", "range", "acceptedValues", "references", "pattern"})
TABLE_RULES = frozenset({"rowCount", "freshness"})
_NAMED = 10  # values of a list that a reason names


@dataclass(frozen=True)
class Reference:
    """A table that a check refers to: the DuckDB relation, and its columns with their DuckDB types."""

    relation: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Subject:
    """What is checked: a table's name for messages, its columns with DuckDB types, and tables referred to."""

    table: str
    columns: Mapping[str, str]
    references: Mapping[str, Reference] = field(default_factory=dict)
    # When the run began, which the age of the newest row counts from.
    at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


@dataclass(frozen=True)
class RowRule:
    """A check on single rows: `bad` is a condition, never null; `reason` is SQL for why, meant for bad rows."""

    check: Check
    bad: str
    reason: str


def row_rule(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject) -> RowRule:
    """Build the SQL of a check in `ROW_RULES`.

    Raises DataError for a column that is not there, ConfigError for a bound or a condition that does not fit.
    """
    build: dict[str, Callable[[], tuple[str, str]]] = {
        "notNull": lambda: _not_null(check, subject),
        "range": lambda: _range(con, check, subject),
        "acceptedValues": lambda: _accepted(con, check, subject),
        "references": lambda: _references(check, subject),
        "pattern": lambda: _pattern(con, check, subject),
    }
    bad, reason = build[check.rule]()
    return RowRule(
        check, f"coalesce({_where(con, check)} AND ({bad}), false)", f"{literal(check.title + ': ')} || {reason}"
    )


def duplicates(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject, relation: str) -> str:
    """Return a query of the groups of a `unique` check that have more than one row: its columns and `__adutora_n`.

    A row with a null among the columns is equal to none.
    """
    names = [column(subject, name, check) for name in check.unique or ()]
    columns = ", ".join(quote(name) for name in names)
    held = " AND ".join([_where(con, check), *(f"{quote(name)} IS NOT NULL" for name in names)])
    return (
        f"SELECT {columns}, count(*) AS __adutora_n FROM {relation} WHERE {held} GROUP BY {columns} HAVING count(*) > 1"
    )


def surplus(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject, relation: str, row: str) -> str:
    """Return a query of the rows of a `unique` check past the first of their group.

    `row` is the column that holds a row's id; the result has it as `rid`.
    """
    names = [column(subject, name, check) for name in check.unique or ()]
    same = " AND ".join(f"o.{quote(name)} = d.{quote(name)}" for name in names)
    parts = ", ".join(f"o.{quote(name)}" for name in names)
    groups = duplicates(con, check, subject, relation)
    held = _where(con, check)
    return (
        f"SELECT rid FROM (SELECT o.{row} AS rid, row_number() OVER (PARTITION BY {parts} ORDER BY o.{row}) AS n "
        f"FROM (SELECT * FROM {relation} WHERE {held}) o JOIN ({groups}) d ON {same}) WHERE n > 1"
    )


def user_query(con: duckdb.DuckDBPyConnection, check: Check) -> str:
    """Return the query of a `sql` check as one that can stand in parentheses. Raises ConfigError if it cannot."""
    text = (check.sql or "").strip().rstrip(";")
    _one_query(con, text, f"check {check.title}")
    return f"SELECT * FROM (\n{text}\n) WHERE {_where(con, check)}"


def table_query(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject, relation: str) -> str:
    """Return a query of one row for a check in `TABLE_RULES`: the reason if the table is bad, else null."""
    held = _where(con, check)
    if check.rowCount is not None:
        low, high = check.rowCount.min, check.rowCount.max
        bounds = [("n < ", "at least ", low), ("n > ", "at most ", high)]
        bad = " OR ".join(f"{sign}{bound}" for sign, _, bound in bounds if bound is not None) or "false"
        said = " and ".join(f"{words}{bound}" for _, words, bound in bounds if bound is not None)
        text = f"'it has ' || n || {literal(f' rows, and needs {said}')}"
        counted = f"SELECT count(*) AS n FROM {relation} WHERE {held}"
        return f"SELECT CASE WHEN {bad} THEN {text} END FROM ({counted})"
    if check.freshness is None:
        raise ConfigError(f"check {check.title} is none on a table")
    return _freshness(check, subject, relation, held)


def column(subject: Subject, name: str, check: Check) -> str:
    """Return the column as the table spells it. Raises DataError, with the nearest name, if it is not there."""
    found = find(name, subject.columns)
    if found is None:
        raise DataError(
            f"{subject.table}: check {check.title} names column {name!r}, which is not there",
            hint=did_you_mean(name, subject.columns),
        )
    return found


def find(name: str, names: Mapping[str, str] | Sequence[str]) -> str | None:
    """Return `name` as `names` spell it; case does not matter, as in SQL."""
    if name in names:
        return name
    return next((known for known in names if known.lower() == name.lower()), None)


def _where(con: duckdb.DuckDBPyConnection, check: Check) -> str:
    if check.where is None:
        return "true"
    _one_query(con, f"SELECT 1 WHERE (\n{check.where}\n)", f"check {check.title}: where")
    return f"(\n{check.where}\n)"


def _one_query(con: duckdb.DuckDBPyConnection, text: str, what: str) -> None:
    try:
        statements = con.extract_statements(text)
        inside = con.extract_statements(f"SELECT * FROM (\n{text}\n)")
    except duckdb.Error as error:
        raise ConfigError(f"{what}: {str(error).strip()}") from error
    if len(statements) != 1 or len(inside) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ConfigError(f"{what}: is not one query", hint="write one SELECT")


def _not_null(check: Check, subject: Subject) -> tuple[str, str]:
    empty = {}
    for each in check.notNull or ():
        name = column(subject, each, check)
        x = quote(name)
        nan = f" OR isnan({x})" if family(subject.columns[name]) == "float" else ""
        empty[name] = f"({x} IS NULL{nan})"
    named = ", ".join(f"CASE WHEN {bad} THEN {literal(name)} END" for name, bad in empty.items())
    return " OR ".join(empty.values()), f"concat_ws(', ', {named}) || ' has no value'"


def _range(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject) -> tuple[str, str]:
    rule = check.range
    assert rule is not None  # noqa: S101 - chosen by the rule's name
    name = column(subject, rule.column, check)
    x, kind = quote(name), subject.columns[name]
    bad, said = [], []
    if rule.min is not None:
        bad.append(f"{x} < {_value(con, rule.min, kind, name, check)}")
        said.append(f"less than {rule.min}")
    if rule.max is not None:
        bad.append(f"{x} > {_value(con, rule.max, kind, name, check)}")
        said.append(f"more than {rule.max}")
    if family(kind) == "float":
        bad.append(f"isnan({x})")
    outside = said[0] if len(said) == 1 else f"not between {rule.min} and {rule.max}"
    return " OR ".join(bad) or "false", f"{literal(f'{name} is ')} || {shown(x)} || {literal(f', {outside}')}"


def _accepted(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject) -> tuple[str, str]:
    rule = check.acceptedValues
    assert rule is not None  # noqa: S101 - chosen by the rule's name
    name = column(subject, rule.column, check)
    x, kind = quote(name), subject.columns[name]
    values = [_text(v) if kind == "VARCHAR" else v for v in rule.values]
    listed = ", ".join(_value(con, value, kind, name, check) for value in values)
    said = ", ".join(_text(value) for value in rule.values[:_NAMED]) + (", …" if len(rule.values) > _NAMED else "")
    quoted = f"{literal(f'{name} is ')} || chr(39) || {shown(x)} || chr(39)"
    return f"{x} NOT IN ({listed})", f"{quoted} || {literal(f', not one of {said}')}"


def _references(check: Check, subject: Subject) -> tuple[str, str]:
    rule = check.references
    assert rule is not None  # noqa: S101 - chosen by the rule's name
    name = column(subject, rule.column, check)
    other = subject.references[rule.table]
    to = find(rule.to, other.columns)
    if to is None:
        raise DataError(
            f"{subject.table}: check {check.title}: {rule.table} has no column {rule.to!r}",
            hint=did_you_mean(rule.to, other.columns),
        )
    x, y = quote(name), quote(to)
    numbers = {"number", "float"}
    kinds = {family(subject.columns[name]), family(other.columns[to])}
    if subject.columns[name] != other.columns[to] and not kinds <= numbers:
        x, y = f"CAST({x} AS VARCHAR)", f"CAST({y} AS VARCHAR)"
    bad = f"{x} NOT IN (SELECT {y} FROM {other.relation} WHERE {y} IS NOT NULL)"
    text = f"{literal(f'{name} is ')} || {shown(x)} || {literal(f', which is not in {rule.table}.{rule.to}')}"
    return bad, text


def _pattern(con: duckdb.DuckDBPyConnection, check: Check, subject: Subject) -> tuple[str, str]:
    rule = check.pattern
    assert rule is not None  # noqa: S101 - chosen by the rule's name
    name = column(subject, rule.column, check)
    try:
        con.execute("SELECT regexp_full_match('', $1)", [rule.regex]).fetchall()
    except duckdb.Error as error:
        raise ConfigError(f"check {check.title}: {rule.regex!r} is no regular expression (RE2): {error}") from error
    x = quote(name)
    quoted = f"{literal(f'{name} is ')} || chr(39) || {shown(x)} || chr(39)"
    bad = f"NOT regexp_full_match(CAST({x} AS VARCHAR), {literal(rule.regex)})"
    return bad, f"{quoted} || {literal(f', which does not match {rule.regex}')}"


def _freshness(check: Check, subject: Subject, relation: str, held: str) -> str:
    rule = check.freshness
    assert rule is not None  # noqa: S101 - chosen by the rule's name
    name = column(subject, rule.column, check)
    kind = subject.columns[name]
    if family(kind) != "time":
        raise ConfigError(
            f"check {check.title}: column {name} of {subject.table} is {kind}, no date or timestamp",
            hint="declare its type under the table's columns",
        )
    at = f"TIMESTAMPTZ {literal(subject.at.isoformat())}"
    oldest = f"CAST({at} - INTERVAL {int(rule.maxAge)} SECOND AS {kind})"
    text = (
        f"{literal(f'the newest {name} is ')} || coalesce(CAST(newest AS VARCHAR), 'none') || "
        f"{literal(f', older than {rule.maxAge.text()} at {subject.at:%Y-%m-%d %H:%M:%S} UTC')}"
    )
    return (
        f"SELECT CASE WHEN newest IS NULL OR newest < {oldest} THEN {text} END "
        f"FROM (SELECT max({quote(name)}) AS newest FROM {relation} WHERE {held})"
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _value(con: duckdb.DuckDBPyConnection, value: str | float, kind: str, name: str, check: Check) -> str:
    """Return a value of the spec as SQL that compares with a column of type `kind`. Raises ConfigError."""
    wanted, is_number = family(kind), isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and wanted in {"number", "float"}:
        return _number(float(value)) if isinstance(value, float) else str(value)
    if isinstance(value, bool) and wanted == "boolean":
        return str(value).lower()
    if isinstance(value, str) and wanted != "other":
        cast = strict(literal(value), "VARCHAR", kind)
        [(fits,)] = con.execute(f"SELECT ({cast}) IS NOT NULL").fetchall()
        if fits:
            return f"({cast})"
    raise ConfigError(
        f"check {check.title}: {value!r} cannot be compared with column {name}, which is {kind}",
        hint="declare the column's type under the table's columns, or write the value as that type",
    )


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else f"CAST({literal(str(value))} AS DOUBLE)"
