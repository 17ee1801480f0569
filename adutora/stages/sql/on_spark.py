"""`sql` with `engine: spark`: DuckDB says what the statement means, Spark computes it, the same writer commits."""

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from adutora.errors import ConfigError
from adutora.io import duck
from adutora.runtime.inputs import profile, refused
from adutora.runtime.spark.engine import Engine, computing, staged
from adutora.runtime.spark.inputs import columns, quoted
from adutora.runtime.spark.result import Shape, same_names, show_result, write_result
from adutora.runtime.substitution import bind
from adutora.sparksql import Refused, Statement, translate
from adutora.stages.sql.run import RESULT, execute, misfit
from adutora.stages.sql.spec import Sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from adutora.runtime.context import StageContext

_BINDER_MEMORY = 64 << 20


def run_on_spark(spec: Sql, ctx: "StageContext") -> None:
    """Run the statements on Spark and write the last one's rows. Raises ConfigError for what cannot be translated."""
    with staged(ctx) as staging:
        with computing(ctx, staging, spec.executors, spec.conf) as spark:
            statements, values = _translated(spec, ctx)
            ctx.load_inputs()
            profile(ctx.con)
            shape = _meaning(spec, ctx)
            write_result(_ordered(_compute(spark, statements, values), statements[-1], shape), staging, shape)
        ctx.write(show_result(ctx, staging, shape), rejected=refused(ctx))


def _translated(spec: Sql, ctx: "StageContext") -> tuple[list[Statement], Mapping[str, Any]]:
    text, values = bind(spec.query, ctx.scope)
    try:
        return translate(text), values
    except Refused as error:
        raise ConfigError(f"the query cannot run on Spark: {error.message}", hint=error.hint) from None


def _meaning(spec: Sql, ctx: "StageContext") -> Shape:
    """Bind the statements on DuckDB over inputs without rows: their columns and types are those of every engine."""
    con = duck.connect(_BINDER_MEMORY, 1, ctx.scratch / "binder")
    try:
        for item in ctx.inputs:
            name = item.table or item.name or ""
            if item.table:
                con.execute(f"CREATE SCHEMA IF NOT EXISTS {duck.quote(name.partition('.')[0])}")
            listed = ", ".join(f"{duck.quote(column)} {kind}" for column, kind in columns(ctx, name).items())
            con.execute(f"CREATE TABLE {duck.quote_table(name)} ({listed})")
        profile(con)
        duck.seal(con)
        execute(con, spec.query, ctx.scope, RESULT)
        found = con.sql(f"SELECT * FROM {RESULT} LIMIT 0")
        return Shape(tuple(found.columns), tuple(found.types))
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise misfit(ctx, error) from error
    except duckdb.Error as error:
        raise duck.translate(error, "the query failed") from error
    finally:
        con.close()


def _compute(spark: Engine, statements: list[Statement], values: Mapping[str, Any]) -> "DataFrame":
    """Give the statements to Spark one by one. Nothing is computed yet."""
    tables: dict[str, str] = {}
    frames = spark.inputs()
    session = spark.session()
    for number, (name, frame) in enumerate(frames.items()):
        tables[name.casefold()] = view = f"adutora_input_{number}"
        frame.createOrReplaceTempView(view)
    for number, statement in enumerate(statements[:-1]):
        frame = _query(session, statement, tables, values)
        if statement.columns:
            frame = frame.toDF(*statement.columns)
        # A table is made once: what is left to chance in it must be the same wherever it is read.
        frame = frame.persist() if statement.kind == "table" else frame
        tables[(statement.name or "").casefold()] = view = f"adutora_made_{number}"
        frame.createOrReplaceTempView(view)
    return _query(session, statements[-1], tables, values)


def _query(
    session: "SparkSession", statement: Statement, tables: Mapping[str, str], values: Mapping[str, Any]
) -> "DataFrame":
    used = {name: _argument(values[name]) for name in statement.parameters}
    return session.sql(statement.render(tables), args=used) if used else session.sql(statement.render(tables))


def _argument(value: Any) -> Any:
    """Return a value as Spark binds it: a time with its zone, a map as a struct."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    if isinstance(value, dict):
        from pyspark.sql import functions

        return functions.struct(*(functions.lit(_argument(item)).alias(str(name)) for name, item in value.items()))
    if isinstance(value, list):
        from pyspark.sql import functions

        return functions.array(*(functions.lit(_argument(item)) for item in value))
    return value


def _ordered(frame: "DataFrame", last: Statement, shape: Shape) -> "DataFrame":
    """Return Spark's columns in DuckDB's order. The engines order those of `SELECT *` over a JOIN USING otherwise."""
    if list(frame.columns) == list(shape.names) or not last.has_star:
        return frame
    helpers = {"_w", "_row_number"}  # what the translation of QUALIFY leaves behind a star
    frame = frame.drop(*helpers.difference(shape.names))
    if not same_names(frame.columns, shape.names):
        raise ConfigError(
            f"Spark names the columns of the query {', '.join(frame.columns)}, and DuckDB {', '.join(shape.names)}",
            hint="name each column instead of *",
        )
    return frame.select(*(quoted(name) for name in shape.names))
