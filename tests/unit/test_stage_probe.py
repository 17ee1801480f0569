"""The `probe` stage: reachable, and are our credentials taken?"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError, TemporaryError
from adutora.stages.probe.run import run
from adutora.stages.probe.spec import Probe

Bench = Callable[..., Any]
SECRET = {"secretRef": {"name": "s"}}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def probe(bench: Bench, tmp_path: Path) -> Callable[..., Any]:
    folder = tmp_path / ".adutora" / "secrets" / "s"
    folder.mkdir(parents=True)
    for key in ("user", "password", "token", "accessKey", "secretKey"):
        (folder / key).write_text(f"the-{key}")

    def go(**connection: Any) -> Any:
        ctx = bench({"it": connection})
        run(Probe(connection="it"), ctx)
        return ctx.outcome

    return go


def test_http_login(probe: Any, server: Any, answer: Any) -> None:
    auth = {"login": {"path": "/login"}}
    server.on("/login", answer(200, {"access_token": "some-token"}), answer(401), answer(503))
    connection = {"http": {"baseUrl": server.url, "auth": auth}, **SECRET}
    assert probe(**connection).metrics["probe_seconds"] >= 0
    with pytest.raises(ConfigError, match="refused"):
        probe(**connection)
    with pytest.raises(TemporaryError, match="503"):
        probe(**connection)


@pytest.mark.parametrize("status", [200, 204, 404, 400])
def test_http_any_answer_that_does_not_refuse_us(probe: Any, server: Any, answer: Any, status: int) -> None:
    server.on("/base/", answer(status))
    probe(http={"baseUrl": server.url + "/base"})
    assert server.paths() == ["HEAD /base/"]


@pytest.mark.parametrize("status", [405, 501])
def test_http_server_that_knows_no_head(probe: Any, server: Any, answer: Any, status: int) -> None:
    server.scripts["/"] = lambda request: answer(status if request.method == "HEAD" else 200)
    probe(http={"baseUrl": server.url})
    assert server.paths() == ["HEAD /", "GET /"]


def test_http_refused_or_down(probe: Any, server: Any, answer: Any) -> None:
    server.on("/", answer(403), answer(401), answer(502))
    bearer = {"http": {"baseUrl": server.url, "auth": {"bearer": {}}}, **SECRET}
    for error in (ConfigError, ConfigError, TemporaryError):
        with pytest.raises(error):
            probe(**bearer)
    with pytest.raises(TemporaryError, match="cannot be reached"):
        probe(http={"baseUrl": f"http://127.0.0.1:{free_port()}"})


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (200, None, ""),
        (403, ConfigError, "refuses our credentials"),
        (404, ConfigError, "there is no bucket here"),
        (400, ConfigError, "see region and endpoint"),
        (301, ConfigError, "see region and endpoint"),
        (503, TemporaryError, "cannot be reached"),
    ],
)
def test_s3(probe: Any, server: Any, answer: Any, status: int, error: Any, text: str) -> None:
    server.on("/here", answer(status))
    connection = {"s3": {"bucket": "here", "endpoint": server.url}, **SECRET}
    if error is None:
        probe(**connection)
        assert "the-accessKey/" in server.requests[0].headers["authorization"]
        return
    with pytest.raises(error, match=text) as raised:
        probe(**connection)
    assert "the-secretKey" not in str(raised.value)


def test_s3_down(probe: Any) -> None:
    with pytest.raises(TemporaryError, match="cannot be reached"):
        probe(s3={"bucket": "here", "endpoint": f"http://127.0.0.1:{free_port()}"}, **SECRET)


def test_folder(probe: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/inbox"):
        probe(folder={"path": "inbox"})
    (tmp_path / "inbox").mkdir()
    probe(folder={"path": "inbox"})
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder"):
        probe(folder={"path": "file"})


def test_folder_that_we_may_not_write(probe: Any, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir(mode=0o500)
    # Root may write into any folder of its own, but not make files in /proc.
    folder = "/proc" if os.geteuid() == 0 else "inbox"
    with pytest.raises(ConfigError, match="cannot be read and written"):
        probe(folder={"path": folder})


def test_sqlite(probe: Any, tmp_path: Path) -> None:
    probe(sqlite={"path": "online.db"})


def test_redis_that_nobody_runs(probe: Any) -> None:
    with pytest.raises(TemporaryError):
        probe(redis={"host": "127.0.0.1", "port": free_port()})


def test_types_that_cannot_be_probed_yet(probe: Any) -> None:
    with pytest.raises(ConfigError, match=r"is of type slack.*it can probe folder, http, redis, s3, sqlite"):
        probe(slack={}, **SECRET)
