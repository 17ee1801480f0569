"""A real redis-server for tests: each fixture starts its own on a free port and ends it."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from adutora.io.online.redis import RedisStore


class RedisServer:
    """A redis-server of our own."""

    def __init__(self, program: str, folder: Path, *options: str, tls: bool = False) -> None:
        self.program, self.folder, self.options = program, folder, options
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.ports = ("--port", "0", "--tls-port", str(self.port)) if tls else ("--port", str(self.port))
        self.start()

    def start(self) -> None:
        command = [
            self.program,
            *self.ports,
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder),
            "--save",
            "",
        ]
        self.process = subprocess.Popen([*command, *self.options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "redis-server ended at once"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("redis-server does not answer")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def store(self, **options: object) -> RedisStore:
        return RedisStore(**{"host": "127.0.0.1", "port": self.port, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[RedisServer]:
    server = RedisServer(program("redis-server"), tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def start_redis(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Callable[..., RedisServer]]:
    started: list[RedisServer] = []

    def start(*options: str, tls: bool = False) -> RedisServer:
        started.append(RedisServer(program("redis-server"), tmp_path, *options, tls=tls))
        return started[-1]

    yield start
    for each in started:
        each.stop()


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def fresh_redis(redis_client: redis.Redis, redis_server: RedisServer) -> Iterator[RedisStore]:
    with redis_server.store() as store:
        yield store
