"""Files in a bucket, on a real S3 gateway."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.io.connections import Connection
from adutora.io.objects import ObjectSource, open_source
from adutora.spec.project import FolderConnection, RedisConnection, S3Connection

pytestmark = pytest.mark.integration


class Gateway:
    """A versitygw over a folder."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.bucket = folder / "s3" / "uploads"
        self.bucket.mkdir(parents=True)
        self._secrets = folder / ".adutora" / "secrets" / "uploads"
        self._secrets.mkdir(parents=True)
        self.project = folder
        address = f"127.0.0.1:{self.port}"
        command = [program, "--port", address, "--access", "test", "--secret", "secret-key", "posix"]
        self.process = subprocess.Popen(
            [*command, str(folder / "s3")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("versitygw does not answer")

    def put(self, key: str, content: bytes) -> None:
        path = self.bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def source(self, prefix: str | None = None, secret: str = "secret-key", bucket: str = "uploads") -> ObjectSource:
        (self._secrets / "accessKey").write_text("test")
        (self._secrets / "secretKey").write_text(secret)
        settings = S3Connection(bucket=bucket, prefix=prefix, endpoint=f"http://127.0.0.1:{self.port}")
        return open_source(Connection("uploads", "s3", settings, self.project, "uploads"), self.project)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Gateway]:
    server = Gateway(program("versitygw"), tmp_path_factory.mktemp("gateway"))
    yield server
    server.stop()


def test_keys_match_patterns_and_come_down_whole(gateway: Gateway, tmp_path: Path) -> None:
    gateway.put("in/orders/a.csv", b"a\n1\n")
    gateway.put("in/orders/2026/b c.csv", b"a\n2\n" * 5_000_000)
    gateway.put("in/other/c.csv", b"a\n3\n")
    source = gateway.source("in")
    assert [file.path for file in source.find("orders/*.csv")] == ["orders/a.csv"]
    files = source.find("orders/**/*.csv")
    assert [file.path for file in files] == ["orders/2026/b c.csv", "orders/a.csv"]
    fetched = source.fetch(files[0], tmp_path)
    assert fetched is not None
    assert fetched.on_disk().stat().st_size == files[0].size == 20_000_000
    assert source.find("none/*.csv") == []


def test_a_newer_version_is_not_taken_for_the_listed_one(gateway: Gateway, tmp_path: Path) -> None:
    gateway.put("versions/a.csv", b"a\n1\n")
    source = gateway.source()
    (old,) = source.find("versions/a.csv")
    time.sleep(1.1)  # times of change come in whole seconds
    gateway.put("versions/a.csv", b"a\n2\n")
    assert source.fetch(old, tmp_path) is None
    (new,) = source.find("versions/a.csv")
    assert new.id != old.id
    (gateway.bucket / "versions" / "a.csv").unlink()
    assert source.fetch(new, tmp_path) is None


def test_errors_say_what_happens_next(gateway: Gateway) -> None:
    with pytest.raises(ConfigError, match="keys"):
        gateway.source(secret="wrong").find("*.csv")
    with pytest.raises(ConfigError, match="no such bucket"):
        gateway.source(bucket="nothing-here").find("*.csv")
    dead = S3Connection(bucket="b", endpoint="http://127.0.0.1:1")
    with pytest.raises(TemporaryError, match="does not answer"):
        open_source(Connection("uploads", "s3", dead, gateway.project, "uploads"), gateway.project).find("*")


def test_other_connections(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.csv").write_text("x")
    folder = Connection("inbox", "folder", FolderConnection(path="inbox"), tmp_path)
    assert [file.path for file in open_source(folder, tmp_path).find("*")] == ["a.csv"]
    with pytest.raises(ConfigError, match="is not there"):
        open_source(Connection("inbox", "folder", FolderConnection(path="nowhere"), tmp_path), tmp_path)
    with pytest.raises(ConfigError, match="type redis"):
        open_source(Connection("r", "redis", RedisConnection(), tmp_path), tmp_path)
