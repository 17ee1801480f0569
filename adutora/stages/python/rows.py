"""What a user's function returns, as Arrow.

Rows come in batches that are typed one by one, so a later batch may need a wider type or bring a new column. They
are spooled to scratch and read back under one schema, so no more than a batch is in memory.
"""

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from adutora.errors import DataError

BATCH_ROWS = 20_000
_FORMS = "a pyarrow.Table, a RecordBatchReader, a data frame, or an iterable of dicts"
_UNTYPED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


def to_arrow(
    value: Any, scratch: Path, declared: frozenset[str] = frozenset()
) -> pa.Table | pa.RecordBatchReader | None:
    """Return what a function returned as a table, or as a reader that runs no code of the user's any more.

    A column without any value is text. In a column of `declared` several types may be mixed: it is text then, and
    the cast on write rejects what does not fit. None: no rows, and nothing that names a column.
    Raises DataError for what is no table and no rows.
    """
    if isinstance(value, pa.RecordBatch):
        value = pa.Table.from_batches([value])
    if isinstance(value, pa.Table):
        return value.cast(_typed(value.schema)) if value.num_columns else None
    if hasattr(value, "collect") and not isinstance(value, Iterable):
        raise DataError(f"the function returned a {type(value).__name__}, which is lazy", hint="return its .collect()")
    if not isinstance(value, pa.RecordBatchReader) and hasattr(value, "__arrow_c_stream__"):
        value = pa.RecordBatchReader.from_stream(value)
    if isinstance(value, pa.RecordBatchReader):
        return _spooled(value, scratch) if len(value.schema) else None
    if isinstance(value, Mapping):
        raise DataError("the function returned a dict, and the stage writes a table", hint=f"return {_FORMS}")
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return _from_rows(value, scratch, declared)
    raise DataError(f"the function returned a {type(value).__name__}", hint=f"return {_FORMS}")


def _typed(schema: pa.Schema) -> pa.Schema:
    fields = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in schema]
    return pa.schema(fields)


def _spooled(reader: pa.RecordBatchReader, scratch: Path) -> pa.RecordBatchReader:
    """Pull everything now, in this thread: the user's code must not run while DuckDB holds its connection."""
    path = _file(scratch, 0)
    with pa.ipc.new_stream(str(path), reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
    return _read([path], reader.schema)


def _from_rows(rows: Iterable[Any], scratch: Path, declared: frozenset[str]) -> pa.RecordBatchReader | None:
    """Type and spool the rows. A new file begins where the types change, since one stream has one schema."""
    files: list[Path] = []
    unified: pa.Schema | None = None
    batches = _batches(rows, declared)
    for schema, group in itertools.groupby(batches, key=lambda batch: batch.schema):
        unified = schema if unified is None else _unified(unified, schema, declared)
        files.append(_file(scratch, len(files)))
        with pa.ipc.new_stream(str(files[-1]), schema) as writer:
            for batch in group:
                writer.write_table(batch)
    return _read(files, unified) if unified is not None else None


def _batches(rows: Iterable[Any], declared: frozenset[str]) -> Iterator[pa.Table]:
    iterator, first = iter(rows), 1
    while chunk := list(itertools.islice(iterator, BATCH_ROWS)):
        yield _table(chunk, declared, first)
        first += len(chunk)


def _table(rows: list[Any], declared: frozenset[str], first: int) -> pa.Table:
    """Type the columns of some rows. The keys of all rows count: Arrow's own from_pylist takes the first row's."""
    names: dict[str, None] = {}
    for number, row in enumerate(rows, first):
        if not isinstance(row, Mapping):
            raise DataError(f"row {number} is a {type(row).__name__}, no dict", hint=f"the function returns {_FORMS}")
        names.update(dict.fromkeys(row))
    for name in names:
        if not isinstance(name, str) or not name:
            raise DataError(f"{name!r} is no name of a column", hint="keys of rows are texts")
    if not names:
        raise DataError("the function's rows are empty dicts")
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pa.table({name: _column(name, values, name in declared, first) for name, values in columns.items()})


def _column(name: str, values: list[Any], declared: bool, first: int) -> pa.Array:
    try:
        return pa.array(values)
    except _UNTYPED as error:
        if declared:
            return pa.array([_text(value) for value in values], pa.string())
        raise DataError(
            f"column {name} cannot be typed{_mixed(values, first)}: {error}",
            hint="return one type, or declare the column in `tables`: rows that do not fit are rejected then",
        ) from None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)


def _mixed(values: list[Any], first: int) -> str:
    kinds = [None if value is None else type(value).__name__ for value in values]
    expected = next((kind for kind in kinds if kind), None)
    other = next((n for n, kind in enumerate(kinds) if kind not in (None, expected)), None)
    return "" if other is None else f": {expected} before, {kinds[other]} in row {first + other}"


def _unified(one: pa.Schema, other: pa.Schema, declared: frozenset[str]) -> pa.Schema:
    fields = {field.name: field for field in one}
    for field in other:
        known = fields.setdefault(field.name, field)
        try:
            merged = pa.unify_schemas([pa.schema([known]), pa.schema([field])], promote_options="permissive")
            fields[field.name] = merged.field(0)
        except _UNTYPED as error:
            if field.name not in declared:
                raise DataError(
                    f"column {field.name} is {known.type} in some rows and {field.type} in others: {error}",
                    hint="return one type, or declare the column in `tables`",
                ) from None
            fields[field.name] = pa.field(field.name, pa.string())
    return pa.schema(list(fields.values()))


def _read(files: list[Path], schema: pa.Schema) -> pa.RecordBatchReader:
    typed = _typed(schema)
    return pa.RecordBatchReader.from_batches(typed, _cast_batches(files, typed))


def _cast_batches(files: list[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in files:
        with pa.OSFile(str(path), "rb") as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                yield _cast(batch, schema)
        path.unlink()


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema == schema:
        return batch
    columns: list[pa.Array] = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        columns.append(batch.column(index).cast(field.type) if index >= 0 else pa.nulls(len(batch), field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _file(scratch: Path, number: int) -> Path:
    return scratch / f"python-{number}.arrows"
