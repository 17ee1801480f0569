"""Tables as text, and how they compare with the golden ones of an example: on a laptop and on a cluster alike."""

import csv
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

EXAMPLES = Path(__file__).parents[1] / "examples"
OF_THE_RUN = ("_run_id", "_loaded_at", "_rejected_at", "_deleted_at")
Rows = list[list[str]]


def rows_of(table: str | Path, options: dict[str, str] | None = None) -> Rows:
    """Head and sorted rows of a Delta table as text, without columns that differ from run to run."""
    return texts(DeltaTable(str(table), storage_options=options).to_pyarrow_table())


def texts(table: pa.Table) -> Rows:
    """Head and sorted rows of an Arrow table as text, without columns that differ from run to run."""
    con = duckdb.connect()
    con.register("t", table)
    names = [name for name in con.sql("FROM t LIMIT 0").columns if name not in OF_THE_RUN]
    listed = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in names)
    rows = con.sql(f"SELECT {listed} FROM t").fetchall()
    return [names, *sorted(["" if value is None else value for value in row] for row in rows)]


def same(left: str, right: str) -> bool:
    """Numbers may differ in the last digits of a double."""
    if left == right:
        return True
    try:
        a, b = Decimal(left), Decimal(right)
    except InvalidOperation:
        return False
    return abs(a - b) <= Decimal("1e-9") * max(abs(a), abs(b))


def golden_of(name: str) -> dict[str, Rows]:
    """The golden tables of an example, by name."""
    out = {}
    for path in sorted((EXAMPLES / name / "golden").glob("*.csv")):
        with path.open(newline="") as file:
            out[path.stem] = list(csv.reader(file))
    return out


def write_golden(name: str, tables: Mapping[str, Rows]) -> None:
    """Replace the golden tables of an example."""
    golden = EXAMPLES / name / "golden"
    golden.mkdir(exist_ok=True)
    for old in golden.glob("*.csv"):
        old.unlink()
    for table, rows in tables.items():
        with (golden / f"{table}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def assert_golden(name: str, tables: Mapping[str, Rows]) -> None:
    """Compare tables with the golden ones of an example, cell by cell."""
    wanted = golden_of(name)
    assert sorted(tables) == sorted(wanted)
    for table, rows in tables.items():
        assert len(rows) == len(wanted[table]), table
        for got, right in zip(rows, wanted[table], strict=True):
            assert len(got) == len(right), table
            assert all(same(a, b) for a, b in zip(got, right, strict=True)), (table, got, right)
