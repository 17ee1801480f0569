"""The online store in a SQLite file: a laptop's. A publication is one transaction, so readers see all or nothing.

Table `hashes` (key, prefix, fields as a JSON object, expires_at in ms since 1970 or null) is what readers read,
with `expires_at IS NULL OR expires_at > now`; `prefixes` has each prefix's current set.
"""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from adutora.errors import AdutoraError, ConfigError, TemporaryError
from adutora.io.online.base import GRACE_SECONDS, Publication, PublishResult, set_name, with_rows

if TYPE_CHECKING:
    import pyarrow as pa

RETIRED = -1  # generation of keys that only wait for the end of their grace

_SCHEMA = """
CREATE TABLE IF NOT EXISTS hashes (
  key TEXT PRIMARY KEY, prefix TEXT NOT NULL, expires_at INTEGER, generation INTEGER NOT NULL, fields TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS hashes_by_prefix ON hashes (prefix, generation);
CREATE INDEX IF NOT EXISTS hashes_by_expiry ON hashes (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS prefixes (prefix TEXT PRIMARY KEY, generation INTEGER NOT NULL, current TEXT NOT NULL);
"""
# `@` is in no prefix and comes just before `A`: so this is every set of a prefix, and uses the index.
_OWN = "(prefix = :prefix OR (prefix >= :prefix || '@' AND prefix < :prefix || 'A'))"
_LIVE = "(expires_at IS NULL OR expires_at > :now)"
_TEMPORARY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_NOMEM", "SQLITE_PROTOCOL"}


class SqliteStore:
    """See `OnlineStore`. The lease is the file's write lock; others wait `wait_seconds` for it."""

    def __init__(self, path: Path, *, wait_seconds: float = 30.0) -> None:
        self._path = path
        self._wait = wait_seconds
        self._opened: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def probe(self) -> None:
        """Return if the file can be opened and written; it is made if it is not there."""
        with self.lease(""):
            pass

    def get(self, key: str) -> dict[str, str] | None:
        """Return a hash, or None."""
        with self._translated():
            query = f"SELECT fields FROM hashes WHERE key = :key AND {_LIVE}"
            row = self._connection().execute(query, {"key": key, "now": _now()}).fetchone()
        if row is None:
            return None
        fields: dict[str, str] = json.loads(row[0])
        return fields

    def current(self, prefix: str) -> str:
        """Return what stands before the prefix's keys."""
        with self._translated():
            query = "SELECT current FROM prefixes WHERE prefix = ?"
            row = self._connection().execute(query, [prefix]).fetchone()
        return prefix if row is None else str(row[0])

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield live keys of the current set."""
        name = self.current(prefix)
        with self._translated():
            query = f"SELECT key FROM hashes WHERE prefix = :name AND {_LIVE}"
            with closing(self._connection().execute(query, {"name": name, "now": _now()})) as cursor:
                for row in cursor:
                    yield str(row[0])

    @contextmanager
    def lease(self, prefix: str, holder: str = "") -> Iterator[None]:
        """Begin to write; what is not committed in the end is undone. `prefix` and `holder` do not matter here."""
        with self._translated():
            connection = self._connection()
            nested = connection.in_transaction
            if not nested:
                connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            if not nested and connection.in_transaction:
                connection.rollback()

    def publish(self, rows: "Iterator[pa.RecordBatch]", publication: Publication) -> PublishResult:
        """Publish rows; see `OnlineStore`. Ends the lease's transaction."""
        with self.lease(publication.prefix, publication.run):
            some = with_rows(rows)
            with self._translated():
                work = _Work(self._connection(), publication)
                if not publication.overwrites and work.current != publication.prefix:
                    raise publication.refuse_merge(work.current)
                if some is None and publication.overwrites and not publication.allow_empty and work.has_keys():
                    raise publication.refuse_empty()
                result = work.run(some or iter(()))
                self._connection().commit()
                return result

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigError(f"online store {self._path}: {error.strerror or error}") from error
            connection = sqlite3.connect(self._path, timeout=self._wait, isolation_level=None)
            try:
                connection.execute("PRAGMA temp_store = MEMORY")  # one batch at a time
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._opened = connection
        return self._opened

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> AdutoraError:
        code = getattr(error, "sqlite_errorname", "")
        text = f"online store {self._path}: {error}"
        if any(code.startswith(name) for name in _TEMPORARY):
            hints = {"SQLITE_FULL": "free space; nothing was changed", "SQLITE_BUSY": "another run writes to it"}
            return TemporaryError(text, hint=hints.get(code))
        hint = "choose another file" if code == "SQLITE_NOTADB" else "see the connection's `path`"
        return ConfigError(text, hint=hint)


