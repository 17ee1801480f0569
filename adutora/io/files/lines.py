"""Files of lines: every line into a table, those that are too long or no UTF-8 set aside."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from adutora.io.duck import literal, quote, translate
from adutora.io.files.plain import Plain, scratch_path
from adutora.io.files.reading import SOURCE, Job, add_rejects
from adutora.io.files.records import Shape, count_records, scan

LINE, NUMBER = "__adutora_line", "__adutora_number"
_SEPARATOR = "\x1f"  # stands in no JSON text and hardly in a log; where it does, the scanner reads the file
_SHAPE = Shape(1, _SEPARATOR, "", "", header=False)
_COUNTED = Shape(1, _SEPARATOR, "\x00", "\x00", header=False)  # no quotes: a NUL sends the file to the scanner


def load_lines(job: Job, plains: Sequence[Plain], table: str) -> int:
    """Create `table` of `__adutora_line`, `__adutora_number` (counts from 1 in each file) and `_source`.

    Blank lines are no records. Returns the number of records, good or set aside.
    """
    job.con.execute(
        f"CREATE OR REPLACE TEMP TABLE {quote(table)} ({LINE} VARCHAR, {NUMBER} BIGINT, {quote(SOURCE)} VARCHAR)"
    )
    bad = sum(_load(job, plain, table) for plain in plains)
    job.con.execute(f"DELETE FROM {quote(table)} WHERE {LINE} IS NULL OR trim({LINE}, E' \\t\\r') = ''")
    return job.count(table) + bad


def _load(job: Job, plain: Plain, table: str) -> int:
    """Load one file. Returns the number of lines set aside."""
    con, before = job.con, job.count(table)
    con.begin()
    try:
        _insert(con, plain.path, plain.shown, table)
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.PermissionException) as error:
        con.rollback()
        raise translate(error, f"reading {plain.shown}") from error
    except duckdb.Error:
        con.rollback()
    else:
        if job.count(table) - before == count_records(plain, _COUNTED):
            con.commit()
            return 0
        con.rollback()
    result = scan(plain, _SHAPE, scratch_path(job.scratch, plain.source, "clean.txt"), job.options.max_record)
    _insert_scanned(con, result.clean, plain.shown, table)
    add_rejects(job, result.bad_path)
    result.clean.unlink()
    result.bad_path.unlink()
    return result.bad


def _call(path: Path, separator: str, more: str = "") -> str:
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, columns = {{'{LINE}': 'VARCHAR'}}, header = false, "
        f"delim = {literal(separator)}, quote = '', escape = '', comment = '', nullstr = ''{more})"
    )


def _insert(con: duckdb.DuckDBPyConnection, path: Path, shown: str, table: str, more: str = "") -> None:
    con.execute(
        f"INSERT INTO {quote(table)} SELECT {LINE}, row_number() OVER (), {literal(shown)} "
        f"FROM {_call(path, _SEPARATOR, more)}"
    )


def _insert_scanned(con: duckdb.DuckDBPyConnection, path: Path, shown: str, table: str) -> None:
    """Load a clean copy through Python in slices: its lines may hold any byte but a line end."""
    import pyarrow as pa

    number = 0
    with path.open("rb") as file:
        while lines := file.readlines(8 << 20):
            texts = [line.rstrip(b"\r\n").decode("utf-8") for line in lines]
            arrow = pa.table(
                {
                    "line": pa.array(texts, pa.large_string()),
                    "number": pa.array(range(number + 1, number + 1 + len(texts))),
                }
            )
            number += len(texts)
            con.register("__adutora_lines", arrow)
            con.execute(f"INSERT INTO {quote(table)} SELECT line, number, {literal(shown)} FROM __adutora_lines")
            con.unregister("__adutora_lines")
