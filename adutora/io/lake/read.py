"""Tables as DuckDB sees them: whole, or what came between two versions."""

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from adutora.io.duck import quote, quote_table
from adutora.io.lake import sql
from adutora.io.lake.failures import FilesGone, translated
from adutora.io.lake.schema import from_delta

_CHANGE = "_change_type"
_ADDED = "('insert', 'update_postimage')"
_REMOVED = "('delete', 'update_preimage')"


def source_relation(con: duckdb.DuckDBPyConnection, table: DeltaTable, name: str) -> str:
    """Register a table, at the version it was opened at, under a name of the system's; return the name.

    DuckDB pushes columns and filters down; partition values, added columns and vacuumed-away history are delta-rs's
    business. Works on a sealed connection too.
    """
    con.unregister(name)
    con.register(name, table.to_pyarrow_dataset())
    return name


def create_view(con: duckdb.DuckDBPyConnection, view: str, relation: str) -> None:
    """Show a relation under the name `schema.name`, or a plain name."""
    schema, dot, _ = view.partition(".")
    if dot:
        con.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(schema)}")
    con.execute(f"CREATE OR REPLACE VIEW {quote_table(view)} AS SELECT * FROM {quote(relation)}")


def system_name(view: str, suffix: str = "") -> str:
    """Return the system's name for what stands behind a view."""
    return f"__adutora_{view.replace('.', '__')}{suffix}"


def register(con: duckdb.DuckDBPyConnection, table: DeltaTable, view: str) -> int:
    """Show a table as a view; return its version."""
    with translated(f"table {view}"):
        create_view(con, view, source_relation(con, table, system_name(view)))
    return int(table.version())


def register_changes(con: duckdb.DuckDBPyConnection, table: DeltaTable, view: str, after: int, upto: int) -> None:
    """Show the rows that came in versions (after, upto] and are still there at `upto`, as a view.

    Rows that were replaced by equal ones are not new. The rows are materialised.
    """
    columns = list(from_delta(table.schema().to_json()))
    names = ", ".join(quote(name) for name in columns)
    changes, kept = system_name(view, "_changes"), system_name(view, "_new")
    if after >= upto:
        source = source_relation(con, table, system_name(view))
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(kept)} AS SELECT {names} FROM {quote(source)} LIMIT 0")
        create_view(con, view, kept)
        return
    _load(con, table, changes, after, upto, [*columns, _CHANGE])
    added = f"SELECT {names} FROM {quote(changes)} WHERE {_CHANGE} IN {_ADDED}"
    removed = f"SELECT {names} FROM {quote(changes)} WHERE {_CHANGE} IN {_REMOVED}"
    any_removed = sql.number(con, f"SELECT count(*) FROM ({removed} LIMIT 1)")
    query = f"{added} EXCEPT ALL {removed}" if any_removed else added
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(kept)} AS {query}")
    con.execute(f"DROP TABLE {quote(changes)}")
    create_view(con, view, kept)


def changed_partitions(con: duckdb.DuckDBPyConnection, table: DeltaTable, after: int, upto: int, into: str) -> None:
    """Make temp table `into`: the values of the partition columns of all rows that versions (after, upto] touched."""
    columns = list(table.metadata().partition_columns)
    names = ", ".join(quote(name) for name in columns)
    if after >= upto:
        there = from_delta(table.schema().to_json())
        items = ", ".join(f"CAST(NULL AS {there[name].type.sql}) AS {quote(name)}" for name in columns)
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(into)} AS SELECT {items} LIMIT 0")
        return
    _load(con, table, into, after, upto, columns)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(into)} AS SELECT DISTINCT {names} FROM {quote(into)}")


def _load(
    con: duckdb.DuckDBPyConnection, table: DeltaTable, into: str, after: int, upto: int, columns: list[str]
) -> None:
    what = f"changes of versions {after + 1} to {upto}"
    try:
        with translated(what):
            feed = table.load_cdf(after + 1, upto, columns=columns)
            con.register("__adutora_feed", pa.RecordBatchReader.from_stream(feed))
            try:
                con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(into)} AS SELECT * FROM __adutora_feed")
            finally:
                con.unregister("__adutora_feed")
    except FilesGone as error:
        raise FilesGone(
            f"{what}: the table keeps no record of them any more", hint="run with --full-refresh"
        ) from error
