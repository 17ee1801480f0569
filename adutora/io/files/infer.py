"""Types of text columns: what every value is, and nothing that would lose anything.

A column is a number only if all its values are written as numbers are: `00123`, `+55` and `0x10` are text, as postal
codes, telephone numbers and keys must stay. Dates and times are those of ISO 8601, unless a format is given: whether
`05/07/2025` is May or July is never guessed. Digits too many for any number are text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from adutora.io.duck import literal, quote
from adutora.spec.base import Csv

TEXT = "VARCHAR"
LONG, BIG, DOUBLE = "BIGINT", "DECIMAL(38,0)", "DOUBLE"
DATE, TIMESTAMP, ZONED, BOOLEAN = "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "BOOLEAN"

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = _DAY + r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
# Wider types that a type may turn into when more values are seen.
_LADDER = {
    LONG: (LONG, BIG, DOUBLE),
    BIG: (BIG, DOUBLE),
    DOUBLE: (DOUBLE,),
    DATE: (DATE, TIMESTAMP),
    TIMESTAMP: (TIMESTAMP,),
    ZONED: (ZONED,),
    BOOLEAN: (BOOLEAN,),
}
_FIRST = 200
# DuckDB plans a statement in a time that grows with the square of its expressions: two rows of 5,000 columns asked
# about at once took minutes. So many columns are asked about in one pass over the rows.
_AT_ONCE = 100
ALL = (BOOLEAN, LONG, BIG, DOUBLE, DATE, TIMESTAMP, ZONED)


@dataclass(frozen=True)
class Writing:
    """How values are written in a CSV file; each method gives SQL for the plain spelling of the text `x`."""

    decimal: str = "."
    date_format: str | None = None
    timestamp_format: str | None = None

    @classmethod
    def of(cls, csv: Csv) -> "Writing":
        """Return how the values of a CSV file are written."""
        return cls(csv.decimal, csv.dateFormat, csv.timestampFormat)

    def plain(self, x: str, kind: str) -> str:
        """Return SQL for `x` spelled so that a cast to the DuckDB type `kind` reads it."""
        if kind == DATE and self.date_format:
            return f"coalesce(CAST(CAST({self._parsed(x, self.date_format)} AS DATE) AS VARCHAR), {x})"
        if kind in (TIMESTAMP, ZONED) and self.timestamp_format:
            return f"coalesce(CAST({self._parsed(x, self.timestamp_format)} AS VARCHAR), {x})"
        if self.decimal == "," and (kind in (LONG, BIG, DOUBLE, "FLOAT") or kind.startswith(("DECIMAL", "INT"))):
            # Points group thousands, where they do so properly; another point must not become a decimal one.
            grouped = literal(r"\s*[+-]?[0-9]{1,3}([.][0-9]{3})+(,[0-9]*)?\s*")
            other = f"replace({x}, '.', '\u2024')"
            bare = f"CASE WHEN regexp_full_match({x}, {grouped}) THEN replace({x}, '.', '') ELSE {other} END"
            return f"replace({bare}, ',', '.')"
        return x

    def _parsed(self, x: str, form: str) -> str:
        return f"try_strptime(trim({x}), {literal(form)})"

    def is_a(self, x: str, kind: str) -> str:
        """Return SQL that says whether text `x`, which is not null, is written as a value of `kind`."""
        text = self.plain(x, kind)
        if kind == BOOLEAN:
            return f"lower({x}) IN ('true', 'false')"
        if kind == LONG:
            whole = literal(" *-?(0|[1-9][0-9]{0,18}) *")
            return f"(regexp_full_match({text}, {whole}) AND TRY_CAST({text} AS BIGINT) IS NOT NULL)"
        if kind == BIG:
            return f"regexp_full_match({text}, ' *-?(0|[1-9][0-9]{{0,37}}) *')"
        if kind == DOUBLE:
            number = r" *-?((0|[1-9][0-9]*)([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3})? *"
            return f"(regexp_full_match({text}, {literal(number)}) AND NOT isinf(TRY_CAST({text} AS DOUBLE)))"
        form = {DATE: _DAY, TIMESTAMP: _TIME, ZONED: _TIME + "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"}[kind]
        if kind == TIMESTAMP:
            form = f"{_DAY}|{_TIME}"
        zone = f" AND {x} NOT LIKE '%Z'" if kind == TIMESTAMP else ""
        return f"(regexp_full_match({text}, {literal(form)}) AND TRY_CAST({text} AS {kind}) IS NOT NULL{zone})"


def infer(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[str],
    writing: Writing,
    known: Mapping[str, str | None] | None = None,
) -> dict[str, str | None]:
    """Return the type of each text column of `relation` (SQL that may stand after FROM); None where all are null.

    `known` are types that held for some of the rows: only they and wider ones are tried. Without them a few rows say
    which types are worth trying on all.
    """
    if known is None:
        first = f"(SELECT * FROM {relation} LIMIT {_FIRST})"
        known = _decide(con, first, dict.fromkeys(columns, ALL), writing)
    out: dict[str, str | None] = dict.fromkeys(columns, TEXT)
    open_ = {name: _ladder(known.get(name)) for name in columns}
    open_ = {name: kinds for name, kinds in open_.items() if kinds}
    while open_:
        # Mostly the narrowest holds: one test a value. Only columns without any value yet are tried as everything.
        now = {name: kinds if known.get(name) is None else kinds[:1] for name, kinds in open_.items()}
        found = _decide(con, relation, now, writing)
        out.update(found)
        open_ = {
            name: kinds[1:] for name, kinds in open_.items() if found[name] == TEXT and len(kinds) > len(now[name])
        }
    return out


def _ladder(kind: str | None) -> tuple[str, ...]:
    return ALL if kind is None else _LADDER.get(kind, ())


def _decide(
    con: duckdb.DuckDBPyConnection, relation: str, tries: Mapping[str, Sequence[str]], writing: Writing
) -> dict[str, str | None]:
    """Return for each column the first of the types that holds for all its values, text if none does."""
    names = list(tries)
    out: dict[str, str | None] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = {name: tries[name] for name in names[start : start + _AT_ONCE]}
        out.update(_decide_some(con, relation, some, writing))
    return out


def _decide_some(
    con: duckdb.DuckDBPyConnection, relation: str, tries: Mapping[str, Sequence[str]], writing: Writing
) -> dict[str, str | None]:
    wanted = [(name, kind) for name, kinds in tries.items() for kind in kinds]
    tests = [_holds(quote(name), kind, writing) for name, kind in wanted]
    counts = [f"count({quote(name)})" for name in tries]
    row = con.execute(f"SELECT {', '.join(tests + counts)} FROM {relation}").fetchall()[0]
    holds = dict(zip(wanted, row, strict=False))
    filled = dict(zip(tries, row[len(tests) :], strict=True))
    return {
        name: next((kind for kind in kinds if holds[name, kind]), TEXT) if filled[name] else None
        for name, kinds in tries.items()
    }


def _holds(x: str, kind: str, writing: Writing) -> str:
    test = f"bool_and({x} IS NULL OR {writing.is_a(x, kind)})"
    if kind == BIG:  # more digits than a long has, in every value: a key, no amount
        return f"{test} AND NOT bool_and(length({x}) > 18)"
    if kind == DOUBLE:  # digits alone, and too many of them: a key as well
        return f"{test} AND bool_or(NOT regexp_full_match({x}, ' *-?[0-9]+ *'))"
    return test


def merged(kinds: Sequence[str | None]) -> str | None:
    """Return the type that holds for values of all these types; None is a type of nulls alone."""
    found = {kind for kind in kinds if kind is not None}
    if len(found) <= 1:
        return next(iter(found), None)
    for ladder in _LADDER.values():
        if found <= set(ladder):
            return max(found, key=ladder.index)
    return TEXT
