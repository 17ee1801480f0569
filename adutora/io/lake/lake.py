"""The lake: all tables of a project, by name."""

import datetime as dt
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import duckdb
from deltalake import DeltaTable

from adutora.errors import ConfigError, TemporaryError
from adutora.io.duck import quote
from adutora.io.lake import commits, maintain, read, sql
from adutora.io.lake.append import append
from adutora.io.lake.attempt import Attempt
from adutora.io.lake.describe import describe
from adutora.io.lake.failures import Conflict, translated
from adutora.io.lake.info import info
from adutora.io.lake.lock import WAIT, table_lock
from adutora.io.lake.merge import merge
from adutora.io.lake.overwrite import overwrite
from adutora.io.lake.partitions import overwrite_partitions
from adutora.io.lake.rejected import write_rejected
from adutora.io.lake.store import DELETED_SUFFIX, REJECTED_SUFFIX, Store
from adutora.io.lake.types import Figures, TableInfo, WriteRequest, WriteResult, ledger_app
from adutora.spec.nearest import did_you_mean

_MODES: dict[str, Callable[[Attempt], WriteResult]] = {
    "overwrite": overwrite,
    "append": append,
    "overwritePartitions": overwrite_partitions,
    "merge": merge,
}
_JSON_TYPES = frozenset({"BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE"})
_EXACT = 2**53  # JSON's readers hold numbers as doubles
_TRIES = 12
_PAUSE = 0.05  # seconds before the second try; doubles, up to two seconds


