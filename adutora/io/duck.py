"""DuckDB, the engine of every stage: one private in-memory database a process, which spills to scratch."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError

_STORE = re.compile(r"Generic S3 error|LocalFileSystem error|Object Store error|Kernel error|DeltaError")

_KINDS: tuple[tuple[tuple[type[duckdb.Error], ...], type[AdutoraError]], ...] = (
    ((duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException), ConfigError),
    ((duckdb.InternalException, duckdb.FatalException), AdutoraError),
)


def quote(name: str) -> str:
    """Return `name` as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_table(name: str) -> str:
    """Return `layer.name` as a SQL identifier of two parts."""
    return ".".join(quote(part) for part in name.split(".", 1))


def literal(text: str) -> str:
    """Return `text` as a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def connect(
    memory: int | None, threads: int | None, scratch: Path, most_scratch: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a private database.

    `memory` is the limit in bytes for DuckDB's buffers, past which it spills into `scratch`; `threads` the number of
    workers (default: all cores); `most_scratch` what it may spill, in bytes. No extension is ever loaded or fetched by
    itself.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(scratch / "duckdb"),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "preserve_insertion_order": "true",
    }
    if memory is not None:
        config["memory_limit"] = f"{memory}B"
    if threads is not None:
        config["threads"] = str(max(1, threads))
    con = duckdb.connect(":memory:", config=config)
    con.execute("SET TimeZone = 'UTC'")
    if most_scratch is not None:
        con.execute(f"SET max_temp_directory_size = '{most_scratch}B'")
    return con


def seal(con: duckdb.DuckDBPyConnection, allowed_paths: Sequence[str] = ()) -> None:
    """Close the door before a user's SQL runs: only `allowed_paths` can be read, and no setting changed."""
    [(open_door,)] = con.execute("SELECT current_setting('enable_external_access')").fetchall()
    if not open_door:
        return
    paths = ", ".join(literal(path) for path in allowed_paths)
    con.execute(f"SET allowed_paths = [{paths}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours: `what` names the thing that was done, for the message."""
    try:
        yield
    except duckdb.Error as error:
        raise translate(error, what) from error


def is_store_failure(error: duckdb.Error) -> bool:
    """Say whether an error comes from the store behind a table that was being read."""
    return bool(_STORE.search(str(error)))


def translate(error: duckdb.Error, what: str) -> AdutoraError:
    """Return our error for one of DuckDB's, by what should happen next."""
    text = str(error).strip()
    if is_store_failure(error):
        return TemporaryError(f"{what}: the lake did not answer: {_first(text)}")
    if isinstance(error, duckdb.OutOfMemoryException):
        return _out_of_memory(text, what)
    if isinstance(error, duckdb.IOException) and "No space left" in text:
        return TemporaryError(f"{what}: the disk is full: {_first(text)}", hint="free space or name another scratch")
    if isinstance(error, duckdb.PermissionException):
        return ConfigError(f"{what}: {_first(text)}", hint="a query sees its declared inputs and nothing else")
    kind = next((ours for theirs, ours in _KINDS if isinstance(error, theirs)), DataError)
    return kind(f"{what}: {text}")


def _out_of_memory(text: str, what: str) -> AdutoraError:
    lower = text.lower()
    if ("temporary" in lower and "space" in lower) or "failed to offload" in lower:
        return TemporaryError(f"{what}: scratch is full: {_first(text)}", hint="raise resources.scratch or free space")
    return DataError(f"{what}: out of memory: {_first(text)}", hint="raise resources.memory of the stage")


def _first(text: str) -> str:
    return text.splitlines()[0] if text else text
