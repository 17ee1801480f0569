"""The table as it will stand after a write, for checks that judge the table and not the rows of the write."""

from typing import TYPE_CHECKING

import duckdb

from adutora.io.duck import literal, quote, quote_table
from adutora.runtime.check_run import column_types
from adutora.spec.base import Output, Table

if TYPE_CHECKING:
    from adutora.io.lake import Commit, Lake

_CURRENT, _AFTER = "__adutora_ref.current", "__adutora_after"


def after_write(
    con: duckdb.DuckDBPyConnection,
    lake: "Lake",
    table: Table,
    output: Output,
    *,
    commit: "Commit",
    relation: str,
    gone: str | None,
) -> str:
    """Return a relation: what stands in the lake and stays there, and the rows of `relation`.

    `gone` is a relation of partition values: those partitions go whole. The result is exact, but for older rows of a
    merge with `latestBy`: the lake leaves them out, and here they take the place of the newer, delete it, or bring a
    deleted key back.
    """
    stays = None
    if output.mode != "overwrite" and lake.exists(table.name):
        lake.register(con, table.name, _CURRENT)
        stays = _stays(table, output, commit, relation, set(column_types(con, quote_table(_CURRENT))))
        if stays is not None and gone is not None:
            same = " AND ".join(
                f"k.{quote(name)} IS NOT DISTINCT FROM g.{quote(name)}" for name in table.partitionBy or ()
            )
            stays = f"SELECT * FROM ({stays}) k ANTI JOIN {quote(gone)} g ON {same}"
    comes = _comes(table, output, relation)
    if stays is None and comes == f"SELECT * FROM {relation}":
        return relation
    if stays is not None:
        wanted = column_types(con, relation)
        there = column_types(con, quote_table(_CURRENT))
        names = ", ".join(quote(name) for name in wanted if name in there) or "NULL AS __adutora_none"
        comes = f"SELECT {names} FROM ({stays}) UNION ALL BY NAME ({comes})"
    con.execute(f"CREATE OR REPLACE TEMP VIEW {_AFTER} AS {comes}")
    return _AFTER


def _stays(table: Table, output: Output, commit: "Commit", relation: str, there: set[str]) -> str | None:
    current = f"SELECT o.* FROM {quote_table(_CURRENT)} o"
    if output.mode == "append":
        return f"{current} WHERE NOT coalesce({_same_run(commit, there)}, false)"
    if output.mode == "merge" and output.missing and output.missing.action == "delete":
        return None
    names = table.key if output.mode == "merge" else table.partitionBy
    same = " AND ".join(f"o.{quote(name)} IS NOT DISTINCT FROM n.{quote(name)}" for name in names or ())
    return f"{current} ANTI JOIN {relation} n ON {same}" if same else None


def _same_run(commit: "Commit", there: set[str]) -> str:
    """Rows that this very stage appended before, in the same run: the write replaces them, but for a ledger's."""
    if "_run_id" not in there or commit.ledger:
        return "false"
    mine = f"_run_id = {literal(commit.run)}"
    if "_stage" not in there:
        return mine
    # Only the items of a fan-out have their name in `_stage`.
    item = f"_stage = {literal(commit.stage)}" if commit.stage.endswith("]") else "_stage IS NULL"
    return f"{mine} AND {item}"


def _comes(table: Table, output: Output, relation: str) -> str:
    query = f"SELECT * FROM {relation}"
    if output.mode != "merge":
        return query
    if output.latestBy:
        key = ", ".join(quote(name) for name in table.key or ())
        latest = f"row_number() OVER (PARTITION BY {key} ORDER BY {quote(output.latestBy)} DESC) = 1"
        query = f"{query} QUALIFY {latest}"
    return (
        f"SELECT * FROM ({query}) WHERE NOT coalesce((\n{output.deleteWhere}\n), false)"
        if output.deleteWhere
        else query
    )
