"""Casts that lose nothing: a value becomes the declared type whole, or its row is rejected with the reason.

DuckDB's own casts round (`'1.5'` to 2), drop zones and read `0x10`. Here a value passes only if nothing is lost:

* text to a whole number: digits, a sign, a fraction of zeros, or an exponent whose value is whole;
* text or decimal to a decimal: digits past the scale must be zeros;
* a float to a decimal is rounded to the scale, for a binary float has no decimal digits to lose;
* a timestamp or text with a time of day is no date, text with a zone other than UTC no `timestamp_ntz`;
* timestamps hold microseconds; finer digits of a text are cut;
* text of white space alone is no value, except in a string column;
* NaN and infinity pass into float and double only.
"""

import re
from dataclasses import dataclass

from adutora.errors import ConfigError
from adutora.io.duck import literal, quote
from adutora.spec.base import Column
from adutora.spec.nearest import did_you_mean

# Delta's plain types, by the names that users write.
DUCK_TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "integer": "INTEGER",
    "short": "SMALLINT",
    "byte": "TINYINT",
    "double": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
    "binary": "BLOB",
}
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"})
_UNSIGNED = frozenset({"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"})
_FLOATS = frozenset({"FLOAT", "DOUBLE"})
_DECIMAL = re.compile(r"decimal\(\s*([0-9]{1,2})\s*,\s*([0-9]{1,2})\s*\)", re.IGNORECASE)
_EXPONENT = literal(r"\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)[eE][+-]?[0-9]{1,4}\s*")
_SHOWN = 80  # characters of a bad value that a reason shows


@dataclass(frozen=True)
class Target:
    """A column as it will be written: its DuckDB type, and the type's name for people."""

    name: str
    type: str
    label: str
    required: bool = False

    @classmethod
    def of(cls, column: Column) -> "Target":
        """Return the target of a declared column. Raises ConfigError for an unknown type."""
        return cls(column.name, duck_type(column.type), column.type, column.required)


def duck_type(delta: str) -> str:
    """Return the DuckDB type of a Delta type. Raises ConfigError with the nearest name."""
    name = delta.strip().lower()
    if name in DUCK_TYPES:
        return DUCK_TYPES[name]
    match = _DECIMAL.fullmatch(name)
    if match is None:
        names = [*DUCK_TYPES, "decimal(18,2)"]
        raise ConfigError(f"{delta!r} is no column type", hint=did_you_mean(delta, names))
    precision, scale = int(match[1]), int(match[2])
    if not 1 <= precision <= 38 or scale > precision:
        raise ConfigError(f"{delta!r} is no column type", hint="a decimal has at most 38 digits, scale among them")
    return f"DECIMAL({precision},{scale})"


def family(kind: str) -> str:
    """Return what a DuckDB type is to a rule: number, float, text, time, boolean or other. Float is a number too."""
    if is_nested(kind):
        return "other"
    if kind in _FLOATS:
        return "float"
    if kind in _INTEGERS or kind in _UNSIGNED or kind.startswith("DECIMAL"):
        return "number"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "time"
    return {"VARCHAR": "text", "BOOLEAN": "boolean"}.get(kind, "other")


