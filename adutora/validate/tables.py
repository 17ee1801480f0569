"""Tables: their columns and what names them."""

import re
from collections.abc import Iterable
from typing import Final

from adutora.spec.base import Column, Input, Table
from adutora.spec.nearest import did_you_mean, nearest
from adutora.spec.yamlfile import Where
from adutora.validate.columns import known_column
from adutora.validate.outputs import reserved
from adutora.validate.scope import STAGES, TABLES, Scope, some_time

TYPES: Final = (
    "string", "long", "integer", "short", "byte", "double", "float", "boolean", "date", "timestamp",
    "timestamp_ntz", "binary",
)  # fmt: skip
# What other systems call them.
_OTHER_NAMES: Final = {
    "int": "integer", "int32": "integer", "bigint": "long", "int64": "long", "smallint": "short", "int16": "short",
    "tinyint": "byte", "int8": "byte", "text": "string", "varchar": "string", "str": "string", "char": "string",
    "bool": "boolean", "datetime": "timestamp", "timestamptz": "timestamp", "real": "float", "float32": "float",
    "float64": "double", "number": "decimal(18,2)", "numeric": "decimal(18,2)", "decimal": "decimal(18,2)",
    "money": "decimal(18,2)", "blob": "binary", "bytes": "binary",
}  # fmt: skip
_DECIMAL: Final = re.compile(r"decimal\(\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*\)")
_TIMES: Final = ("date", "timestamp", "timestamp_ntz")
DAY: Final = 86_400


def check_tables(scope: Scope) -> None:
    """Report columns that are not there, types that Delta does not have, and tables that nobody writes."""
    outputs = {stage.output.table for stage in scope.spec.stages if stage.output}
    for index, table in enumerate(scope.spec.tables):
        path = (*TABLES, index)
        reserved(scope, (*path, "name"), table.name)
        _columns(scope, (*path, "columns"), table.columns or [])
        _named_columns(scope, path, table)
        _upkeep(scope, path, table)
        if table.name not in outputs and not scope.checked.damaged and not scope.checked.cut:
            hint = did_you_mean(table.name, sorted(outputs - set(scope.table_names)))
            scope.warning((*path, "name"), f"no stage of this pipeline writes {table.name}", hint)
    for index, stage in enumerate(scope.spec.stages):
        for place, item in _file_inputs((*STAGES, index), stage.all_inputs, single=stage.input is not None):
            _columns(scope, (*place, "columns"), item)


def _file_inputs(path: Where, inputs: list[Input], *, single: bool) -> Iterable[tuple[Where, list[Column]]]:
    for number, item in enumerate(inputs):
        yield (*path, "input") if single else (*path, "inputs", number), item.columns or []


def _columns(scope: Scope, path: Where, columns: list[Column]) -> None:
    for number, column in enumerate(columns):
        system_column(scope, (*path, number, "name"), column.name)
        wrong = type_error(column.type)
        if wrong:
            scope.error((*path, number, "type"), *wrong)


def system_column(scope: Scope, path: Where, name: str) -> None:
    """Report a column name that is the system's."""
    if name.startswith("_"):
        scope.error(path, f"`{name}` begins with `_`: such columns are the system's", "choose another name")


def type_error(text: str) -> tuple[str, str] | None:
    """Say what is wrong with a column type, and what would be right; None if it is one of Delta's."""
    if text in TYPES:
        return None
    match = _DECIMAL.fullmatch(text)
    if match:
        precision, scale = int(match[1]), int(match[2])
        if 1 <= precision <= 38 and scale <= precision:
            return None
        return f"{text} is no decimal type", "decimal(p,s) has p from 1 to 38, and s up to p"
    if "$(" in text:
        return "`$(…)` may not stand here", "write the value itself"
    word = text.strip().lower()
    near = _OTHER_NAMES.get(re.sub(r"\(.*", "", word)) or nearest(word, TYPES)
    if word.startswith(("decimal(", "numeric(")):
        near = "decimal(12,2)"
    hint = f"did you mean `{near}`?" if near else f"one of {', '.join(TYPES)} or decimal(p,s)"
    return f"{text!r} is no Delta type", hint


def _named_columns(scope: Scope, path: Where, table: Table) -> None:
    names = [column.name for column in table.columns or []]
    for field in ("key", "partitionBy"):
        for number, name in enumerate(getattr(table, field) or []):
            place = (*path, field, number)
            system_column(scope, place, name)
            known_column(scope, place, table, name, exact=True)
        given = getattr(table, field) or []
        if len(set(given)) < len(given):
            scope.error((*path, field), "names a column twice", "name each once")
    if names and table.partitionBy and set(names) <= set(table.partitionBy) and not scope.gap((*path, "columns")):
        scope.error((*path, "partitionBy"), "names every column: a file would hold nothing", "leave one out")


def _upkeep(scope: Scope, path: Where, table: Table) -> None:
    if table.maintenance and table.maintenance.vacuum is not None and table.maintenance.vacuum < DAY:
        place = (*path, "maintenance", "vacuum")
        scope.error(
            place, f"{table.maintenance.vacuum} is less than a day", "write at least 1d: readers need old files"
        )
    if table.retention:
        place = (*path, "retention", "column")
        known_column(scope, place, table, table.retention.column)
        of_time(scope, place, table, table.retention.column)
        some_time(scope, (*path, "retention", "maxAge"), table.retention.maxAge, "every row would go")


def of_time(scope: Scope, path: Where, table: Table | None, name: str) -> None:
    """Report a column that is described and no date or timestamp."""
    for column in (table.columns or []) if table else []:
        if column.name == name and column.type not in _TIMES and type_error(column.type) is None:
            scope.error(path, f"`{name}` is a {column.type}", "name a date or timestamp column")
