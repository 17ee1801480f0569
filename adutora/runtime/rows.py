"""Rows as JSON that keeps every value whole, so that a rejected row can be replayed.

Whole numbers up to 64 bits, finite doubles, booleans and text are JSON values of their own; decimals, dates,
timestamps, binary and all else is text as DuckDB writes it and reads it back. A nested value is JSON.
"""

from collections.abc import Mapping

from adutora.io.casts import is_nested
from adutora.io.duck import literal, quote

_AS_IS = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "BOOLEAN", "VARCHAR"}
)


def to_json(columns: Mapping[str, str]) -> str:
    """Return SQL for a row as JSON object; `columns` are names and DuckDB types."""
    pairs = ", ".join(f"{literal(name)}, {_value(quote(name), kind)}" for name, kind in columns.items())
    return f"json_object({pairs})"


def _value(x: str, kind: str) -> str:
    if kind in _AS_IS or kind == "JSON" or is_nested(kind):
        return f"to_json({x})"
    text = f"to_json(CAST({x} AS VARCHAR))"
    return f"CASE WHEN isfinite({x}) THEN to_json({x}) ELSE {text} END" if kind == "DOUBLE" else text


def from_json(row: str, name: str) -> str:
    """Return SQL for the text of member `name` of JSON object `row`; null where it has none."""
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f"json_extract_string({row}, {literal(pointer)})"
