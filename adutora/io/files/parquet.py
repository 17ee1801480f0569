"""Parquet: read where it lies; only what is cast is copied."""

from collections.abc import Sequence

import duckdb

from adutora.errors import DataError
from adutora.io.casts import Target
from adutora.io.duck import literal, quote
from adutora.io.files.reading import SOURCE, Job, Reading, described, finish, kept_columns
from adutora.io.objects import SourceFile

_PATH, _SHOWN = "__adutora_path", "__adutora_source"


def read_parquet(job: Job, files: Sequence[SourceFile]) -> Reading:
    """Make a view over the files; columns are the union of theirs. `rows_in` is what the files' own footers say."""
    con, options = job.con, job.options
    reading = Reading(files, [file.on_disk() for file in files], sum(_rows(con, file) for file in files))
    plain = job.helper("raw")
    try:
        con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(plain)} AS {_query(files)}")
        have = {name: kind for name, kind in described(con, plain).items() if name != _SHOWN}
    except duckdb.Error as error:
        raise DataError(f"{files[0].path}: {str(error).splitlines()[0]}") from error
    data = [name for name in have if name != SOURCE]  # ours replaces one that the file brings
    targets = kept_columns(data, options, files[0].path if len(files) == 1 else "the files")
    shown = f"{_SHOWN} AS {quote(SOURCE)}"
    if _needs_cast(have, targets):
        copy = job.helper("copy")
        columns = ", ".join([*(quote(name) for name in data), shown])
        con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(copy)} AS SELECT {columns} FROM {quote(plain)}")
        finish(job, copy, targets)
        return reading
    names = [quote(name) for name in (targets if options.columns else data)]
    columns = ", ".join([*names, shown] if options.source_column else names)
    con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(job.relation)} AS SELECT {columns} FROM {quote(plain)}")
    return reading


def _query(files: Sequence[SourceFile]) -> str:
    listed = ", ".join(literal(str(file.on_disk())) for file in files)
    shown = ", ".join(f"{literal(str(file.on_disk()))}: {literal(file.path)}" for file in files)
    call = f"read_parquet([{listed}], union_by_name = true, filename = {literal(_PATH)})"
    return f"SELECT * EXCLUDE ({_PATH}), MAP {{{shown}}}[{_PATH}] AS {_SHOWN} FROM {call}"


def _needs_cast(have: dict[str, str], targets: dict[str, Target]) -> bool:
    return any(have[name] != target.type or target.required or name != target.name for name, target in targets.items())


def _rows(con: duckdb.DuckDBPyConnection, file: SourceFile) -> int:
    try:
        found = con.execute(
            f"SELECT sum(num_rows) FROM parquet_file_metadata({literal(str(file.on_disk()))})"
        ).fetchall()
    except duckdb.Error as error:
        raise DataError(f"{file.path}: is no Parquet file: {str(error).splitlines()[0]}") from error
    return int(found[0][0] or 0)