def is_nested(kind: str) -> bool:
    """Say whether a DuckDB type holds other types."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


def strict(x: str, source: str, target: str) -> str:
    """Return SQL that casts expression `x` from `source` to `target`; null where anything would be lost."""
    if source == target:
        return x
    return _from_text(x, target) if source == "VARCHAR" else _from_typed(x, source, target)


def blank(x: str, source: str, target: str) -> str:
    """Return SQL that says whether `x` holds no value for a column of type `target`. Never null."""
    if source == "VARCHAR" and target != "VARCHAR":
        return f"({x} IS NULL OR trim({x}, E' \\t\\r\\n') = '')"
    return f"({x} IS NULL)"


def shown(x: str) -> str:
    """Return SQL for the text of a value, cut to what a message can carry."""
    return f"left(CAST({x} AS VARCHAR), {_SHOWN})"


def reason(x: str, cast: str, source: str, target: Target) -> str | None:
    """Return SQL for why `x` cannot stand in the column, null where it can; None where it always can.

    `cast` is the value of `strict`.
    """
    cases = []
    if source != target.type:
        begin, end = literal(f"column {target.name}: '"), literal(f"' is no {target.label}")
        text = f"{begin} || {shown(x)} || {end}"
        cases.append(f"WHEN {cast} IS NULL AND NOT {blank(x, source, target.type)} THEN {text}")
    if target.required:
        cases.append(f"WHEN {cast} IS NULL THEN {literal(f'column {target.name}: has no value, and needs one')}")
    return f"CASE {' '.join(cases)} END" if cases else None


def _from_text(x: str, target: str) -> str:
    if is_nested(target):
        return f"TRY_CAST(CASE WHEN json_valid({x}) THEN CAST({x} AS JSON) END AS {target})"
    value = f"TRY_CAST({x} AS {target})"
    if target.startswith("DECIMAL"):
        scale = int(target.split(",")[1].rstrip(")"))
        return _number(x, target, rf"\s*[+-]?[0-9]*([.][0-9]{{0,{scale}}}0*)?\s*")
    if target in _INTEGERS or target in _UNSIGNED:
        return _number(x, target, r"\s*[+-]?[0-9]+([.]0*)?\s*")
    if target == "BLOB":
        return f"coalesce({value}, encode({x}))"
    zoned = "TIMESTAMP WITH TIME ZONE"
    conditions = {
        # A number too large for the type would become infinity.
        "FLOAT": f"NOT isinf({value}) OR contains(lower({x}), 'inf')",
        "DOUBLE": f"NOT isinf({value}) OR contains(lower({x}), 'inf')",
        "DATE": f"{value} = TRY_CAST({x} AS TIMESTAMP) AND isfinite({value})",
        # DuckDB drops a zone that the text names.
        "TIMESTAMP": f"CAST({value} AS {zoned}) = TRY_CAST({x} AS {zoned}) AND isfinite({value})",
        zoned: f"isfinite({value})",
    }
    return f"CASE WHEN {conditions[target]} THEN {value} END" if target in conditions else value


def _number(x: str, target: str, plain: str) -> str:
    value, double = f"TRY_CAST({x} AS {target})", f"TRY_CAST({x} AS DOUBLE)"
    exact = f"CAST(TRY_CAST({double} AS {target}) AS DOUBLE) = {double}"
    return (
        f"CASE WHEN CAST({value} AS VARCHAR) = {x} THEN {value} "  # the common case, without a regular expression
        f"WHEN regexp_full_match({x}, {literal(plain)}) THEN {value} "
        f"WHEN regexp_full_match({x}, {_EXPONENT}) AND {exact} THEN TRY_CAST({double} AS {target}) END"
    )


def _from_typed(x: str, source: str, target: str) -> str:
    value = f"TRY_CAST({x} AS {target})"
    if target == "VARCHAR":
        return f"CAST(to_json({x}) AS VARCHAR)" if is_nested(source) else value
    if target in _FLOATS or (source in _FLOATS and target.startswith("DECIMAL")):
        return value
    return f"CASE WHEN TRY_CAST({value} AS {source}) = {x} THEN {value} END"


def select(columns: dict[str, str], targets: dict[str, Target], relation: str, raw: str) -> str:
    """Return the query that casts `relation`.

    `columns` are names and DuckDB types of `relation`; `targets` what some of them become, by the names that they
    have there, and by other names those that it lacks (null then). `raw` is SQL for the row as JSON, before the
    cast. The result has the target columns, then the other columns, then `__adutora_reason` and `__adutora_raw`,
    which are null in a row that is good.
    """
    casts, out, reasons = [], [], []
    for index, (name, target) in enumerate(targets.items()):
        source = columns.get(name)
        if source is None:
            out.append(f"CAST(NULL AS {target.type}) AS {quote(target.name)}")
            continue
        x, cast = quote(name), f"__adutora_v{index}"
        casts.append(f"{strict(x, source, target.type)} AS {cast}")
        out.append(f"{cast} AS {quote(target.name)}")
        why = reason(x, cast, source, target)
        if why:
            reasons.append(why)
    out += [quote(name) for name in columns if name not in targets]
    inner = f"SELECT *{''.join(f', {c}' for c in casts)} FROM {relation}"
    if not reasons:
        none = "CAST(NULL AS VARCHAR) AS __adutora_reason, CAST(NULL AS VARCHAR) AS __adutora_raw"
        return f"SELECT {', '.join(out)}, {none} FROM ({inner})"
    why = f"nullif(concat_ws('; ', {', '.join(reasons)}), '')"
    judged = f"SELECT *, {why} AS __adutora_reason FROM ({inner})"
    kept = f"CASE WHEN __adutora_reason IS NOT NULL THEN CAST({raw} AS VARCHAR) END AS __adutora_raw"
    return f"SELECT {', '.join(out)}, __adutora_reason, {kept} FROM ({judged})"
