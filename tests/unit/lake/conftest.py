"""A real lake under a temporary folder, and a DuckDB that brings rows."""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from adutora.io import duck
from adutora.io.lake import Commit, Lake, WriteRequest, WriteResult

NOON = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)


class Bench:
    """Writes rows given as SQL, and reads tables back as text."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "lake"
        self.lake = Lake(str(self.root))
        self.con = duck.connect(None, 1, folder)
        self._writes = 0

    def request(
        self,
        query: str,
        table: str = "silver.t",
        *,
        run: str = "r1",
        stage: str = "s",
        same: str | None = None,
        at: dt.datetime = NOON,
        ledger: Mapping[str, int] | None = None,
        rejected: str | None = None,
        **more: Any,
    ) -> WriteRequest:
        """`same` is the fingerprint; without it each write is another one."""
        self._writes += 1
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE given AS {query}")
        if rejected is not None:
            self.con.execute(f"CREATE OR REPLACE TEMP TABLE refused AS {rejected}")
        commit = Commit(run, "team.p", stage, same or f"f{self._writes}", at, ledger or {})
        return WriteRequest(table, "given", commit, rejected="refused" if rejected else None, **more)

    def write(self, query: str, table: str = "silver.t", **more: Any) -> WriteResult:
        return self.lake.write(self.con, self.request(query, table, **more))

    def read(self, table: str = "silver.t", columns: str = "*") -> list[tuple[Any, ...]]:
        self.lake.register(self.con, table, "back.t")
        return self.rows(f"SELECT {columns} FROM back.t")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.con.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({query}) ORDER BY ALL").fetchall()

    def types(self, table: str = "silver.t") -> dict[str, str]:
        return {column.name: column.type for column in self.lake.info(table).columns}


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.con.close()


def pytest_collection_modifyitems(items):
    """Each of these writes real tables, which takes longer than the fast gate may."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
