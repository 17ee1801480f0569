"""Files in a bucket, on a real S3 gateway."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.io.connections import Connection
from adutora.io.objects import Bucket, open_source
from adutora.spec.project import FolderConnection, RedisConnection, S3Connection
from tests.integration.gateway import Gateway

pytestmark = pytest.mark.integration


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


def test_an_object_that_is_put_again_has_the_digest_it_had(gateway: Gateway, tmp_path: Path) -> None:
    source = gateway.source()
    assert isinstance(source, Bucket)

    def put(content: bytes) -> None:
        with source._fs.open_output_stream("uploads/digests/a.csv") as stream:
            stream.write(content)

    put(b"a\n1\n")
    (first,) = source.find("digests/a.csv")
    fetched = source.fetch(first, tmp_path)
    assert fetched is not None
    assert fetched.digest == source.digest(first)
    assert (fetched.digest or "").startswith("etag:")
    time.sleep(1.1)  # times of change come in whole seconds
    put(b"a\n1\n")
    (again,) = source.find("digests/a.csv")
    assert again.version != first.version
    assert source.digest(again) == fetched.digest
    put(b"a\n2\n")
    (changed,) = source.find("digests/a.csv")
    assert source.digest(changed) != fetched.digest
    (gateway.bucket / "digests" / "a.csv").unlink()
    assert source.digest(changed) is None


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
