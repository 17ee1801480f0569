"""Columns that stages and checks name, held against the columns that a table declares."""

from collections.abc import Iterable, Iterator
from typing import Final

from adutora.spec.base import Check, Table
from adutora.spec.nearest import did_you_mean, nearest
from adutora.spec.pipeline import Stage
from adutora.spec.values import shown
from adutora.spec.yamlfile import Where
from adutora.validate.engine import Engine
from adutora.validate.scope import TABLES, Scope

Named = tuple[Where, str]
# Delta types that DuckDB calls otherwise.
_DUCK: Final = {"double": "DOUBLE", "float": "DOUBLE", "timestamp": "TIMESTAMPTZ", "timestamp_ntz": "TIMESTAMP"}
_WHOLE: Final = ("long", "integer", "short", "byte")
_TIMES: Final = ("date", "timestamp", "timestamp_ntz")
_NUMBERS: Final = (*_WHOLE, "double", "float")


def check_columns(scope: Scope) -> None:
    """Report columns that a stage names and its table does not declare, and values of another type than the column."""
    tables = {table.name: table for table in scope.spec.tables}
    for path, stage in scope.stages():
        source = tables.get(stage.all_inputs[0].table or "") if len(stage.all_inputs) == 1 else None
        for place, name in _read(path, stage):
            known_column(scope, place, source, name)
        if stage.output and stage.output.latestBy:
            target = tables.get(stage.output.table)
            known_column(scope, (*path, "output", "latestBy"), target, stage.output.latestBy)
    for path, check, about in scope.checks():
        table = tables.get(about or "")
        if table is not None:
            _values(scope, path, check, table)


def _read(path: Where, stage: Stage) -> Iterator[Named]:
    """Columns of its one input that a stage names."""
    if stage.publish:
        yield from _list((*path, "publish", "key"), stage.publish.key)
        yield from _list((*path, "publish", "columns"), stage.publish.columns)
    if stage.clean:
        place, clean = (*path, "clean"), stage.clean
        yield from _list((*place, "trim"), clean.trim)
        yield from _list((*place, "dropNulls"), clean.dropNulls)
        if clean.dropDuplicates:
            yield from _list((*place, "dropDuplicates", "by"), clean.dropDuplicates.by)
        if clean.outliers:
            yield from _list((*place, "outliers", "columns"), clean.outliers.columns)


def _list(path: Where, names: Iterable[str] | None) -> Iterator[Named]:
    return (((*path, number), name) for number, name in enumerate(names or ()))


def known_column(scope: Scope, path: Where, table: Table | None, name: str, *, exact: bool = False) -> None:
    """Report a column that a table does not declare.

    An error where the table cannot have others: it is written here, with a frozen schema. Else columns may come, so
    a name that is near a declared one is a warning. Names that begin with `_` are the system's. Upper and lower case
    are the same but with `exact`.
    """
    if table is None or not table.columns or name.startswith("_"):
        return
    names = [column.name for column in table.columns]
    if name in names or (not exact and name.casefold() in {each.casefold() for each in names}):
        return
    if scope.gap((*TABLES, scope.spec.tables.index(table), "columns")):
        return
    written = any(stage.output and stage.output.table == table.name for stage in scope.spec.stages)
    if written and table.schema_ != "evolve":
        scope.error(path, f"{table.name} has no column `{name}`", did_you_mean(name, names))
    elif nearest(name, names) or not written:
        scope.warning(path, f"{table.name} describes no column `{name}`", did_you_mean(name, names))


def _values(scope: Scope, path: Where, check: Check, table: Table) -> None:
    """Report bounds and values that cannot be compared with their column."""
    rule = check.range or check.acceptedValues
    types = {column.name.casefold(): column.type for column in table.columns or []}
    kind = types.get(rule.column.casefold()) if rule else None
    if kind is None:
        return
    given: list[tuple[Where, object]] = []
    if check.range:
        given = [((*path, "range", name), getattr(check.range, name)) for name in ("min", "max")]
    elif check.acceptedValues:
        place = (*path, "acceptedValues", "values")
        given = [((*place, number), value) for number, value in enumerate(check.acceptedValues.values)]
    for place, value in given:
        if value is not None and not _fits(value, kind):
            column = rule.column if rule else ""
            scope.error(place, f"{shown(value)} cannot be compared with `{column}`, which is {kind}", _example(kind))


def _fits(value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    number = kind in _NUMBERS or kind.startswith("decimal")
    if isinstance(value, int | float):
        return number
    if not number and kind not in ("boolean", *_TIMES):
        return kind != "binary"  # a text fits text; what is no type is told elsewhere
    if not Engine.shared().casts(str(value), _DUCK.get(kind, "DECIMAL(38,9)" if number else kind)):
        return False
    return kind not in _WHOLE or float(str(value)).is_integer()


def _example(kind: str) -> str:
    if kind in ("timestamp", "timestamp_ntz"):
        return 'write for example "2026-01-31 06:00:00"'
    if kind == "binary":
        return "check another column"
    return {
        "string": "write a text, in quotes", "date": 'write for example "2026-01-31"', "boolean": "write true or false",
    }.get(kind, "write a number")  # fmt: skip
