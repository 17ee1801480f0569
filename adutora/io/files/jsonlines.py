"""JSON lines: one object a line. The columns are the union of the objects' members.

Whole numbers are BIGINT, or DECIMAL(38,0) where one is larger; numbers with a fraction DOUBLE; true and false BOOLEAN;
text stays text, dates in it as well. An object or a list is kept as JSON text, because what it holds may differ from
line to line; so is a member of different types.
"""

import json
from collections.abc import Sequence

import duckdb

from adutora.io.duck import literal, quote
from adutora.io.files.layout import unique_names
from adutora.io.files.lines import LINE, NUMBER, load_lines
from adutora.io.files.plain import Plain
from adutora.io.files.reading import SOURCE, Job, Reading, finish, kept_columns

_KINDS = {"BIGINT": "BIGINT", "UBIGINT": "BIGINT", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN", "VARCHAR": "VARCHAR"}
_WHOLE = r"-?(0|[1-9][0-9]{0,37})"


def read_jsonl(job: Job, plains: Sequence[Plain]) -> Reading:
    """Copy the objects into a table; lines that are none are set aside."""
    con, options = job.con, job.options
    lines, raw = job.helper("lines"), job.helper("raw")
    total = load_lines(job, plains, lines)
    _set_aside(con, lines, job.rejects)
    members = _members(con, lines)
    names = dict(zip(members, unique_names(list(members)), strict=True))
    where = plains[0].shown if len(plains) == 1 else "the files"
    targets = kept_columns(list(names.values()), options, where) if names or total else {}
    types = {key: kind for key, kind in members.items() if not options.columns or names[key] in targets}
    inferred = _refine(con, lines, types)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(raw)} AS {_texts(lines, types, names)}")
    con.execute(f"DROP TABLE {quote(lines)}")
    held = {names[key]: kind for key, kind in inferred.items() if names[key] not in targets}
    finish(job, raw, targets, held)
    return Reading([plain.source for plain in plains], [], total)


def _set_aside(con: duckdb.DuckDBPyConnection, lines: str, rejects: str) -> None:
    bad = (
        f"CASE WHEN NOT json_valid({LINE}) THEN 'is no JSON' WHEN json_type({LINE}) <> 'OBJECT' THEN 'is no object' END"
    )
    con.execute(
        f"INSERT INTO {quote(rejects)} SELECT 'line ' || {NUMBER} || ': ' || why, {quote(SOURCE)}, "
        f"CAST(to_json({LINE}) AS VARCHAR) FROM (SELECT *, {bad} AS why FROM {quote(lines)}) WHERE why IS NOT NULL"
    )
    con.execute(f"DELETE FROM {quote(lines)} WHERE {bad} IS NOT NULL")


def _members(con: duckdb.DuckDBPyConnection, lines: str) -> dict[str, str]:
    """Return the members of all objects with their likely types."""
    query = f"SELECT json_group_structure(CAST({LINE} AS JSON)) FROM {quote(lines)}"
    text = con.execute(query).fetchall()[0][0]
    structure = json.loads(text) if text else {}
    if not isinstance(structure, dict):  # objects without any member
        return {}
    return {
        name: _KINDS.get(kind, "NULL" if kind == "NULL" else "JSON") if isinstance(kind, str) else "JSON"
        for name, kind in structure.items()
    }


def _refine(con: duckdb.DuckDBPyConnection, lines: str, members: dict[str, str]) -> dict[str, str]:
    """Return DuckDB types that lose nothing: numbers past a long are no doubles without need."""
    numbers = [key for key, kind in members.items() if kind in ("BIGINT", "DOUBLE")]
    out = {key: kind if kind in _KINDS else "VARCHAR" for key, kind in members.items()}
    if not numbers:
        return out
    checks = []
    for key in numbers:
        text = _text(key)
        checks.append(f"bool_and(TRY_CAST({text} AS BIGINT) IS NOT NULL OR {text} IS NULL)")
        checks.append(f"bool_and(regexp_full_match({text}, {literal(_WHOLE)}))")
        checks.append(f"bool_or(regexp_full_match({text}, {literal('-?[0-9]{16,}')}))")
    row = con.execute(f"SELECT {', '.join(checks)} FROM {quote(lines)}").fetchall()[0]
    for index, key in enumerate(numbers):
        long, whole, wide = row[3 * index : 3 * index + 3]
        if whole:
            out[key] = "BIGINT" if long else "DECIMAL(38,0)"
        else:  # digits that a double cannot hold stay text
            out[key] = "VARCHAR" if wide else "DOUBLE"
    return out


def _pointer(key: str) -> str:
    return literal("/" + key.replace("~", "~0").replace("/", "~1"))


def _text(key: str) -> str:
    return f"json_extract_string({LINE}, {_pointer(key)})"


def _texts(lines: str, members: dict[str, str], names: dict[str, str]) -> str:
    """Return the query that takes every member as text; one walk through each line."""
    if not members:
        return f"SELECT {quote(SOURCE)} FROM {quote(lines)}"
    pointers = ", ".join(_pointer(key) for key in members)
    columns = ", ".join(f"v[{index}] AS {quote(names[key])}" for index, key in enumerate(members, start=1))
    return (
        f"SELECT {columns}, {quote(SOURCE)} FROM "
        f"(SELECT json_extract_string({LINE}, [{pointers}]) AS v, {quote(SOURCE)} FROM {quote(lines)})"
    )
