"""`sql`, here on DuckDB: statements one by one, `$(…)` bound, nothing readable but the declared inputs."""

import re
from typing import TYPE_CHECKING

import duckdb

from adutora.errors import AdutoraError, ConfigError, DataError
from adutora.io import duck
from adutora.runtime.inputs import profile, read_lazily, refused, rows_scanned
from adutora.runtime.substitution import Scope, bind
from adutora.stages.sql.spec import Sql

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext

RESULT = "__adutora_result"


def run(spec: Sql, ctx: "StageContext") -> None:
    """Run the statements and write the last one's rows."""
    if spec.engine == "spark":
        from adutora.stages.sql.on_spark import run_on_spark

        run_on_spark(spec, ctx)
        return
    ctx.load_inputs()
    profile(ctx.con)
    duck.seal(ctx.con, ctx.readable)
    try:
        scanned = read_lazily(ctx, lambda: execute(ctx.con, spec.query, ctx.scope, RESULT))
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise misfit(ctx, error) from error
    except duckdb.Error as error:
        raise duck.translate(error, "the query failed") from error
    if any(reading.rows_in is None for reading in ctx.readings):
        ctx.outcome.rows_in = (ctx.outcome.rows_in or 0) + scanned
    ctx.write(RESULT, rejected=refused(ctx))


def misfit(ctx: "StageContext", error: duckdb.Error) -> AdutoraError:
    """Say what a query names that its inputs do not have, and what they have."""
    text = re.split(r"\n\s*Candidate|\nDid you mean", str(error))[0].strip().removeprefix("Binder Error: ")
    place = re.search(r"^LINE [^\n]*", str(error), re.MULTILINE)
    message = f"the query does not fit its inputs: {text.splitlines()[0]}" + (f" in {place[0]}" if place else "")
    hint = "; ".join(_columns(ctx, item.table or item.name or "") for item in ctx.inputs) or "it has no inputs"
    if any(item.file for item in ctx.inputs):
        return DataError(message, hint=f"{hint}; declare `columns` of a file to give them types")
    return ConfigError(message, hint=hint)


def _columns(ctx: "StageContext", name: str) -> str:
    rows = ctx.con.execute(f"DESCRIBE {duck.quote_table(name)}").fetchall()
    shown = ", ".join(f"{row[0]} {str(row[1]).lower()}" for row in rows[:40])
    empty = not ctx.con.execute(f"SELECT 1 FROM {duck.quote_table(name)} LIMIT 1").fetchall()
    return f"{name} has {shown}" + (" and no rows" if empty else "")


def execute(con: duckdb.DuckDBPyConnection, query: str, scope: Scope, result: str) -> int:
    """Run `query`; the last statement's rows go to the temporary table `result`.

    Returns how many rows were read from CSV files. Raises duckdb.Error.
    """
    text, values = bind(query, scope)
    statements = con.extract_statements(text)
    if not statements:
        raise ConfigError("the query holds no statement")
    scanned = 0
    for statement in statements[:-1]:
        scanned += _run(con, statement.query, statement.named_parameters, values)
    last = statements[-1]
    body = last.query.strip().rstrip(";")
    return scanned + _run(con, f"CREATE TEMP TABLE {duck.quote(result)} AS {body}\n", last.named_parameters, values)


def _run(con: duckdb.DuckDBPyConnection, sql: str, names: set[str], values: dict[str, object]) -> int:
    con.execute(sql, {name: values[name] for name in names})
    return rows_scanned(con)