class _Work:
    """One publication within its transaction."""

    def __init__(self, connection: sqlite3.Connection, publication: Publication) -> None:
        self._connection = connection
        self._publication = publication
        self._now = _now()
        query = "SELECT generation, current FROM prefixes WHERE prefix = ?"
        row = connection.execute(query, [publication.prefix]).fetchone() or (0, publication.prefix)
        self._generation, self.current = int(row[0]) + 1, str(row[1])
        self._name = set_name(publication, self._generation)
        ttl = publication.ttl
        self._values = {
            "name": self._name,
            "prefix": publication.prefix,
            "generation": self._generation,
            "retired": RETIRED,
            "now": self._now,
            "grace": self._now + GRACE_SECONDS * 1000,
            "expires": None if ttl is None else self._now + ttl * 1000,
        }

    def has_keys(self) -> bool:
        return bool(self._count(f"SELECT count(*) FROM hashes WHERE {_OWN} AND generation <> :retired AND {_LIVE}"))

    def run(self, rows: "Iterator[pa.RecordBatch]") -> PublishResult:
        self._do("DELETE FROM hashes WHERE expires_at <= :now")
        published = unchanged = empty = deleted = 0
        self._do("CREATE TEMP TABLE IF NOT EXISTS incoming (key TEXT PRIMARY KEY, fields TEXT NOT NULL) WITHOUT ROWID")
        for batch in rows:
            hashes = list(_hashes(self._name, batch))
            whole = [item for item in hashes if item[1] != "{}"]
            unchanged += self._write(whole)
            published += len(whole)
            if len(whole) < len(hashes):
                empty += self._drop([key for key, fields in hashes if fields == "{}"])
        if self._publication.overwrites:
            deleted = self._do("DELETE FROM hashes WHERE prefix = :name AND generation <> :generation")
            deleted += self._retire()
        self._do("INSERT OR REPLACE INTO prefixes VALUES (:prefix, :generation, :name)")
        return PublishResult(published=published, deleted=deleted, unchanged=unchanged, empty=empty)

    def _write(self, hashes: list[tuple[str, str]]) -> int:
        """Write a batch; return how many hashes stood there already."""
        self._do("DELETE FROM temp.incoming")
        self._connection.executemany("INSERT INTO temp.incoming VALUES (?, ?)", hashes)
        # CROSS JOIN fixes the order: the batch outside, the table by its key.
        both = "temp.incoming i CROSS JOIN hashes h ON h.key = i.key AND h.fields = i.fields"
        unchanged = self._count(f"SELECT count(*) FROM {both}")
        self._do("INSERT OR REPLACE INTO hashes SELECT key, :name, :expires, :generation, fields FROM temp.incoming")
        return unchanged

    def _drop(self, keys: list[str]) -> int:
        self._connection.executemany("DELETE FROM hashes WHERE key = ?", [(key,) for key in keys])
        return len(keys)

    def _retire(self) -> int:
        """Let the other sets of this prefix expire; return how many of their keys the new one lacks."""
        others = f"{_OWN} AND prefix <> :name AND generation <> :retired"
        lacking = self._count(
            f"SELECT count(*) FROM hashes o WHERE {others} AND NOT EXISTS"
            " (SELECT 1 FROM hashes n WHERE n.key = :name || substr(o.key, length(o.prefix) + 1))"
        )
        self._do(
            "UPDATE hashes SET generation = :retired, "
            "expires_at = min(coalesce(expires_at, :grace), :grace)"
            f" WHERE {others}"
        )
        return lacking

    def _do(self, sql: str) -> int:
        return self._connection.execute(sql, self._values).rowcount

    def _count(self, sql: str) -> int:
        return int(self._connection.execute(sql, self._values).fetchone()[0])


def _hashes(name: str, batch: "pa.RecordBatch") -> Iterator[tuple[str, str]]:
    """Yield whole keys, each with its fields as a JSON object that has no nulls."""
    names = batch.schema.names[1:]
    keys, *columns = (column.to_pylist() for column in batch.columns)
    for key, *values in zip(keys, *columns, strict=True):
        fields = {field: value for field, value in zip(names, values, strict=True) if value is not None}
        yield f"{name}:{key}", json.dumps(fields, ensure_ascii=False)


def _now() -> int:
    return int(time.time() * 1000)