class Lake:
    """Tables under a root, `<root>/<layer>/<name>`; `layers` gives layers a root of their own.

    `storage_options` are delta-rs's, such as AWS_ENDPOINT_URL and AWS_ACCESS_KEY_ID, for roots on an object store.
    `lock_wait` is how many seconds a writer of a local table waits for another process.

    All methods raise TemporaryError if the store does not answer, is full or not permitted, and ConfigError if there
    is no such bucket or the credentials are refused.
    """

    def __init__(
        self,
        root: str,
        layers: Mapping[str, str] | None = None,
        storage_options: Mapping[str, str] | None = None,
        *,
        lock_wait: float = WAIT,
    ) -> None:
        self.store = Store(root, layers or {}, storage_options)
        self._lock_wait = lock_wait

    # Looking

    def exists(self, table: str) -> bool:
        """Say whether there is such a table."""
        return self.store.open(table) is not None

    def version(self, table: str) -> int | None:
        """Return a table's version, None if there is none."""
        found = self.store.open(table)
        return int(found.version()) if found is not None else None

    def tables(self) -> list[str]:
        """Return the names of all tables, sorted, without those of rejected rows and of deletions."""
        return self.store.tables()

    def batch(self, table: str, ledger: str) -> int | None:
        """Return the number of the last batch of a ledger that a table has, None if it has none."""
        found = self.store.open(table)
        number = found.transaction_version(ledger_app(ledger)) if found is not None else None
        return int(number) if number is not None else None

    def info(self, table: str, *, versions: int = 20) -> TableInfo:
        """Return what there is to know about a table. Raises ConfigError, naming the nearest, if it is missing."""
        return info(self._open(table), table, self.store.uri(table), versions)

    def sample(
        self, con: duckdb.DuckDBPyConnection, table: str, rows: int = 10, *, typed: bool = False
    ) -> tuple[list[str], list[list[Any]]]:
        """Return names of columns, and up to `rows` rows with every value as text or None.

        With `typed` booleans and numbers are those of JSON, where JSON's readers get the very same value: not decimals,
        whole numbers past 2^53, NaN and infinity.
        """
        relation = read.source_relation(con, self._open(table), "__adutora_sample")
        empty = sql.relation(con, f"SELECT * FROM {relation} LIMIT 0")
        names = empty.columns
        plain = {n for n, kind in zip(names, empty.types, strict=True) if typed and str(kind) in _JSON_TYPES}
        values = ", ".join(quote(n) if n in plain else f"CAST({quote(n)} AS VARCHAR)" for n in names)
        with translated(f"table {table}"):
            found = sql.rows(con, f"SELECT {values} FROM {relation} LIMIT {rows}")
        return names, [[_exact(value) for value in row] for row in found]

    # Reading

    def register(self, con: duckdb.DuckDBPyConnection, table: str, view: str, version: int | None = None) -> int:
        """Show a table as DuckDB view `schema.name`; return the version shown.

        Raises ConfigError, naming the nearest table, if it is missing.
        """
        return read.register(con, self._open(table, version), view)

    def register_changes(self, con: duckdb.DuckDBPyConnection, table: str, view: str, after: int, upto: int) -> None:
        """Show rows that came in versions (after, upto] and still stand; `after` -1 means from the beginning.

        Raises DataError if the table keeps no record of those versions any more.
        """
        read.register_changes(con, self._open(table, upto), view, after, upto)

    def changed_partitions(self, con: duckdb.DuckDBPyConnection, table: str, after: int, upto: int, into: str) -> None:
        """Make temp table `into`: partition values of all rows that versions (after, upto] added or removed.

        Raises ConfigError if the table is not partitioned, DataError if it keeps no record any more.
        """
        found = self._open(table, upto)
        if not found.metadata().partition_columns:
            raise ConfigError(f"{table} is not partitioned", hint="give it partitionBy, or read: all")
        read.changed_partitions(con, found, after, upto, into)

    def rejected(self, con: duckdb.DuckDBPyConnection, table: str, view: str) -> int | None:
        """Show the rejected rows of a table as a view; return the version, or None if there never were any."""
        found = self.store.open(table + REJECTED_SUFFIX)
        return read.register(con, found, view) if found is not None else None

    # Writing

    def write(self, con: duckdb.DuckDBPyConnection, request: WriteRequest) -> WriteResult:
        """Commit the rows of a relation, once: rejected rows first, then the data, each in one commit.

        A write that is done already changes nothing and returns what it returned then. One that loses a race against
        another writer is worked out anew; TemporaryError after some tries.

        Raises DataError if columns, types or keys do not fit, ConfigError for a request that cannot be.
        """
        lock = self.store.lock_path(request.table)
        with table_lock(lock, request.table, self._lock_wait):
            return self._persist(request.table, lambda: self._attempt(con, request))

    def _attempt(self, con: duckdb.DuckDBPyConnection, request: WriteRequest) -> WriteResult:
        table = self.store.open(request.table)
        if table is not None and commits.is_done(table, request.commit):
            return commits.recall(table, request.table, request.commit) or self._forgotten(con, table, request)
        attempt = Attempt(con, self.store, request, table)
        if request.mode not in _MODES:
            raise ConfigError(f"{request.mode!r} is no mode", hint=did_you_mean(request.mode, _MODES))
        try:
            with translated(f"table {request.table}"):
                attempt.rejected = write_rejected(attempt)
                result = _MODES[request.mode](attempt)
            describe(attempt)
        finally:
            with suppress(duckdb.Error):
                attempt.release()
        return result

    def _forgotten(self, con: duckdb.DuckDBPyConnection, table: DeltaTable, request: WriteRequest) -> WriteResult:
        # The mark is there, but the log entry with the figures has expired.
        attempt = Attempt(con, self.store, request, table)
        figures = Figures(rows=attempt.count(), total_rows=attempt.total())
        result = attempt.result(figures, int(table.version()), changed=True)
        return WriteResult(**{**result.__dict__, "repeated": True})

    def _persist(self, table: str, work: Callable[[], WriteResult]) -> WriteResult:
        pause = _PAUSE
        for _ in range(_TRIES):
            try:
                return work()
            except Conflict as error:
                last = error
            time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (spreads writers, hides nothing)
            pause = min(2.0, pause * 2)
        raise TemporaryError(f"table {table}: other writers were always faster, {_TRIES} times: {last}")

    # Upkeep

    def maintain(
        self,
        table: str,
        *,
        optimize: dt.timedelta | None = None,
        vacuum: dt.timedelta | None = None,
        now: dt.datetime | None = None,
    ) -> maintain.Upkeep:
        """Compact and clean up a table and those kept beside it, where it is due. Never fails a stage."""
        at = now or dt.datetime.now(dt.UTC)
        with table_lock(self.store.lock_path(table), table, self._lock_wait):
            for beside in (table + REJECTED_SUFFIX, table + DELETED_SUFFIX):
                found = self.store.open(beside)
                if found is not None:
                    maintain.maintain(found, beside, optimize, vacuum, at)
            return maintain.maintain(self._open(table), table, optimize, vacuum, at)

    def delete_where_older(self, table: str, column: str, before: dt.datetime) -> int:
        """Delete rows whose `column`, a date or timestamp, lies before an instant; return how many."""
        with table_lock(self.store.lock_path(table), table, self._lock_wait):
            for _ in range(_TRIES):
                try:
                    return maintain.delete_older(self._open(table), table, column, before)
                except Conflict:
                    time.sleep(_PAUSE)
        raise TemporaryError(f"retention of {table}: other writers were always faster")

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        found = self.store.open(table, version)
        if found is None:
            raise ConfigError(f"there is no table {table}", hint=did_you_mean(table, self.tables()))
        return found


def _exact(value: Any) -> Any:
    """Return a value, as text where a reader of JSON would get another one."""
    if isinstance(value, int) and abs(value) > _EXACT:
        return str(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
