"""File inputs of a stage: where they may lie, and how a stage reads them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import duckdb

from adutora.errors import AdutoraError, ConfigError, DataError
from adutora.io.files.options import ReadOptions, format_of
from adutora.io.files.read import read_files
from adutora.io.files.reading import Reading
from adutora.io.objects import Folder, SourceFile, check_pattern, is_pattern, local_file, none_found
from adutora.spec.base import Input

T = TypeVar("T")
_TRIES = 4


def load_file_input(
    con: duckdb.DuckDBPyConnection,
    given: Input,
    *,
    files_root: Path,
    cwd: Path | None = None,
    relation: str,
    rejects: str,
    scratch: Path,
) -> Reading:
    """Make the files of `given` readable as `relation`; what does not fit declared `columns` goes to `rejects`.

    `given.file` is substituted. `cwd` is set where its path came from a parameter's value that the user gave: then it
    counts from there and may lie anywhere; else it stays under `files_root`.

    Raises ConfigError for a path that may not be, DataError for a file that is missing or not what it should be.
    """
    path = given.file or ""
    files = find_input_files(path, files_root, cwd)
    options = ReadOptions(
        format=format_of(path, given.format), csv=given.csv, log=given.log, columns=given.columns or None
    )
    return read_files(con, files, options=options, relation=relation, rejects=rejects, scratch=scratch)


def find_input_files(path: str, files_root: Path, cwd: Path | None = None) -> Sequence[SourceFile]:
    """Return the files of an input; see `load_file_input`."""
    if "://" in path:
        raise ConfigError(
            f"file {path!r} is a URL, and a file input is a path",
            hint="bring it in with an ingest stage and a connection (s3 or http), then read its table",
        )
    if cwd is None:
        source = Folder(files_root)
        files = source.find(check_pattern(path))
        if not files:
            raise none_found(source, check_pattern(path))
        return files
    return _anywhere(path, cwd)


def _anywhere(path: str, cwd: Path) -> Sequence[SourceFile]:
    """Return the files of a path that a user gave, from where the user stands."""
    if not path:
        raise ConfigError("the path of a file input is empty")
    if "\x00" in path:
        raise ConfigError(f"path {path!r} names no file")
    whole = cwd / Path(path).expanduser()
    if whole.is_file():
        return [local_file(whole, path)]
    if whole.is_dir():
        raise DataError(f"{path} is a folder", hint=f"write {path.rstrip('/')}/*.csv for the files in it")
    fixed = whole
    while is_pattern(str(fixed)):
        fixed = fixed.parent
    if fixed == whole:
        fixed = whole.parent
    if not fixed.is_dir():
        raise DataError(f"there is no file {path}", hint=f"folder {fixed} is not there; looked from {cwd}")
    pattern = whole.relative_to(fixed).as_posix()
    shown = path[: len(path) - len(pattern)] if path.endswith(pattern) else f"{fixed}/"
    source = Folder(fixed, shown=shown)
    files = source.find(pattern)
    if not files:
        raise none_found(source, pattern)
    return files


def recovering(con: duckdb.DuckDBPyConnection, readings: Sequence[Reading], action: Callable[[], T]) -> T:
    """Run `action`, which reads lazy relations; where a late row breaks one, mend the relation and run it again.

    The action runs in a transaction that is rolled back before it is tried again. Raises DataError that names file,
    line and reason where mending is no help.
    """
    for _ in range(_TRIES * max(1, len(readings))):
        con.begin()
        try:
            result = action()
            con.commit()
        except BaseException as error:
            _roll_back(con)
            if isinstance(error, AdutoraError) and not isinstance(error.__cause__, duckdb.Error):
                raise
            _mend(readings, error)
            continue
        return result
    raise DataError("the input files could not be read")


def _roll_back(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.rollback()
    except duckdb.Error:
        return  # the error ended the transaction already


def _mend(readings: Sequence[Reading], error: BaseException) -> None:
    """Let the reading that an error speaks of repair itself; raises the error where none can."""
    cause = error.__cause__ if isinstance(error.__cause__, duckdb.Error) else error
    lazy = [reading for reading in readings if reading.repair is not None]
    text = str(cause)
    named = [
        reading
        for reading in lazy
        if f"CSV value of {reading.name}." in text or any(str(path) in text for path in reading.readable)
    ]
    if not isinstance(cause, duckdb.Error) or "CSV" not in text or not lazy:
        raise error
    for reading in named or lazy:
        if reading.repair is not None:
            reading.repair(cause)
