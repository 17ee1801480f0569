"""Redis over TLS, with certificates of an authority of our own."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.io.online.base import Publication
from adutora.io.online.redis_link import Link

pytestmark = pytest.mark.integration
Server = Any  # conftest.RedisServer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Path:
    """A folder with `ca.crt`, and `server.crt` and `server.key` for localhost."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args: str) -> None:
        subprocess.run([program("openssl"), *args], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority of the tests")
    openssl(
        "req", "-x509", *new, "-keyout", "server.key", "-out", "server.crt", "-subj", "/CN=localhost",
        "-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost",
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    return folder


@pytest.fixture
def server(certificates: Path, start_redis: Callable[..., Server]) -> Server:
    pair = ("--tls-cert-file", str(certificates / "server.crt"), "--tls-key-file", str(certificates / "server.key"))
    return start_redis(
        "--tls-ca-cert-file", str(certificates / "ca.crt"), "--tls-auth-clients", "no", *pair, tls=True
    )  # fmt: skip


@pytest.fixture
def ca(certificates: Path) -> str:
    return (certificates / "ca.crt").read_text()


def test_tls_publishes(server: Server, ca: str) -> None:
    rows = pa.RecordBatch.from_arrays([pa.array(["São Paulo"]), pa.array(["3"])], ["key", "n"])
    with server.store(host="localhost", tls=True, ca=ca) as store:
        assert store.publish(iter([rows]), Publication(prefix="city")).published == 1
    link = Link(host="localhost", port=server.port, tls=True, ca=ca)
    assert link.call("HGETALL", "city:São Paulo") == [b"n", b"3"]
    link.close()


def test_tls_of_an_authority_that_the_system_trusts(server: Server, ca: str, monkeypatch: Any, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.crt"
    trusted.write_text(ca)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with server.store(host="localhost", tls=True) as store:
        store.probe()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "localhost"}, "certificate that is not trusted.*certificate chain"),
        ({"host": "127.0.0.1", "ca": True}, "certificate that is not trusted.*IP address mismatch"),
        ({"host": "localhost", "ca": "no PEM"}, "key `ca` .* holds no certificate"),
    ],
    ids=["unknown authority", "another name", "no PEM"],
)
def test_tls_that_cannot_be_trusted(server: Server, ca: str, options: dict[str, Any], says: str) -> None:
    if options.get("ca") is True:
        options = {**options, "ca": ca}
    with pytest.raises(ConfigError, match=says) as caught, server.store(tls=True, **options) as store:
        store.probe()
    assert caught.value.hint


def test_tls_to_a_server_without(redis_server: Server, server: Server, monkeypatch: Any) -> None:
    """And the other way round: both say which side speaks what."""
    monkeypatch.setattr("adutora.io.online.redis_link.ANSWER_SECONDS", 1)
    for one, tls in ((redis_server, True), (server, False)):
        with pytest.raises(TemporaryError, match="does not answer") as caught:
            Link(host="localhost", port=one.port, tls=tls, patience=0).call("PING")
        assert f"tls: {str(tls).lower()}" in str(caught.value.hint)
