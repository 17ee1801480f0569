"""The SQLite store's file and messages; the contract itself is in tests/integration/test_online.py."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.io.connections import Connection
from adutora.io.online import Publication, open_store
from adutora.io.online.sqlite import SqliteStore
from adutora.spec.project import RedisConnection, S3Connection, SqliteConnection

ROWS = pa.RecordBatch.from_pydict({"key": ["a", "São Paulo"], "n": ["1", None], "m": ["2", "3"]})


def connection(settings: object, kind: str, root: Path) -> Connection:
    return Connection(name="online", type=kind, settings=settings, project_root=root)


def test_opens_the_file_of_the_connection(tmp_path: Path) -> None:
    settings = SqliteConnection.model_validate({"path": "data/online.db"})
    with open_store(connection(settings, "sqlite", tmp_path), tmp_path) as store:
        store.probe()
        store.publish(iter([ROWS]), Publication(prefix="city", ttl=60))
    with closing(sqlite3.connect(tmp_path / "data" / "online.db")) as file:
        found = file.execute("SELECT key, prefix, fields, expires_at IS NULL FROM hashes ORDER BY key").fetchall()
    assert [(key, prefix, json.loads(fields), forever) for key, prefix, fields, forever in found] == [
        ("city:São Paulo", "city", {"m": "3"}, 0),
        ("city:a", "city", {"n": "1", "m": "2"}, 0),
    ]


def test_refuses_other_connections(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="type s3, which is no online store"):
        open_store(connection(S3Connection(bucket="b"), "s3", tmp_path), tmp_path)
    with pytest.raises(ConfigError, match="Redis Cluster"):
        open_store(connection(RedisConnection(cluster=True), "redis", tmp_path), tmp_path)


def test_readers_see_nothing_of_a_publication_that_is_on_its_way(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "o.db") as writer, SqliteStore(tmp_path / "o.db") as reader:
        with writer.lease("city"):
            writer._connection().execute("INSERT INTO hashes VALUES ('city:a', 'city', NULL, 1, '{}')")
            assert reader.get("city:a") is None
        assert writer.get("city:a") is None
        writer.publish(iter([ROWS]), Publication(prefix="city"))
        assert reader.get("city:a") == {"n": "1", "m": "2"}


def test_a_locked_file_is_temporary(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "o.db") as first, SqliteStore(tmp_path / "o.db", wait_seconds=0.05) as second:
        second.probe()
        with first.lease("city"), pytest.raises(TemporaryError, match="locked"):
            second.publish(iter([ROWS]), Publication(prefix="town"))


def test_publication_refuses_nonsense() -> None:
    with pytest.raises(ConfigError, match="cannot be merged into"):
        Publication(prefix="city", mode="merge", visibility="set")
    with pytest.raises(ConfigError, match="ttl"):
        Publication(prefix="city", ttl=0)
