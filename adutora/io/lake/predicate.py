"""SQL conditions as delta-rs (DataFusion) reads them. Values come as text, in DuckDB's spelling."""

from collections.abc import Iterable, Mapping, Sequence

from adutora.errors import ConfigError
from adutora.io.duck import literal, quote
from adutora.io.lake.schema import LakeType


def value(text: str, kind: LakeType) -> str:
    """Return a value of a column as a literal of exactly its type.

    `TIMESTAMP '…'` would be of nanoseconds, which delta-rs cannot compare with the microseconds of a table.
    """
    if kind.name == "string":
        return literal(text)
    if kind.name == "timestamp":
        return f"arrow_cast({literal(text)}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
    if kind.name == "timestamp_ntz":
        return f"arrow_cast({literal(text)}, 'Timestamp(Microsecond, None)')"
    if kind.name in ("byte", "short", "integer", "long", "double", "float", "boolean", "date", "decimal"):
        return f"CAST({literal(text)} AS {kind.sql})"
    raise ConfigError(f"a column of type {kind.text} cannot split a table into partitions")


def equals(column: str, text: str | None, kind: LakeType) -> str:
    """Return `column = value`, or `IS NULL`."""
    return f"{quote(column)} IS NULL" if text is None else f"{quote(column)} = {value(text, kind)}"


def any_of(conditions: Sequence[str]) -> str:
    """Join conditions by OR as a balanced tree: a chain of thousands overflows delta-rs's stack and kills us."""
    if not conditions:
        return "false"
    if len(conditions) == 1:
        return f"({conditions[0]})"
    half = len(conditions) // 2
    return f"({any_of(conditions[:half])} OR {any_of(conditions[half:])})"


def partitions(rows: Iterable[Sequence[str | None]], kinds: Mapping[str, LakeType]) -> str:
    """Return the condition that holds for rows of the given partitions; `rows` has values in the order of `kinds`."""
    tree: dict[tuple[str | None, ...], list[str | None]] = {}
    for row in rows:
        tree.setdefault(tuple(row[:-1]), []).append(row[-1])
    names = list(kinds)
    return any_of([_branch(names, head, lasts, kinds) for head, lasts in tree.items()])


def _branch(
    names: Sequence[str], head: Sequence[str | None], lasts: Sequence[str | None], kinds: Mapping[str, LakeType]
) -> str:
    last = names[-1]
    known = [value(text, kinds[last]) for text in lasts if text is not None]
    parts = [f"{quote(last)} IN ({', '.join(known)})"] if known else []
    if any(text is None for text in lasts):
        parts.append(f"{quote(last)} IS NULL")
    tail = " OR ".join(parts)
    heads = [equals(name, text, kinds[name]) for name, text in zip(names, head, strict=False)]
    return " AND ".join([*heads, f"({tail})"])
