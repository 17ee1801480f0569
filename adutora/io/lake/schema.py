"""Types of columns: DuckDB's, Delta's and Arrow's, and which values of one fit another.

A type that Delta does not have becomes the nearest that keeps the value readable: ENUM, UUID, TIME, INTERVAL, BIT,
JSON, UNION and the like become string; unsigned integers the next wider signed one; UBIGINT and HUGEINT, which is what
DuckDB's sum() of whole numbers gives, become long where all values fit, else decimal(38,0). A naive TIMESTAMP stays
naive (timestamp_ntz): it has no zone, and none is made up. TIMESTAMPTZ is an instant (timestamp, UTC). A column that
knows no type because all of it is null becomes string.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from adutora.io.casts import DUCK_TYPES
from adutora.io.duck import quote

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

_FROM_DUCK = {
    "boolean": "boolean",
    "tinyint": "byte",
    "smallint": "short",
    "integer": "integer",
    "bigint": "long",
    "utinyint": "short",
    "usmallint": "integer",
    "uinteger": "long",
    "float": "float",
    "double": "double",
    "blob": "binary",
    "date": "date",
}
_WIDE = ("ubigint", "hugeint", "uhugeint")
_INTEGERS = {"byte": 3, "short": 5, "integer": 10, "long": 19}  # digits
_EXACT = {"float": 2**24, "double": 2**53}  # whole numbers up to here have no rounding
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")

Fit = Literal["always", "checked", "never"]


@dataclass(frozen=True)
class LakeType:
    """A Delta type. `digits` is (precision, scale) of a decimal; `fields` are the parts of a nested type."""

    name: str
    digits: tuple[int, int] = (0, 0)
    fields: tuple[tuple[str, "LakeType"], ...] = field(default=())

    @property
    def text(self) -> str:
        """The name as a user writes it."""
        if self.name == "decimal":
            return f"decimal({self.digits[0]},{self.digits[1]})"
        if self.name == "struct":
            return f"struct<{', '.join(f'{name}: {kind.text}' for name, kind in self.fields)}>"
        if self.fields:
            return f"{self.name}<{', '.join(kind.text for _, kind in self.fields)}>"
        return self.name

    @cached_property
    def sql(self) -> str:
        """The type in DuckDB's SQL; for plain types DataFusion reads it too."""
        if self.name == "decimal":
            return f"DECIMAL({self.digits[0]},{self.digits[1]})"
        if self.name == "array":
            return f"{self.fields[0][1].sql}[]"
        if self.name == "map":
            return f"MAP({self.fields[0][1].sql}, {self.fields[1][1].sql})"
        if self.name == "struct":
            return f"STRUCT({', '.join(f'{quote(name)} {kind.sql}' for name, kind in self.fields)})"
        return DUCK_TYPES[self.name]

    def arrow(self) -> "pa.DataType":
        """Return the Arrow type."""
        import pyarrow as pa

        if self.name == "decimal":
            return pa.decimal128(*self.digits)
        if self.name == "array":
            return pa.list_(self.fields[0][1].arrow())
        if self.name == "map":
            return pa.map_(self.fields[0][1].arrow(), self.fields[1][1].arrow())
        if self.name == "struct":
            return pa.struct([pa.field(name, kind.arrow()) for name, kind in self.fields])
        return _arrow_types()[self.name]


STRING, LONG, BOOLEAN, TIMESTAMP = (LakeType(name) for name in ("string", "long", "boolean", "timestamp"))
WIDE = LakeType("decimal", (38, 0))


