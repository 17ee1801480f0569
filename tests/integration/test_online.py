"""The online store's contract, the same on both stores, against a real redis-server (conftest.py)."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import redis

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.io.online.base import OnlineStore, Publication
from adutora.io.online.sqlite import SqliteStore
from adutora.io.online.text import text_rows

pytestmark = pytest.mark.integration


@pytest.fixture(params=["redis", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OnlineStore]:
    if request.param == "redis":
        yield request.getfixturevalue("fresh_redis")
    else:
        with SqliteStore(tmp_path / "online.db") as store:
            yield store


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        yield con


def rows(*items: tuple[str | None, ...], names: tuple[str, ...] = ("n", "m")) -> Iterator[pa.RecordBatch]:
    """Yield rows of a key and its fields, two to a batch."""
    for start in range(0, len(items), 2):
        columns = [pa.array(column, pa.string()) for column in zip(*items[start : start + 2], strict=True)]
        yield pa.RecordBatch.from_arrays(columns, ["key", *names[: len(columns) - 1]])


CITY = Publication(prefix="city")
MERGE = Publication(prefix="city", mode="merge")
SET = Publication(prefix="city", visibility="set")


def test_publishes_and_reads(store: OnlineStore) -> None:
    result = store.publish(
        rows(("São Paulo:SP", "3", "65000.0"), ("Recife:PE", "", None), ("a%3Ab:c", "1", "x\r\n\0")), CITY
    )
    assert (result.published, result.deleted, result.unchanged, result.empty) == (3, 0, 0, 0)
    assert store.get("city:São Paulo:SP") == {"n": "3", "m": "65000.0"}
    assert store.get("city:Recife:PE") == {"n": ""}
    assert store.get("city:a%3Ab:c") == {"n": "1", "m": "x\r\n\0"}
    assert store.get("city:Olinda:PE") is None
    assert sorted(store.keys("city")) == ["city:Recife:PE", "city:São Paulo:SP", "city:a%3Ab:c"]


def test_overwrite_drops_fields_and_keys(store: OnlineStore) -> None:
    store.publish(rows(("a", "1", "2"), ("b", "1", "2"), ("c", "1", "2")), CITY)
    result = store.publish(rows(("a", "1", None), ("b", "1", "2")), CITY)
    assert (result.published, result.deleted, result.unchanged) == (2, 1, 1)
    assert store.get("city:a") == {"n": "1"}
    assert sorted(store.keys("city")) == ["city:a", "city:b"]
    assert store.get("city:c") is None


def test_merge_keeps_keys(store: OnlineStore) -> None:
    store.publish(rows(("a", "1", "2"), ("b", "1", "2")), CITY)
    result = store.publish(rows(("a", "9", None)), MERGE)
    assert (result.published, result.deleted) == (1, 0)
    assert store.get("city:a") == {"n": "9"}
    assert store.get("city:b") == {"n": "1", "m": "2"}
    assert store.publish(rows(("a", "9", None)), CITY).deleted == 1  # the keys of merges are known too


def test_twice_is_harmless(store: OnlineStore) -> None:
    for _ in range(2):
        result = store.publish(rows(("a", "1", "2"), ("b", "1", None)), CITY)
    assert (result.published, result.deleted, result.unchanged) == (2, 0, 2)


def test_no_rows_are_refused_where_there_are_keys(store: OnlineStore) -> None:
    assert store.publish(rows(), CITY).published == 0
    store.publish(rows(("a", "1", "2")), CITY)
    with pytest.raises(DataError, match="no rows to publish"):
        store.publish(rows(), CITY)
    assert store.get("city:a") is not None
    assert store.publish(rows(), MERGE).deleted == 0
    assert store.publish(rows(), Publication(prefix="city", allow_empty=True)).deleted == 1
    assert store.get("city:a") is None


def test_a_row_without_values_has_no_hash(store: OnlineStore) -> None:
    store.publish(rows(("a", "1", "2"), ("b", "1", "2")), CITY)
    for publication in (MERGE, CITY):
        result = store.publish(rows(("a", None, None), ("b", "1", "2")), publication)
        assert (result.published, result.empty, result.deleted) == (1, 1, 0)
        assert store.get("city:a") is None
        assert list(store.keys("city")) == ["city:b"]


def test_other_prefixes_are_left_alone(store: OnlineStore) -> None:
    store.publish(rows(("a", "1", "2")), Publication(prefix="city:x"))
    store.publish(rows(("a", "1", "2")), Publication(prefix="city.x"))
    store.publish(rows(("a", "1", "2"), ("b", "1", "2")), CITY)
    store.publish(rows(("a", "1", "2")), CITY)
    assert store.get("city:x:a") is not None
    assert store.get("city.x:a") is not None
    assert list(store.keys("city")) == ["city:a"]


def test_ttl(store: OnlineStore) -> None:
    short = Publication(prefix="city", ttl=1)
    store.publish(rows(("a", "1", "2"), ("b", "1", "2")), short)
    store.publish(rows(("b", "1", "2")), MERGE)  # the same hash, but to stay now
    assert store.get("city:a") is not None
    time.sleep(1.2)
    assert store.get("city:a") is None
    assert list(store.keys("city")) == ["city:b"]
    assert store.publish(rows(("b", "1", "2")), CITY).deleted == 0  # it was gone before


def test_set_is_switched_by_the_pointer(store: OnlineStore) -> None:
    store.publish(rows(("a", "1", "2"), ("b", "1", "2")), SET)
    first = store.current("city")
    assert first.startswith("city@")
    assert store.get("city:a") is None
    result = store.publish(rows(("a", "9", None)), SET)
    second = store.current("city")
    assert second != first
    assert (result.published, result.deleted) == (1, 1)
    assert store.get(f"{second}:a") == {"n": "9"}
    assert store.get(f"{first}:b") is not None  # a reader with the old pointer is in time
    assert list(store.keys("city")) == [f"{second}:a"]
    with pytest.raises(ConfigError, match="cannot be merged into"):
        store.publish(rows(("a", "1", "2")), MERGE)
    store.publish(rows(("a", "1", "2")), CITY)
    assert store.current("city") == "city"
    assert list(store.keys("city")) == ["city:a"]


def test_many_rows_and_wide_rows(store: OnlineStore, con: duckdb.DuckDBPyConnection) -> None:
    wide = ", ".join(f"i + {column} AS c{column}" for column in range(480))
    con.execute(f"CREATE TABLE wide AS SELECT i, repeat('x', 3000000) AS long, {wide} FROM range(12) t(i)")
    con.execute("CREATE TABLE many AS SELECT i, CASE WHEN i % 3 > 0 THEN i END AS maybe FROM range(25000) t(i)")
    assert store.publish(text_rows(con, "wide", ["i"], None), Publication(prefix="wide")).published == 12
    found = store.get("wide:7")
    assert found is not None
    assert (len(found), found["c479"], len(found["long"])) == (482, "486", 3_000_000)
    assert store.publish(text_rows(con, "many", ["i"], None), Publication(prefix="many")).published == 25_000
    assert [store.get(f"many:{i}") for i in (0, 9_999, 10_000, 24_999)] == [
        {"i": "0"}, {"i": "9999"}, {"i": "10000", "maybe": "10000"}, {"i": "24999"}
    ]  # fmt: skip
    assert store.publish(text_rows(con, "many", ["i"], None), Publication(prefix="many")).unchanged == 25_000


def test_an_error_among_the_rows_keeps_what_readers_have(store: OnlineStore) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield from rows(("a", "9", "9"))
        raise DataError("the query failed")

    store.publish(rows(("a", "1", "2"), ("b", "1", "2")), CITY)
    with pytest.raises(DataError, match="the query failed"):
        store.publish(broken(), CITY)
    assert store.get("city:b") == {"n": "1", "m": "2"}
    result = store.publish(rows(("a", "9", "9")), CITY)
    assert (result.published, result.deleted) == (1, 1)


def test_one_publication_at_a_time(tmp_path: Path, redis_server: Any, redis_client: redis.Redis) -> None:
    pairs: list[tuple[OnlineStore, OnlineStore]] = [
        (SqliteStore(tmp_path / "o.db"), SqliteStore(tmp_path / "o.db", wait_seconds=0.2)),
        (redis_server.store(), redis_server.store(wait_seconds=0.2)),
    ]
    for first, second in pairs:
        with first, second:
            with first.lease("city", "team.cities/run-1/publish"), pytest.raises(TemporaryError) as caught:
                second.publish(rows(("a", "1", "2")), CITY)
            assert second.publish(rows(("a", "1", "2")), CITY).published == 1
    assert "team.cities/run-1/publish is publishing 'city'" in str(caught.value)


# What SQLite alone can show.


def test_sqlite_troubles(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, but it is long enough to look like one" * 50)
    with pytest.raises(ConfigError, match="choose another file"):
        SqliteStore(tmp_path / "text.db").probe()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="online store"):
        SqliteStore(tmp_path / "file" / "online.db").probe()


def test_sqlite_full_disk(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "o.db") as store:
        store.publish(rows(("a", "1", "2")), CITY)
        pages = store._connection().execute("PRAGMA page_count").fetchone()[0]
        store._connection().execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(TemporaryError, match="full"):
            store.publish(rows(*[(str(i), "x" * 5000, "2") for i in range(50)]), CITY)
        assert list(store.keys("city")) == ["city:a"]


def _sqlite_and_die(path: Path) -> None:
    def mortal() -> Iterator[pa.RecordBatch]:
        yield from rows(*[(str(i), "2", "2") for i in range(20)])
        os.kill(os.getpid(), signal.SIGKILL)

    SqliteStore(path).publish(mortal(), CITY)


def test_sqlite_killed(tmp_path: Path) -> None:
    with SqliteStore(tmp_path / "o.db") as store:
        store.publish(rows(("a", "1", "2")), CITY)
        process = multiprocessing.get_context("spawn").Process(target=_sqlite_and_die, args=(tmp_path / "o.db",))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert list(store.keys("city")) == ["city:a"]
        assert store.publish(rows(("b", "1", "2")), CITY).deleted == 1
