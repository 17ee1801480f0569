"""Queries that leave the connection free for the next one.

DuckDB runs nothing beside a result of `execute` that was not fetched to its end, and `fetchone` never gets there.
"""

from typing import Any

import duckdb


def rows(con: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """Return all rows of a small result."""
    return con.execute(query).fetchall()


def first(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """Return the first row of a query that gives one."""
    return rows(con, query)[0]


def number(con: duckdb.DuckDBPyConnection, query: str) -> int:
    """Return the one whole number that a query gives."""
    return int(first(con, query)[0])


def relation(con: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """Return a query to stream from, or to ask for columns, whatever the caller left unread."""
    con.complete()
    return con.sql(query)