def _arrow_types() -> dict[str, "pa.DataType"]:
    import pyarrow as pa

    return {
        "string": pa.string(),
        "long": pa.int64(),
        "integer": pa.int32(),
        "short": pa.int16(),
        "byte": pa.int8(),
        "double": pa.float64(),
        "float": pa.float32(),
        "boolean": pa.bool_(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "timestamp_ntz": pa.timestamp("us"),
    }


def from_duck(kind: "DuckDBPyType") -> LakeType:
    """Return the Delta type for a DuckDB type; `decimal(38,0)` for whole numbers wider than a long."""
    name = str(kind.id)
    if name in _FROM_DUCK:
        return LakeType(_FROM_DUCK[name])
    if name in _WIDE:
        return WIDE
    if name.startswith("timestamp"):
        zoned = "zone" in name or "tz" in name
        return LakeType("timestamp" if zoned else "timestamp_ntz")
    if name in ("decimal", "list", "array", "map", "struct"):
        return _nested(name, dict(kind.children))
    return STRING


def _nested(name: str, parts: Mapping[str, Any]) -> LakeType:
    if name == "decimal":
        return LakeType("decimal", (int(parts["precision"]), int(parts["scale"])))
    if name in ("list", "array"):
        return LakeType("array", fields=(("element", from_duck(parts["child"])),))
    return LakeType(name, fields=tuple((part, from_duck(kind)) for part, kind in parts.items()))


def is_wide(kind: "DuckDBPyType") -> bool:
    """Say whether a DuckDB type holds whole numbers wider than a long."""
    return str(kind.id) in _WIDE


def is_void(kind: "DuckDBPyType") -> bool:
    """Say whether a DuckDB type is that of a bare NULL."""
    return str(kind.id) == "null"


@dataclass(frozen=True)
class LakeColumn:
    """A column of a Delta table."""

    name: str
    type: LakeType
    comment: str | None = None


def from_delta(schema_json: str) -> dict[str, LakeColumn]:
    """Return the columns of a Delta schema, in order."""
    columns = {}
    for item in json.loads(schema_json)["fields"]:
        comment = item.get("metadata", {}).get("comment")
        columns[item["name"]] = LakeColumn(item["name"], _parse(item["type"]), comment)
    return columns


def _parse(kind: Any) -> LakeType:
    if isinstance(kind, str):
        match = _DECIMAL.fullmatch(kind)
        if match:
            return LakeType("decimal", (int(match[1]), int(match[2])))
        return LakeType(kind) if kind in DUCK_TYPES else STRING
    if kind["type"] == "array":
        return LakeType("array", fields=(("element", _parse(kind["elementType"])),))
    if kind["type"] == "map":
        return LakeType("map", fields=(("key", _parse(kind["keyType"])), ("value", _parse(kind["valueType"]))))
    return LakeType("struct", fields=tuple((part["name"], _parse(part["type"])) for part in kind["fields"]))


def fit(source: LakeType, target: LakeType) -> Fit:
    """Say whether values of `source` can stand in a column of `target` and lose nothing.

    `checked`: those that fit can, by `fits_sql`. `never`: only nulls can.
    """
    if source == target:
        return "always"
    if source.name in _INTEGERS:
        return _fit_integer(_INTEGERS[source.name], target)
    if source.name == "decimal":
        return _fit_decimal(source, target)
    if (source.name, target.name) in (("float", "double"), ("date", "timestamp_ntz")):
        return "always"
    if source.name == target.name and source.fields and _same_names(source, target):
        pairs = zip(source.fields, target.fields, strict=True)
        return "always" if all(fit(mine[1], other[1]) == "always" for mine, other in pairs) else "never"
    return "never"


def _same_names(source: LakeType, target: LakeType) -> bool:
    return [name for name, _ in source.fields] == [name for name, _ in target.fields]


def _fit_integer(digits: int, target: LakeType) -> Fit:
    if target.name in _INTEGERS:
        return "always" if digits <= _INTEGERS[target.name] else "checked"
    if target.name in _EXACT:
        return "always" if 10**digits <= _EXACT[target.name] else "checked"
    if target.name == "decimal":
        return "always" if digits <= target.digits[0] - target.digits[1] else "checked"
    return "never"


def _fit_decimal(source: LakeType, target: LakeType) -> Fit:
    precision, scale = source.digits
    if target.name in _INTEGERS or target.name in _EXACT:
        return "checked" if scale == 0 else "never"
    if target.name != "decimal" or scale > target.digits[1]:
        return "never"
    return "always" if precision - scale <= target.digits[0] - target.digits[1] else "checked"


def fits_sql(x: str, target: LakeType) -> str:
    """Return SQL that says whether the whole number or decimal `x` can stand in `target`. Null fits."""
    if target.name in _EXACT:
        return f"({x} IS NULL OR {x} BETWEEN -{_EXACT[target.name]} AND {_EXACT[target.name]})"
    return f"({x} IS NULL OR TRY_CAST({x} AS {target.sql}) IS NOT NULL)"
