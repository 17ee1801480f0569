"""The online store on a Redis server (5 or later; no Cluster).

Rows go as pipelined calls of a script that replaces some hundred hashes, each with its TTL; see
`redis_scripts` for what is kept beside them. Only the processing of one call is exclusive, so readers wait
for a millisecond at most. With a `maxmemory-policy` of `allkeys-…` the server may evict the index, after
which vanished keys stay until their TTL: prefer `noeviction` or `volatile-…`.
"""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from adutora.errors import AdutoraError, ConfigError, TemporaryError
from adutora.io.online.base import GRACE_SECONDS, Publication, PublishResult, with_rows
from adutora.io.online.redis_link import SHA, Link, Pipe
from adutora.io.online.resp import Packer

if TYPE_CHECKING:
    import pyarrow as pa

SCAN_COUNT = 500  # index entries that one call looks at
PROBE_PATIENCE = 1.0


class RedisStore:
    """See `OnlineStore`. `lease_seconds` after a holder's death its prefix is free; others wait `wait_seconds`."""

    def __init__(
        self,
        *,
        host: str,
        port: int = 6379,
        database: int = 0,
        tls: bool = False,
        cluster: bool = False,
        user: str | None = None,
        password: str | None = None,
        ca: str | None = None,
        lease_seconds: float = 15.0,
        wait_seconds: float = 20.0,
    ) -> None:
        if cluster:
            raise ConfigError(
                "a Redis Cluster cannot be published to: a set's keys and its index must be on one server",
                hint="use a Redis with replicas, and leave `cluster` out",
            )
        login: dict[str, Any] = {"db": database, "username": user or None, "password": password or None}
        self._new_link = partial(Link, host=host, port=port, tls=tls, ca=ca or None, **login)
        self._link = self._new_link()
        self._lease, self._wait = lease_seconds, wait_seconds
        self._held: dict[str, str] = {}  # prefix -> token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._link.close()

    def probe(self) -> None:
        """Return if the server answers and takes our credentials."""
        link = self._new_link(patience=PROBE_PATIENCE)
        try:
            link.call("PING")
        finally:
            link.close()

    def get(self, key: str) -> dict[str, str] | None:
        """Return a hash, or None."""
        flat = [bytes(item).decode() for item in self._link.call("HGETALL", key)]
        return dict(zip(flat[::2], flat[1::2], strict=True)) or None

    def current(self, prefix: str) -> str:
        """Return what stands before the prefix's keys."""
        pointer = self._link.call("GET", _pointer(prefix))
        return prefix if pointer is None else bytes(pointer).decode()

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield live keys of the current set that were published."""
        name, cursor = self.current(prefix), b"0"
        while True:
            cursor, entries = self._link.call("HSCAN", _index(name), cursor, "COUNT", SCAN_COUNT)
            found = [f"{name}:{bytes(suffix).decode()}" for suffix in entries[::2]]
            lives = self._link.calls([("EXISTS", key) for key in found])
            yield from (key for key, live in zip(found, lives, strict=True) if live)
            if cursor == b"0":
                return

    @contextmanager
    def lease(self, prefix: str, holder: str = "") -> Iterator[None]:
        """Hold a prefix, renewing from a thread."""
        if prefix in self._held:
            yield
            return
        token = f"{holder or 'somebody'} {uuid.uuid4()}"
        self._take(prefix, token)
        done = threading.Event()
        renewer = threading.Thread(target=self._renew, args=(prefix, token, done), daemon=True)
        renewer.start()
        self._held[prefix] = token
        try:
            yield
        finally:
            del self._held[prefix]
            done.set()
            renewer.join()
            self._release(prefix, token)

    def publish(self, rows: "Iterator[pa.RecordBatch]", publication: Publication) -> PublishResult:
        """Publish rows; see `OnlineStore`."""
        prefix = publication.prefix
        with self.lease(prefix, publication.run):
            some = with_rows(rows)
            if not publication.overwrites and (current := self.current(prefix)) != prefix:
                raise publication.refuse_merge(current)
            if some is None and publication.overwrites and not publication.allow_empty and self._has_keys(prefix):
                raise publication.refuse_empty()
            command = [_lock(prefix), _state(prefix), _sets(prefix)]
            begun = self._link.script("begin", command, self._held[prefix], prefix, publication.visibility)
            work = _Work(self._link, publication, int(begun[0]), bytes(begun[1]).decode())
            self._link.pinned = True
            try:
                return work.run(some or iter(()))
            finally:
                self._link.pinned = False

    def _has_keys(self, prefix: str) -> bool:
        names = self._link.call("SMEMBERS", _sets(prefix))
        return any(self._link.call("EXISTS", _index(bytes(name).decode())) for name in names)

    def _take(self, prefix: str, token: str) -> None:
        deadline = time.monotonic() + self._wait
        while True:
            found = self._link.script("lock", [_lock(prefix)], token, int(self._lease * 1000))
            holder = bytes(found).decode()
            if holder == token:
                return
            if time.monotonic() > deadline:
                raise TemporaryError(
                    f"{holder.rpartition(' ')[0]} is publishing {prefix!r} to Redis at {self._link.where}",
                    hint="one at a time: it ends, or its lease does, and then the next try succeeds",
                )
            time.sleep(0.1)

    def _renew(self, prefix: str, token: str, done: threading.Event) -> None:
        """A renewal that fails does no harm: the generation keeps a late writer out."""
        link = self._new_link(patience=0)
        while not done.wait(self._lease / 3):
            try:
                link.script("lock", [_lock(prefix)], token, int(self._lease * 1000))
            except AdutoraError:
                continue
        link.close()

    def _release(self, prefix: str, token: str) -> None:
        link = self._new_link(patience=0)
        try:
            link.script("unlock", [_lock(prefix)], token)
        except AdutoraError:
            return  # it runs out by itself, and the body's own error says more
        finally:
            link.close()


class _Work:
    """One publication under its lease: write all, show it, delete what is gone."""

    def __init__(self, link: Link, publication: Publication, generation: int, name: str) -> None:
        self._link = link
        self._publication = publication
        self._generation = generation
        self._name = name
        self._state = _state(publication.prefix)

    def run(self, rows: "Iterator[pa.RecordBatch]") -> PublishResult:
        written, unchanged, empty = self._write(rows)
        deleted = 0
        if self._publication.overwrites:
            deleted = self._sweep(written + unchanged)
            self._show()
            deleted += self._retire()
        elif self._publication.ttl is not None:
            self._prune(written + unchanged)
        return PublishResult(published=written + unchanged, deleted=deleted, unchanged=unchanged, empty=empty)

    def _write(self, rows: "Iterator[pa.RecordBatch]") -> list[int]:
        before = f"{self._name}:".encode()
        ttl = (self._publication.ttl or 0) * 1000
        packer = Packer(
            sha=SHA["write"],
            head_keys=[_index(self._name).encode(), self._state.encode()],
            head_args=[b"%d" % self._generation, b"%d" % ttl, b"%d" % len(before)],
            key_prefix=before,
        )
        with Pipe(self._link) as pipe:
            for batch in rows:
                for payload, calls in packer.payloads(batch):
                    pipe.push(payload, calls)
            pipe.drain()
            return pipe.totals

    def _sweep(self, expected: int) -> int:
        """Delete what earlier publications of this set wrote and this one did not; return how many."""
        index, deleted = _index(self._name), 0
        if int(self._link.call("HLEN", index)) != expected:
            deleted = self._scan("sweep", [index, self._state], self._name)
        found = int(self._link.call("HLEN", index))
        if found != expected:
            raise TemporaryError(
                f"Redis at {self._link.where} has {found} of {expected} keys just published",
                hint="it lost or evicted some: see its maxmemory-policy and fail-overs",
            )
        return deleted

    def _show(self) -> None:
        pointed = self._name if self._publication.visibility == "set" else ""
        self._link.script("point", [_pointer(self._publication.prefix), self._state], self._generation, pointed)

    def _retire(self) -> int:
        """Let every other set of this prefix expire: older ones, and what a killed publication left."""
        sets, deleted = _sets(self._publication.prefix), 0
        for member in self._link.call("SMEMBERS", sets):
            old = bytes(member).decode()
            if old != self._name:
                keys = [_index(old), self._state, _index(self._name), sets]
                deleted += self._scan("retire", keys, old, GRACE_SECONDS * 1000)
        return deleted

    def _prune(self, published: int) -> None:
        """Forget some keys that have expired, about as many as came, going on where the last one stopped."""
        found = self._link.call("HGET", self._state, "pruned")
        cursor = b"0" if found is None else bytes(found)
        for _ in range(2 + 2 * published // SCAN_COUNT):
            keys = [_index(self._name), self._state]
            cursor, _ = self._link.script("prune", keys, self._generation, self._name, cursor, SCAN_COUNT)
            if cursor == b"0":
                return

    def _scan(self, script: str, keys: list[str], name: str, *more: int) -> int:
        cursor, total = b"0", 0
        while True:
            cursor, count = self._link.script(script, keys, self._generation, name, cursor, SCAN_COUNT, *more)
            total += int(count)
            if cursor == b"0":
                return total


def _lock(prefix: str) -> str:
    return f"@adutora:lock:{prefix}"


def _state(prefix: str) -> str:
    return f"@adutora:state:{prefix}"


def _sets(prefix: str) -> str:
    return f"@adutora:sets:{prefix}"


def _index(name: str) -> str:
    return f"@adutora:index:{name}"


def _pointer(prefix: str) -> str:
    return f"{prefix}@current"
