"""Run a `python` stage: call a user's function with the inputs, take its rows or its small outputs."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.runtime.outputs import checked_outputs
from adutora.runtime.user_code import guarded, importing_from, printing_to
from adutora.stages.python.load import load_function
from adutora.stages.python.spec import Python

if TYPE_CHECKING:
    import pyarrow as pa

    from adutora.runtime.context import StageContext

RELATION = "__adutora_python"


class Inputs(Mapping[str, "pa.Table"]):
    """The stage's inputs by the names that SQL gives them. Read-only; a table is loaded when it is first asked for."""

    def __init__(self, names: list[str], load: Callable[[str], "pa.Table"]) -> None:
        self._names, self._load = names, load
        self._tables: dict[str, pa.Table] = {}

    def __getitem__(self, name: str) -> "pa.Table":
        if name not in self._names:
            raise KeyError(f"{name} is no input; the stage declares {', '.join(self._names) or 'none'}")
        if name not in self._tables:
            self._tables[name] = self._load(name)
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def run(spec: Python, ctx: "StageContext") -> None:
    """Call the function. Raises UserCodeError or TemporaryError for what it raises, ConfigError if it is not there."""
    ctx.load_inputs()
    root = ctx.task.files_root
    with guarded(spec.function, root, ctx.log), importing_from(root), printing_to(ctx.log):
        function = load_function(spec.function, root)
        result = _call(function, spec, _inputs(ctx))
        # Rows may come from a generator, so that the user's code still runs here.
        rows = _arrow(result, ctx) if ctx.output is not None else None
    if ctx.output is None:
        _take_outputs(result, ctx)
    elif rows is not None:
        _register(rows, ctx)
        ctx.write(RELATION)


def _inputs(ctx: "StageContext") -> Inputs:
    names = {item.table or item.name or "": item for item in ctx.inputs}

    def load(name: str) -> "pa.Table":
        quoted = duck.quote_table(name) if names[name].table else duck.quote(name)
        with duck.translated(f"input {name}"):
            return ctx.con.sql(f"SELECT * FROM {quoted}").to_arrow_table()

    return Inputs(list(names), load)


def _call(function: Callable[..., Any], spec: Python, inputs: Inputs) -> Any:
    try:
        signature: inspect.Signature | None = inspect.signature(function)
    except (TypeError, ValueError):
        signature = None  # a function written in C may not tell
    args = spec.args or {}
    if signature is not None:
        try:
            signature.bind(inputs, **args)
        except TypeError as error:
            raise ConfigError(
                f"{spec.function} cannot be called with (inputs{''.join(f', {name}=…' for name in args)}): {error}",
                hint=f"it is {function.__name__}{signature}",
            ) from None
    if inspect.iscoroutinefunction(function):
        raise ConfigError(f"{spec.function} is async", hint="write a plain function; call asyncio.run in it")
    return function(inputs, **args)


def _arrow(result: Any, ctx: "StageContext") -> "pa.Table | pa.RecordBatchReader | None":
    from adutora.stages.python.rows import to_arrow

    output = ctx.require_output()
    declared = frozenset(column.name for column in ctx.table_spec(output.table).columns or ())
    if result is None:
        raise DataError("the function returned nothing, and the stage writes a table", hint="return rows, or a table")
    rows = to_arrow(result, ctx.scratch, declared)
    return rows if rows is not None else _no_rows(ctx)


def _no_rows(ctx: "StageContext") -> "pa.Table | None":
    """No rows and no columns: an empty table with the columns that are declared, or that the table has."""
    import pyarrow as pa

    table = ctx.require_output().table
    columns = ctx.table_spec(table).columns
    if columns:
        return pa.table({column.name: pa.nulls(0, pa.string()) for column in columns})
    if ctx.lake.exists(table):
        ctx.lake.register(ctx.con, table, "__adutora_standing.rows")
        found: Any = ctx.con.sql('SELECT * FROM "__adutora_standing"."rows" LIMIT 0').to_arrow_table()
        return found.select([name for name in found.column_names if not name.startswith("_")])
    raise DataError(
        f"the function returned no rows, and nothing says which columns {table} has",
        hint="declare its columns in `tables`, or return a pyarrow.Table with a schema",
    )


def _register(rows: "pa.Table | pa.RecordBatchReader", ctx: "StageContext") -> None:
    """Make rows a relation that can be read more than once, and that spills."""
    ctx.con.register("__adutora_returned", rows)
    with duck.translated("the function's rows"):
        ctx.con.execute(f'CREATE TEMP TABLE {RELATION} AS SELECT * FROM "__adutora_returned"')
    ctx.con.unregister("__adutora_returned")


def _take_outputs(result: Any, ctx: "StageContext") -> None:
    if result is None:
        return
    if not isinstance(result, Mapping):
        raise ConfigError(
            f"the function returned a {type(result).__name__}, and the stage has no `output`",
            hint="name a table under `output`, or return a dict of small values",
        )
    ctx.outcome.outputs.update(checked_outputs(result))
