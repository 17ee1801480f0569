"""`sql` on DuckDB: statements one by one, `$(…)` bound, nothing readable but the declared inputs."""

from typing import TYPE_CHECKING

import duckdb

from adutora.errors import ConfigError
from adutora.io import duck
from adutora.runtime.inputs import profile, read_lazily, rows_scanned
from adutora.runtime.substitution import Scope, bind
from adutora.stages.sql.spec import Sql

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext

RESULT = "__adutora_result"


def run(spec: Sql, ctx: "StageContext") -> None:
    """Run the statements and write the last one's rows."""
    ctx.load_inputs()
    profile(ctx.con)
    duck.seal(ctx.con, ctx.readable)
    with duck.translated(f"stage {ctx.config.name!r}: sql"):
        scanned = read_lazily(ctx, lambda: execute(ctx.con, spec.query, ctx.scope, RESULT))
    if any(reading.rows_in is None for reading in ctx.readings):
        ctx.outcome.rows_in = (ctx.outcome.rows_in or 0) + scanned
    ctx.write(RESULT, rejected=_rejected(ctx))


def _rejected(ctx: "StageContext") -> str | None:
    """Return one relation of the rows that inputs refused."""
    if not ctx.rejects:
        return None
    union = " UNION ALL ".join(f"SELECT * FROM {duck.quote(name)}" for name in ctx.rejects)
    ctx.con.execute(f"CREATE TEMP TABLE __adutora_refused AS {union}")
    return "__adutora_refused"


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
