"""Rows of DuckDB as keys and fields of text, made by DuckDB itself: nothing is done row by row in Python.

Text is what Python's or JavaScript's own parsers read back: integers and decimals plain, doubles as their
shortest form (`65000.0`, `1e+20`, `nan`), booleans `true` and `false`, dates and timestamps in ISO 8601
(`2026-01-02T03:04:05.5Z`; without `Z` for a timestamp that has no zone), binary as base64, lists and structs
as JSON. Null is no text at all.
"""

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from adutora.errors import ConfigError, DataError
from adutora.io.duck import literal, quote

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

KEY = "__adutora_key"
BATCH_ROWS = 10_000
BATCH_VALUES = 200_000  # of wide rows fewer go into a batch
_SHOWN = 3
# What a key must not hold as it is: the separator, the escape itself, and ASCII control characters.
_ENCODED = "%:" + "".join(chr(code) for code in (*range(1, 32), 127)) + "\0"
_UNSAFE = "[%:[:cntrl:]]"


def text_rows(
    con: "duckdb.DuckDBPyConnection", relation: str, key: Sequence[str], columns: Sequence[str] | None
) -> "Iterator[pa.RecordBatch]":
    """Check the key, then return the rows as batches: column `KEY`, then the columns of the hash, all strings.

    `relation` is SQL that can follow FROM. `columns` None means all but those that begin with `_`. The key
    is `k1:k2`, each part percent-encoded. Raises ConfigError for an unknown column, DataError for a key that
    is null or comes twice.
    """
    types = column_types(con, relation)
    fields = list(columns) if columns is not None else [name for name in types if not name.startswith("_")]
    _check_names([*key, *fields], types)
    if not fields:
        raise ConfigError("the hash would have no field", hint="name its columns in `columns`")
    encoded = key_sql(key, types)
    _check_nulls(con, relation, key)
    _check_unique(con, relation, encoded)
    selected = ", ".join([f"{encoded} AS {quote(KEY)}", *(f"{text_sql(n, types[n])} AS {quote(n)}" for n in fields)])
    rows = max(1, min(BATCH_ROWS, BATCH_VALUES // len(fields)))
    return iter(con.sql(f"SELECT {selected} FROM {relation}").to_arrow_reader(rows))


def column_types(con: "duckdb.DuckDBPyConnection", relation: str) -> dict[str, str]:
    """Return the columns of a relation with their DuckDB types, in order."""
    rows = con.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {row[0]: row[1] for row in rows}


def text_sql(name: str, type_name: str) -> str:
    """Return SQL for a column's text; null stays null."""
    column = quote(name)
    text = f"CAST({column} AS VARCHAR)"
    if type_name == "VARCHAR":
        return column
    if type_name == "TIMESTAMP WITH TIME ZONE":
        utc = f"CAST({column} AT TIME ZONE 'UTC' AS VARCHAR)"
        return f"CASE WHEN isfinite({column}) THEN replace({utc}, ' ', 'T') || 'Z' ELSE {text} END"
    if type_name.startswith("TIMESTAMP"):
        return f"replace({text}, ' ', 'T')"
    if type_name == "BLOB":
        return f"to_base64({column})"
    if type_name.endswith("]") or type_name.startswith(("STRUCT(", "MAP(", "UNION(")):
        return f"CAST(to_json({column}) AS VARCHAR)"
    return text


def key_sql(key: Sequence[str], types: dict[str, str]) -> str:
    """Return SQL for `k1:k2`, where `%`, `:` and control characters inside a value become `%XX`."""
    return " || ':' || ".join(_encoded(text_sql(name, types[name])) for name in key)


def _encoded(text: str) -> str:
    """Most values need nothing: DuckDB evaluates the long branch for those alone that do."""
    replaced = text
    for char in _ENCODED:
        replaced = f"replace({replaced}, chr({ord(char)}), '%{ord(char):02X}')"
    return f"CASE WHEN regexp_matches({text}, '{_UNSAFE}') THEN {replaced} ELSE {text} END"


def _check_names(names: Sequence[str], types: dict[str, str]) -> None:
    for name in names:
        if name not in types:
            near = difflib.get_close_matches(name, types, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(types)}"
            raise ConfigError(f"there is no column {name} to publish", hint=hint)


def _check_nulls(con: "duckdb.DuckDBPyConnection", relation: str, key: Sequence[str]) -> None:
    counts = ", ".join(f"count(*) FILTER (WHERE {quote(name)} IS NULL)" for name in key)
    found = con.execute(f"SELECT {counts} FROM {relation}").fetchone() or ()
    for name, count in zip(key, found, strict=True):
        if count:
            raise DataError(
                f"key column {name} is null in {count} row{'s' if count > 1 else ''}",
                hint="drop such rows, or put a notNull check with onFail: quarantine on the table",
            )


def _check_unique(con: "duckdb.DuckDBPyConnection", relation: str, encoded: str) -> None:
    doubles = f"SELECT {encoded} AS k, count(*) AS n FROM {relation} GROUP BY 1 HAVING count(*) > 1"
    found = con.execute(f"SELECT k, n, count(*) OVER () FROM ({doubles}) ORDER BY k LIMIT {_SHOWN}").fetchall()
    if found:
        shown = ", ".join(f"{literal(key)} ({count} rows)" for key, count, _ in found)
        more = ", …" if found[0][2] > len(found) else ""
        raise DataError(
            f"{found[0][2]} key{'s come' if found[0][2] > 1 else ' comes'} more than once: {shown}{more}",
            hint="aggregate or deduplicate before publishing, or name more columns in `key`",
        )
