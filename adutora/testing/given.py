"""Given rows as DuckDB relations: by declared types, else by what the values look like."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb

from adutora.errors import ConfigError
from adutora.io.casts import Target, duck_type, select
from adutora.io.duck import literal, quote

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?")
_ZONED = re.compile(_TIME.pattern + r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)")
_WRITTEN = {"DATE": _DATE, "TIMESTAMP": _TIME, "TIMESTAMP WITH TIME ZONE": _ZONED}
SYSTEM = {
    "_run_id": "string",
    "_loaded_at": "timestamp",
    "_source": "string",
    "_stage": "string",
    "_deleted": "boolean",
}


def make_relation(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    rows: Sequence[Mapping[str, Any]],
    types: Mapping[str, str],
    what: str,
) -> None:
    """Make temp table `relation` of rows. `types` are Delta types of columns; those of others are found.

    Raises ConfigError that names row and column for a value that does not fit; `what` begins the message.
    """
    names = list(dict.fromkeys([*(name for row in rows for name in row), *types]))
    if not names:
        raise ConfigError(f"{what}: neither rows nor columns are given")
    targets = {name: _target(name, types, [row.get(name) for row in rows]) for name in names}
    texts = f"{relation}_texts"
    con.execute(f"CREATE OR REPLACE TEMP TABLE {texts} ({', '.join(f'{quote(name)} VARCHAR' for name in names)})")
    if rows:
        values = [[_text(row.get(name)) for name in names] for row in rows]
        con.executemany(f"INSERT INTO {texts} VALUES ({', '.join('?' for _ in names)})", values)
    numbered = f"(SELECT *, row_number() OVER () AS __adutora_number FROM {texts})"
    query = select({**dict.fromkeys(names, "VARCHAR"), "__adutora_number": "BIGINT"}, targets, numbered, "NULL")
    con.execute(f"CREATE OR REPLACE TEMP TABLE {relation} AS {query} ORDER BY __adutora_number")
    bad = con.execute(
        f"SELECT __adutora_number, __adutora_reason FROM {relation} WHERE __adutora_reason IS NOT NULL LIMIT 1"
    ).fetchall()
    if bad:
        raise ConfigError(f"{what}, row {bad[0][0]}: {bad[0][1]}", hint="mend the value, or the column's type")
    for name in ("__adutora_number", "__adutora_reason", "__adutora_raw"):
        con.execute(f"ALTER TABLE {relation} DROP COLUMN {name}")
    con.execute(f"DROP TABLE {texts}")


def add_system_columns(con: duckdb.DuckDBPyConnection, relation: str, at: str) -> None:
    """Add what `append` adds to each row, where the rows do not have it: the run, and when it loaded them."""
    there = {row[0] for row in con.execute(f"DESCRIBE {relation}").fetchall()}
    for name, kind, value in (("_run_id", "VARCHAR", "given"), ("_loaded_at", "TIMESTAMPTZ", at)):
        if name not in there:
            con.execute(f"ALTER TABLE {relation} ADD COLUMN {name} {kind} DEFAULT CAST({literal(value)} AS {kind})")


def _target(name: str, types: Mapping[str, str], values: Sequence[Any]) -> Target:
    declared = types.get(name) or SYSTEM.get(name)
    if declared is not None:
        return Target(name, duck_type(declared), declared)
    kind = infer(values)
    return Target(name, kind, kind)


def infer(values: Iterable[Any]) -> str:
    """Return the DuckDB type of values; text that is a date or timestamp throughout is one."""
    some = [value for value in values if value is not None]
    kinds = {_kind(value) for value in some}
    if len(kinds) == 1:
        kind = kinds.pop()
        if kind == "list":
            return f"{infer(item for value in some for item in value)}[]"
        if kind == "map":
            names = dict.fromkeys(name for value in some for name in value)
            fields = (f"{quote(name)} {infer(value.get(name) for value in some)}" for name in names)
            return f"STRUCT({', '.join(fields)})" if names else "VARCHAR"
        return kind
    return "DOUBLE" if kinds and kinds <= {"BIGINT", "DOUBLE"} else "VARCHAR"


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return next((kind for kind, pattern in _WRITTEN.items() if pattern.fullmatch(value)), "VARCHAR")
    # A boolean is an integer to Python: it comes first.
    kinds = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", list: "list", dict: "map"}
    return next((kind for python, kind in kinds.items() if isinstance(value, python)), "VARCHAR")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
