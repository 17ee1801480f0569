"""A stage's inputs as Spark sees them: the very rows that DuckDB shows, by the names that SQL uses."""

from typing import TYPE_CHECKING

from adutora.io import duck
from adutora.io.lake.schema import from_duck
from adutora.runtime.inputs import read_lazily, rows_scanned
from adutora.runtime.spark import s3a

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from adutora.runtime.context import StageContext
    from adutora.runtime.spark.staging import Staging

# Rows of a group in a Parquet file: a task of Spark reads one or more whole groups.
_GROUP = 122_880


def stage_inputs(ctx: "StageContext", staging: "Staging") -> None:
    """Copy to staging what is no whole table: files, new rows, changed partitions. Counts rows of CSV files."""
    for number, item in enumerate(ctx.inputs):
        if not _is_whole_table(ctx, number):
            name = item.table or item.name or ""
            with duck.translated(f"input {name}"):
                scanned = read_lazily(ctx, lambda name=name, number=number: _copy(ctx, staging, name, number))  # type: ignore[misc]
            if item.table is None and any(each.name == name and each.rows_in is None for each in ctx.readings):
                ctx.outcome.rows_in = (ctx.outcome.rows_in or 0) + scanned
            staging.push(_folder(number))
            if not staging.url("").startswith("file:"):
                staging.forget(_folder(number))


def frames(ctx: "StageContext", session: "SparkSession", staging: "Staging") -> "dict[str, DataFrame]":
    """Return each input as a DataFrame, by its name. Reads no row."""
    found = {}
    for number, item in enumerate(ctx.inputs):
        name = item.table or item.name or ""
        if _is_whole_table(ctx, number):
            uri = ctx.lake.store.uri(name)
            version = str(ctx.input_versions[name])
            frame = session.read.format("delta").option("versionAsOf", version).load(s3a.url(uri))
            found[name] = frame.select(*(quoted(column) for column in columns(ctx, name)))
        else:
            # The folder's name is no pattern, whatever brackets it has.
            reader = session.read.option("__globPaths__", "false")
            found[name] = reader.parquet(staging.url(_folder(number)))
    return found


def columns(ctx: "StageContext", name: str) -> dict[str, str]:
    """Return the columns of an input and their types, as DuckDB shows them."""
    rows = ctx.con.execute(f"DESCRIBE {duck.quote_table(name)}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def _is_whole_table(ctx: "StageContext", number: int) -> bool:
    return ctx.inputs[number].table is not None and ctx.inputs[number].read == "all"


def _folder(number: int) -> str:
    return f"input-{number}"


def _copy(ctx: "StageContext", staging: "Staging", name: str, number: int) -> int:
    """Write an input as Parquet, with types that Spark has; return how many rows of CSV files were read."""
    folder = staging.local(_folder(number))
    folder.mkdir(parents=True, exist_ok=True)
    relation = ctx.con.sql(f"SELECT * FROM {duck.quote_table(name)} LIMIT 0")
    casts = ", ".join(
        f"CAST({duck.quote(column)} AS {from_duck(kind).sql}) AS {duck.quote(column)}"
        for column, kind in zip(relation.columns, relation.types, strict=True)
    )
    target = duck.literal(str(folder / "rows.parquet"))
    ctx.con.execute(
        f"COPY (SELECT {casts} FROM {duck.quote_table(name)}) TO {target} "
        f"(FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {_GROUP})"
    )
    return rows_scanned(ctx.con)


def quoted(column: str) -> str:
    """Return a column's name as Spark's SQL quotes it."""
    return "`" + column.replace("`", "``") + "`"
