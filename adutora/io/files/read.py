"""Read files of any format into one relation."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from adutora.errors import DataError
from adutora.io.casts import Target
from adutora.io.duck import quote, translate
from adutora.io.files.delimited import StrictCsv, read_tolerant
from adutora.io.files.jsonlines import read_jsonl
from adutora.io.files.logs import read_log
from adutora.io.files.options import ReadOptions
from adutora.io.files.parquet import read_parquet
from adutora.io.files.plain import Plain, prepare
from adutora.io.files.reading import SOURCE, Job, Reading, count, make_rejects
from adutora.io.objects import SourceFile


def read_files(
    con: duckdb.DuckDBPyConnection,
    files: Sequence[SourceFile],
    *,
    options: ReadOptions,
    relation: str,
    rejects: str,
    scratch: Path,
) -> Reading:
    """Create `relation` (the files' columns, and `_source` if asked for) and the table `rejects` of what did not fit.

    `rejects` has `_reason`, `_source` and `_row`: the row as JSON object, or the raw line as JSON string. Where all
    must fit (see `ReadOptions`), CSV and Parquet are read when the relation is, and `Reading.repair` deals with late
    errors. `con` must not be sealed yet. Each file is read once, whatever the list says.

    Raises DataError for what is wrong with a file, ConfigError for options that do not fit it.
    """
    unique = list({file.id: file for file in files}.values())
    if not unique:
        raise ValueError("no files")
    make_rejects(con, rejects)
    job = Job(con, options, relation, rejects, scratch)
    try:
        return read_parquet(job, unique) if options.format == "parquet" else _read_text(job, unique)
    except duckdb.Error as error:
        raise translate(error, f"reading {unique[0].path}{' and others' if len(unique) > 1 else ''}") from error


def _read_text(job: Job, files: Sequence[SourceFile]) -> Reading:
    options = job.options
    plains, warnings = _plains(files, options, job.scratch)
    if not plains:
        _no_rows(job.con, options, job.relation)
        return Reading(files, [], 0, warnings=warnings)
    if options.format == "csv" and not options.sets_aside:
        reading = StrictCsv(job, plains).reading
    else:
        read = {"csv": read_tolerant, "jsonl": read_jsonl, "log": read_log}[options.format]
        reading = read(job, plains)
        if not options.sets_aside:
            _refuse(job.con, job.rejects)
    reading.warnings.extend(warnings)
    return reading


def _no_rows(con: duckdb.DuckDBPyConnection, options: ReadOptions, relation: str) -> None:
    """Create the relation of files that are all empty: what columns are declared, and nothing in them."""
    targets = [Target.of(column) for column in options.columns or []]
    columns = {**{target.name: target.type for target in targets}, SOURCE: "VARCHAR"}
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in columns.items())
    con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(relation)} AS SELECT {nulls} WHERE false")


def _plains(files: Sequence[SourceFile], options: ReadOptions, scratch: Path) -> tuple[list[Plain], list[str]]:
    encoding = options.dialect.encoding if options.format == "csv" else "utf-8"
    plains, warnings = [], []
    for file in files:
        plain = prepare(file, scratch, encoding)
        if plain is not None:
            plains.append(plain)
        elif options.empty_ok:
            warnings.append(f"{file.path} is empty")
        elif options.format in ("jsonl", "log"):
            continue
        else:
            raise DataError(f"{file.path}: is empty", hint="not even a header line is there")
    return plains, warnings


def _refuse(con: duckdb.DuckDBPyConnection, rejects: str) -> None:
    """Raise DataError for what was set aside where nothing may be."""
    found = count(con, rejects)
    if not found:
        return
    source, reason = con.execute(f"SELECT _source, _reason FROM {quote(rejects)} LIMIT 1").fetchall()[0]
    more = f"; {found:,} such lines" if found > 1 else ""
    hint = "mend the file, or declare `columns` to set such rows aside"
    if "UTF-8" in reason:
        hint = f"set csv.encoding, for example to latin-1; or {hint}"
    raise DataError(f"{source}: {reason}{more}", hint=hint)
