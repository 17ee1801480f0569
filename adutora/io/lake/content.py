"""A hash of rows that does not depend on their order: to see that nothing changed without keeping the old rows."""

from collections.abc import Iterable

import duckdb

from adutora.io.duck import quote
from adutora.io.lake import sql
from adutora.io.lake.columns import Plan

_SALT = "'adutora'"


def aggregates(columns: Iterable[str]) -> str:
    """Return SQL for count, sum and xor of row hashes over columns, given by name.

    The sum tells how often a row occurs, which the xor alone would not.
    """
    names = ", ".join(quote(name) for name in columns) or "1"
    return f"count(*), CAST(sum(hash({names})) AS VARCHAR), CAST(bit_xor(hash({_SALT}, {names})) AS VARCHAR)"


def content_hash(con: duckdb.DuckDBPyConnection, plan: Plan, relation: str) -> str:
    """Return the hash of the rows as they would be written, and of their columns. System columns do not count."""
    data = [column for column in plan.columns if not column.system]
    figures = sql.first(con, f"SELECT {aggregates(c.name for c in data)} FROM ({plan.select(relation)})")
    schema = ",".join(f"{column.name}:{column.type.text}" for column in plan.columns)
    return ":".join([*(str(figure) for figure in figures), schema])
