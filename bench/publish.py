"""A million hashes to Redis: the `publish` stage's path against row-by-row HSET by redis-py.

On loopback, and through a proxy that delays each way by 0.25 ms. Both sides start from the same DuckDB table
and write the same four fields; the product also checks the keys, makes the text and keeps its index. The peer
does a sample, and its time for all is extrapolated from its rate: each of its rows costs the same.

    python -m bench.publish [--rows 1000000] [--sample 50000]
"""

import argparse
import multiprocessing
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

import duckdb
import redis

from adutora.io.duck import quote
from adutora.io.online.redis import RedisStore
from adutora.stages.publish.run import publish_relation
from adutora.stages.publish.spec import Publish

ONE_WAY_SECONDS = 0.000_25
FIELDS = ["cidade", "quantidade_empresas", "capital_social_medio", "capital_social_total"]
TABLE = """
CREATE TABLE features AS
SELECT 'Cidade ' || i AS cidade, i * 7 % 1000 AS quantidade_empresas,
       (i % 9973) * 1.5::DOUBLE AS capital_social_medio, i * 3::DOUBLE AS capital_social_total
FROM range({rows}) t(i)
"""


def listen() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    return server


def delay(server: socket.socket, target: int) -> None:
    """Pass bytes on, each `ONE_WAY_SECONDS` after they came. Waits by spinning: timers are too coarse."""
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    other: dict[socket.socket, socket.socket] = {}
    queues: dict[socket.socket, deque[tuple[float, memoryview]]] = {}
    while True:
        waiting = any(queues.values())
        for key, _ in selector.select(0 if waiting else None):
            if key.fileobj is server:
                near, far = server.accept()[0], socket.create_connection(("127.0.0.1", target))
                other |= {near: far, far: near}
                for end in (near, far):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    end.setblocking(False)
                    queues[end] = deque()
                    selector.register(end, selectors.EVENT_READ)
                continue
            receive(key.fileobj, other, queues, selector)  # type: ignore[arg-type]
        now = time.perf_counter()
        for end, queue in list(queues.items()):
            while queue and queue[0][0] <= now:
                due, data = queue.popleft()
                try:
                    sent = end.send(data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    break
                if sent < len(data):
                    queue.appendleft((due, data[sent:]))
                    break


def receive(
    end: socket.socket,
    other: dict[socket.socket, socket.socket],
    queues: dict[socket.socket, deque[tuple[float, memoryview]]],
    selector: selectors.BaseSelector,
) -> None:
    try:
        data = end.recv(1 << 20)
    except OSError:
        data = b""
    if data:
        queues[other[end]].append((time.perf_counter() + ONE_WAY_SECONDS, memoryview(data)))
        return
    for each in (end, other[end]):
        if each in queues:
            selector.unregister(each)
            del queues[each]
            each.close()


class Redis:
    """A redis-server of our own, without persistence."""

    def __init__(self, folder: str) -> None:
        program = shutil.which("redis-server")
        if program is None:
            sys.exit("bench/publish needs redis-server on the PATH")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        options = ["--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([program, "--port", str(self.port), *options], stdout=subprocess.DEVNULL)
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def peer(con: duckdb.DuckDBPyConnection, port: int, sample: int) -> float:
    """Seconds that row-by-row HSET takes for `sample` rows."""
    names = ", ".join(map(quote, FIELDS))
    with redis.Redis(port=port) as client:
        client.flushall()
        client.ping()
        start = time.perf_counter()
        for row in con.execute(f"SELECT {names} FROM features LIMIT {sample}").fetchall():
            client.hset(f"cidade:{row[0]}", mapping=dict(zip(FIELDS, row, strict=True)))
        return time.perf_counter() - start


def product(con: duckdb.DuckDBPyConnection, port: int, rows: int) -> tuple[float, float]:
    """Seconds to publish all rows into an empty server, and all of them again."""
    spec = Publish.model_validate({"key": ["cidade"], "prefix": "cidade", "ttl": "7d"})
    times = []
    with redis.Redis(port=port) as client, RedisStore(host="127.0.0.1", port=port) as store:
        client.flushall()
        for _ in range(2):
            start = time.perf_counter()
            result = publish_relation(con, "features", spec, store)
            times.append(time.perf_counter() - start)
            if result.published != rows:
                sys.exit(f"published {result.published} of {rows}")
        found = client.hgetall(f"cidade:Cidade {rows - 1}")
        if len(found) != len(FIELDS) or client.pttl(f"cidade:Cidade {rows - 1}") <= 0:
            sys.exit(f"the last hash is not what it should be: {found}")
        client.flushall()
    return times[0], times[1]


def compare(con: duckdb.DuckDBPyConnection, name: str, port: int, rows: int, sample: int, goal: int) -> str:
    with redis.Redis(port=port) as client:
        client.ping()
        start = time.perf_counter()
        for _ in range(200):
            client.ping()
        ping = (time.perf_counter() - start) / 200
    taken = peer(con, port, sample)
    whole = taken * rows / sample
    first, again = product(con, port, rows)
    print(f"{name}: a PING takes {ping * 1000:.2f} ms")
    print(
        f"{name}: row-by-row HSET {taken:.2f} s for {sample:,} rows, {sample / taken:,.0f} rows/s; "
        f"extrapolated {whole:.1f} s for {rows:,}"
    )
    print(f"{name}: adutora publish {first:.2f} s for {rows:,} rows, {rows / first:,.0f} rows/s; again {again:.2f} s")
    ratio = whole / first
    return f"{name} ratio={ratio:.1f} goal={goal} {'ok' if ratio >= goal else 'short'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=50_000)
    args = parser.parse_args()
    sample = min(args.sample, args.rows)
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as con:
        con.execute(TABLE.format(rows=args.rows))
        server = Redis(str(Path(folder)))
        entrance = listen()
        proxy = multiprocessing.Process(target=delay, args=(entrance, server.port), daemon=True)
        proxy.start()
        try:
            far = int(entrance.getsockname()[1])
            lines = [
                compare(con, "publish-loopback", server.port, args.rows, sample, 5),
                compare(con, "publish-rtt", far, args.rows, sample // 5, 20),
            ]
        finally:
            proxy.kill()
            proxy.join()
            server.stop()
    print(*lines, sep="\n")
    return 0 if all(line.endswith("ok") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
