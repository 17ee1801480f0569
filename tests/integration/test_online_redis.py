"""What the online store on Redis adds to the contract in test_online.py: readers, strangers, troubles, deaths."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest
import redis

from adutora.errors import ConfigError, TemporaryError
from adutora.io.online.base import GRACE_SECONDS, Publication
from adutora.io.online.redis import RedisStore
from adutora.io.online.redis_link import Link

pytestmark = pytest.mark.integration
Server = Any  # conftest.RedisServer
CITY = Publication(prefix="city")


def rows(
    *items: tuple[str | None, ...], names: tuple[str, ...] = ("n", "m"), size: int = 2
) -> Iterator[pa.RecordBatch]:
    """Yield rows of a key and its fields, `size` to a batch."""
    for start in range(0, len(items), size):
        columns = [pa.array(column, pa.string()) for column in zip(*items[start : start + size], strict=True)]
        yield pa.RecordBatch.from_arrays(columns, ["key", *names[: len(columns) - 1]])


CITY = Publication(prefix="city")
MERGE = Publication(prefix="city", mode="merge")
SET = Publication(prefix="city", visibility="set")


def test_redis_is_readable_by_itself(fresh_redis: RedisStore, redis_client: redis.Redis) -> None:
    fresh_redis.publish(rows(("São Paulo", "3", "65000.0")), Publication(prefix="city", ttl=60))
    assert redis_client.hgetall("city:São Paulo") == {"n": "3", "m": "65000.0"}
    assert 0 < redis_client.pttl("city:São Paulo") <= 60_000
    assert list(redis_client.scan_iter("city*")) == ["city:São Paulo"]
    assert redis_client.exists("@adutora:lock:city") == 0


def test_redis_readers_never_see_less_than_a_whole_hash(fresh_redis: RedisStore, redis_server: Server) -> None:
    versions = [[(str(i), v, v) for i in range(500)] for v in ("1", "2")]
    fresh_redis.publish(rows(*versions[0], size=500), CITY)
    seen: set[tuple[str, ...]] = set()
    done = threading.Event()

    def read() -> None:
        with redis.Redis(port=redis_server.port, decode_responses=True) as reader:
            while not done.is_set():
                pipe = reader.pipeline(transaction=False)
                for i in range(0, 500, 25):
                    pipe.hgetall(f"city:{i}")
                seen.update(tuple(sorted(found.items())[0:2]) if found else () for found in pipe.execute())  # type: ignore[misc]

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        names = ("n", "m") if turn % 2 else ("x", "y")
        fresh_redis.publish(rows(*versions[turn % 2], names=names, size=500), CITY)
    done.set()
    reader.join()
    whole = {(("m", v), ("n", v)) for v in "12"} | {(("x", v), ("y", v)) for v in "12"}
    assert seen <= whole
    assert len(seen) > 1


def test_redis_leaves_strangers_alone(fresh_redis: RedisStore, redis_client: redis.Redis) -> None:
    redis_client.hset("city:theirs", "x", "1")
    fresh_redis.publish(rows(("a", "1", "2"), ("b", "1", "2")), CITY)
    fresh_redis.publish(rows(("a", "1", "2")), CITY)
    assert redis_client.hgetall("city:theirs") == {"x": "1"}
    redis_client.rpush("city:list", "1")
    with pytest.raises(ConfigError, match="city:list"):
        fresh_redis.publish(rows(("0", "1", "2"), ("list", "1", "2")), CITY)
    assert redis_client.lrange("city:list", 0, -1) == ["1"]
    assert fresh_redis.publish(rows(("a", "1", "2")), CITY).deleted == 1  # the key that came before the list was known
    assert redis_client.exists("city:list") == 1


def test_redis_a_late_writer_is_kept_out(redis_server: Server, redis_client: redis.Redis) -> None:
    with redis_server.store(lease_seconds=0.3) as late, redis_server.store() as next_one:

        def slow() -> Iterator[pa.RecordBatch]:
            yield from rows(("a", "old", "old"))
            redis_client.delete("@adutora:lock:city")  # as if it had slept past its lease
            next_one.publish(rows(("a", "new", "new")), CITY)
            yield from rows(*[(str(i), "old", "old") for i in range(50)])

        with pytest.raises(TemporaryError, match="another run publishes"):
            late.publish(slow(), CITY)
    assert redis_client.hgetall("city:a") == {"n": "new", "m": "new"}
    assert redis_client.exists("city:1") == 0


def test_redis_forgets_expired_keys_of_merges(fresh_redis: RedisStore, redis_client: redis.Redis) -> None:
    brief = Publication(prefix="city", mode="merge", ttl=1)
    fresh_redis.publish(rows(*[(f"old{i}", "1", "2") for i in range(1500)]), brief)
    time.sleep(1.2)
    for turn in range(4):
        fresh_redis.publish(rows((f"new{turn}", "1", "2")), brief)
    assert redis_client.hlen("@adutora:index:city") < 10


def test_redis_down_before(start_redis: Callable[..., Server]) -> None:
    stopped = start_redis()
    stopped.stop()
    store = stopped.store()
    store._link._patience = 0.3
    with pytest.raises(TemporaryError, match=f"127.0.0.1:{stopped.port} does not answer"):
        store.publish(rows(("a", "1", "2")), CITY)
    with pytest.raises(TemporaryError, match=f"127.0.0.1:{stopped.port} does not answer"):
        store.probe()


def test_redis_that_restarts_during_a_publication(start_redis: Callable[..., Server]) -> None:
    ours = start_redis()

    def interrupted() -> Iterator[pa.RecordBatch]:
        yield from rows(*[(str(i), "1", "2") for i in range(20)])
        ours.stop()
        ours.start()
        yield from rows(("z", "1", "2"))

    with ours.store() as store:
        with pytest.raises(TemporaryError, match="restarted during the publication"):
            store.publish(interrupted(), CITY)
        assert store.publish(rows(("z", "1", "2")), CITY).published == 1


def test_redis_that_dies_during_a_publication(start_redis: Callable[..., Server]) -> None:
    ours = start_redis()

    def interrupted() -> Iterator[pa.RecordBatch]:
        yield from rows(("a", "1", "2"))
        ours.stop()
        yield from rows(("z", "1", "2"))

    with ours.store() as store:
        store._link._patience = 0.5
        with pytest.raises(TemporaryError, match="does not answer"):
            store.publish(interrupted(), CITY)


def test_redis_reconnects_by_itself(fresh_redis: RedisStore, redis_client: redis.Redis) -> None:
    def interrupted() -> Iterator[pa.RecordBatch]:
        for i in range(20):
            yield from rows((str(i), "1", "2"))
            redis_client.client_kill_filter(_type="normal", skipme=True)
            if i == 10:
                redis_client.script_flush()

    assert fresh_redis.publish(interrupted(), CITY).published == 20
    assert len(list(fresh_redis.keys("city"))) == 20


def test_redis_wrong_password(start_redis: Callable[..., Server]) -> None:
    ours = start_redis("--requirepass", "right")
    for password in ("wrong", None):
        with pytest.raises(ConfigError, match=r"credentials|authentication|Authentication"):
            ours.store(password=password).probe()
    ours.store(password="right").probe()


def test_redis_password_that_nobody_asked_for(fresh_redis: RedisStore, redis_server: Server) -> None:
    with pytest.raises(ConfigError, match="credentials"):
        redis_server.store(user="someone", password="x").probe()
    with pytest.raises(ConfigError, match="DB index"):
        redis_server.store(database=99).probe()


def test_redis_out_of_memory_keeps_every_hash_whole(start_redis: Callable[..., Server]) -> None:
    ours = start_redis()
    with ours.store() as store, redis.Redis(port=ours.port, decode_responses=True) as admin:
        store.publish(rows(*[(str(i), "1" * 50, "1") for i in range(2000)]), CITY)
        admin.config_set("maxmemory", int(admin.info("memory")["used_memory"]) + 300_000)
        with pytest.raises(TemporaryError, match="maxmemory"):
            store.publish(rows(*[(str(i), "2" * 3000, "2") for i in range(2000)]), CITY)
        found = [admin.hgetall(f"city:{i}") for i in range(2000)]
        assert {(each["n"][0], each["m"]) for each in found} == {("1", "1"), ("2", "2")}
        admin.config_set("maxmemory", 0)
        assert store.publish(rows(("1", "2", "2")), CITY).deleted == 1999


def test_redis_replica_and_missing_rights(start_redis: Callable[..., Server]) -> None:
    ours = start_redis()
    with redis.Redis(port=ours.port) as admin:
        admin.acl_setuser("reader", enabled=True, passwords=["+x"], keys=["*"], commands=["+@read", "+@connection"])
        with ours.store(user="reader", password="x") as store, pytest.raises(ConfigError, match="the user needs"):
            store.publish(rows(("a", "1", "2")), CITY)
        admin.replicaof("127.0.0.1", 1)
        with ours.store() as store, pytest.raises(TemporaryError, match="name the primary"):
            store.publish(rows(("a", "1", "2")), CITY)


def _publish_and_die(port: int, after: int, visibility: str) -> None:
    """In a process of its own: die, as by kill -9, after some batches have been sent."""

    def mortal() -> Iterator[pa.RecordBatch]:
        for sent, batch in enumerate(rows(*[(str(i), "2", None) for i in range(20)])):
            if sent == after:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    publication = Publication(prefix="city", ttl=60, visibility=visibility)  # type: ignore[arg-type]
    RedisStore(host="127.0.0.1", port=port, lease_seconds=1).publish(mortal(), publication)


@pytest.mark.parametrize("visibility", ["key", "set"])
def test_redis_killed_at_each_step(redis_server: Server, redis_client: redis.Redis, visibility: str) -> None:
    """Whenever it dies, every hash is whole and has its TTL, and a rerun gives the same end."""
    kind = Publication(prefix="city", ttl=60, visibility=visibility)  # type: ignore[arg-type]
    context = multiprocessing.get_context("spawn")
    with redis_server.store() as store:
        store.publish(rows(*[(str(i), "1", "1") for i in range(30)]), kind)
        for after in (0, 1, 5, 9):
            process = context.Process(target=_publish_and_die, args=(redis_server.port, after, visibility))
            process.start()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            before = list(store.keys("city"))
            assert len(before) == 30
            for key in before:
                assert redis_client.hgetall(key) in ({"n": "1", "m": "1"}, {"n": "2"})
            assert all(redis_client.pttl(key) > 0 for key in redis_client.scan_iter("city[:@]*:*"))
        result = store.publish(rows(*[(str(i), "2", None) for i in range(20)]), kind)
        assert (result.published, result.deleted) == (20, 10 if visibility == "key" else result.deleted)
        after_all = list(store.keys("city"))
        assert len(after_all) == 20
        assert all(redis_client.hgetall(key) == {"n": "2"} for key in after_all)
        assert redis_client.smembers("@adutora:sets:city") == {store.current("city")}


def _publish_and_die_at(port: int, step: str, after: bool, visibility: str) -> None:
    """In a process of its own: die just before or just after Redis runs a script."""
    script = Link.script

    def mortal(self: Link, name: str, keys: list[str], *args: str | int) -> object:
        if name == step and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = script(self, name, keys, *args)
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    Link.script = mortal  # type: ignore[method-assign,assignment]
    publication = Publication(prefix="city", ttl=60, visibility=visibility)  # type: ignore[arg-type]
    items = [(str(i), "2", None) for i in range(20)]
    RedisStore(host="127.0.0.1", port=port, lease_seconds=0.5).publish(rows(*items), publication)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("visibility", "step"), [("key", "sweep"), ("set", "begin"), ("set", "point"), ("set", "retire")]
)
def test_redis_killed_around_its_last_steps(
    redis_server: Server, redis_client: redis.Redis, visibility: str, step: str, after: bool
) -> None:
    """The pointer never names a set that is not complete, and a rerun leaves nothing behind."""
    kind = Publication(prefix="city", ttl=600, visibility=visibility)  # type: ignore[arg-type]
    with redis_server.store() as store:
        store.publish(rows(*[(str(i), "1", "1") for i in range(1200)]), kind)
        arguments = (redis_server.port, step, after, visibility)
        process = multiprocessing.get_context("spawn").Process(target=_publish_and_die_at, args=arguments)
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        seen = {tuple(sorted(redis_client.hgetall(key).items())) for key in store.keys("city")}
        assert seen <= {(("m", "1"), ("n", "1")), (("n", "2"),)}
        assert visibility == "key" or len(seen) == 1
        store.publish(rows(*[(str(i), "2", None) for i in range(20)]), kind)
        assert len(list(store.keys("city"))) == 20
        assert redis_client.smembers("@adutora:sets:city") == {store.current("city")}
        indexes = list(redis_client.scan_iter("@adutora:index:*"))
        assert indexes == [f"@adutora:index:{store.current('city')}"]
        live = [key for key in redis_client.scan_iter("city[:@]*:*") if not key.startswith(f"{store.current('city')}:")]
        assert all(redis_client.pttl(key) <= GRACE_SECONDS * 1000 for key in live)
