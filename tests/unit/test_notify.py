"""Notifications: real servers of Slack's kind, of a webhook and of e-mail on this machine, and what they are told."""

import json
import logging
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from adutora.cli import main
from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError, TemporaryError
from adutora.io import messages
from adutora.runtime.notices import MOST_ERROR, Failed, Notice, concerns
from adutora.runtime.notify import Home, tell

pytestmark = pytest.mark.slow

LOG = logging.getLogger("test")
Json = dict[str, Any]


class Inbox:
    """What came in, and what to answer."""

    def __init__(self) -> None:
        self.bodies: list[Json] = []
        self.answers: list[int] = []
        self.mails: list[str] = []
        self.logins: list[str] = []

    @property
    def events(self) -> list[str]:
        return [body["event"] for body in self.bodies]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def url(inbox: Inbox) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(inbox.answers.pop(0) if inbox.answers else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/s3cret-hook"
        server.shutdown()


@pytest.fixture
def smtp(inbox: Inbox) -> Iterator[int]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mail\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"EHLO":
                    self.wfile.write(b"250-mail\r\n250 AUTH PLAIN\r\n")
                elif word == b"AUTH":
                    inbox.logins.append(line.decode())
                    self.wfile.write(b"235 ok\r\n")
                elif word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (text := self.rfile.readline()) != b".\r\n":
                        lines.append(text.decode())
                    inbox.mails.append("".join(lines))
                    self.wfile.write(b"250 ok\r\n")
                elif word == b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                else:
                    self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def connections(tmp_path: Path, url: str | None = None, **more: Json) -> Json:
    blocks: Json = {"hook": {"webhook": {}}, "chat": {"slack": {}}, **more}
    if url is not None:
        for name in ("hook", "chat"):
            path = tmp_path / ".adutora" / "secrets" / name / "url"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(url)
    return {name: {"name": name, **block, "secretRef": {"name": name}} for name, block in blocks.items()}


def config(known: Json, *routes: Json, tmp_path: Path) -> DagConfig:
    lake = {"root": str(tmp_path / "lake"), "connection": None, "layers": {}}
    return DagConfig("shop", "team", (), "UTC", lake, notify=routes, connections=known)


def route(connection: str, *events: str, **more: Any) -> Json:
    return {"events": list(events), "connection": connection, **more}


def ended(state: Any, run: str = "r1", *failed: Failed) -> Notice:
    return Notice("team.shop", run, state, "2026-05-10", "2026-05-10T12:00:00+00:00", failed, "https://airflow/run")


def test_who_asked_is_told_and_nobody_else(tmp_path: Path, url: str, inbox: Inbox) -> None:
    routes = [route("hook", "failure", runbook="https://wiki/run"), route("hook", "success")]
    shop = config(connections(tmp_path, url), *routes, tmp_path=tmp_path)
    home = Home(tmp_path, str(tmp_path / "lake"))
    assert tell(shop, home, ended("failure", "r1", Failed("load", "no file matches 'x.csv'")), LOG) == []
    assert inbox.bodies == [
        {
            "event": "failure", "pipeline": "team.shop", "run": "r1", "state": "failure", "date": "2026-05-10",
            "started_at": "2026-05-10T12:00:00+00:00", "url": "https://airflow/run", "runbook": "https://wiki/run",
            "failed": [{"stage": "load", "error": "no file matches 'x.csv'"}],
        }
    ]  # fmt: skip
    tell(shop, home, ended("success"), LOG)
    assert inbox.events == ["failure", "success"]


def test_a_recovery_is_a_success_after_a_failure(tmp_path: Path, url: str, inbox: Inbox) -> None:
    shop = config(connections(tmp_path, url), route("hook", "recovery"), tmp_path=tmp_path)
    home = Home(tmp_path, str(tmp_path / "lake"))
    for number, state in enumerate(("success", "failure", "failure", "success", "success", "deadline", "success")):
        assert tell(shop, home, ended(state, f"r{number}"), LOG) == []
    assert [(body["event"], body["run"]) for body in inbox.bodies] == [("recovery", "r3"), ("recovery", "r6")]


def test_a_route_gets_one_message_the_one_that_tells_most(tmp_path: Path, url: str, inbox: Inbox) -> None:
    routes = [route("hook", "failure", "deadline"), route("hook", "failure"), route("hook", "success", "recovery")]
    shop = config(connections(tmp_path, url), *routes, tmp_path=tmp_path)
    home = Home(tmp_path, str(tmp_path / "lake"))
    for state in ("deadline", "success", "success"):
        tell(shop, home, ended(state), LOG)
    assert inbox.events == ["deadline", "failure", "recovery", "success"]


def test_whom_an_end_concerns(tmp_path: Path) -> None:
    def who(*events: str) -> list[str]:
        shop = config({}, route("hook", *events), tmp_path=tmp_path)
        return [state for state in ("success", "failure", "deadline") if concerns(shop, state)]  # type: ignore[arg-type]

    assert who("failure") == ["failure", "deadline"]
    assert who("deadline") == ["deadline"]
    assert who("success") == ["success"]
    assert who("recovery") == ["success", "failure", "deadline"]


def test_slack_takes_no_mention_from_a_text(tmp_path: Path, url: str, inbox: Inbox) -> None:
    shop = config(connections(tmp_path, url), route("chat", "failure"), tmp_path=tmp_path)
    error = "bad row <!channel> <https://evil|click> & {{ 7 * 7 }}\nsecond line"
    tell(shop, Home(tmp_path, str(tmp_path / "lake")), ended("failure", "r", Failed("load", error)), LOG)
    (body,) = inbox.bodies
    assert list(body) == ["text"]
    assert "*team.shop failed*\nrun r of 2026-05-10, after " in body["text"]
    assert (
        "stage load: bad row &lt;!channel&gt; &lt;https://evil|click&gt; &amp; {{ 7 * 7 }} second line" in body["text"]
    )


def test_a_secret_is_in_no_message_and_no_error(
    tmp_path: Path, url: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PAUSES", ())
    known = connections(tmp_path, url, away={"webhook": {}}, none={"webhook": {}})
    for name, secret in (("away", "http://127.0.0.1:1/hidden-hook"), ("none", "no-url-of-any-kind")):
        path = tmp_path / ".adutora" / "secrets" / name / "url"
        path.parent.mkdir(parents=True)
        path.write_text(secret)
    routes = [route(name, "failure") for name in ("away", "none", "nowhere", "hook")]
    shop = config(known, *routes, tmp_path=tmp_path)
    said = tell(shop, Home(tmp_path, str(tmp_path / "lake")), ended("failure", "r", Failed("a", f"POST {url}")), LOG)
    assert [type(each) for each in said] == [TemporaryError, ConfigError, ConfigError]
    everything = "".join(map(str, said)) + json.dumps(inbox.bodies)
    assert not {word for word in ("hidden-hook", "s3cret-hook", "no-url-of-any-kind") if word in everything}, everything
    assert inbox.bodies[0]["failed"][0]["error"] == "POST ***"  # the last route was told all the same


def test_it_is_sent_again_while_nobody_answers(
    tmp_path: Path, url: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PAUSES", (0.01, 0.01))
    shop = config(connections(tmp_path, url), route("hook", "failure"), tmp_path=tmp_path)
    home = Home(tmp_path, str(tmp_path / "lake"))
    inbox.answers = [503, 429, 200]
    assert tell(shop, home, ended("failure"), LOG) == []
    assert len(inbox.bodies) == 3
    inbox.answers = [404]
    (refused,) = tell(shop, home, ended("failure"), LOG)
    assert isinstance(refused, ConfigError)
    assert refused.message == "hook was not told of the failure: connection hook refuses: 404"
    assert len(inbox.bodies) == 4


def test_a_mail(tmp_path: Path, smtp: int, inbox: Inbox) -> None:
    mail = {"smtp": {"host": "127.0.0.1", "port": smtp, "from": "adutora@acme.io", "to": ["a@acme.io", "b@acme.io"]}}
    known = {"mail": {"name": "mail", **mail}}
    shop = config(known, route("mail", "failure"), tmp_path=tmp_path)
    notice = ended("failure", "r", Failed("load", "Ação\r\nBcc: evil@x.io"))
    assert tell(shop, Home(tmp_path, str(tmp_path / "lake")), notice, LOG) == []
    head, _, body = inbox.mails[0].partition("\r\n\r\n")
    assert "Subject: team.shop failed" in head
    assert "To: a@acme.io, b@acme.io" in head
    assert "Bcc" not in head
    assert "stage load:" in body


def test_a_password_never_goes_over_an_open_line(tmp_path: Path, smtp: int, inbox: Inbox) -> None:
    mail = {"smtp": {"host": "127.0.0.1", "port": smtp, "from": "a@acme.io", "to": ["b@acme.io"]}}
    for key, value in (("user", "me"), ("password", "hunter2-hunter2")):
        path = tmp_path / ".adutora" / "secrets" / "mail" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    shop = config(connections(tmp_path, mail=mail), route("mail", "failure"), tmp_path=tmp_path)
    (refused,) = tell(shop, Home(tmp_path, str(tmp_path / "lake")), ended("failure"), LOG)
    assert "the server has no TLS" in str(refused)
    assert (inbox.logins, inbox.mails) == ([], [])


def test_long_lists_and_texts_are_cut() -> None:
    notice = ended("failure", "r", *(Failed(f"s{number}", "x" * 9999) for number in range(99)))
    data = notice.to_json()
    assert (len(data["failed"]), len(data["failed"][0]["error"])) == (10, MOST_ERROR)
    assert Notice.from_json(json.loads(json.dumps(data))).to_json() == data


SHOP = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  timeout: TIMEOUT
  defaults: {retries: 0}
  params: [{name: bad, type: boolean, default: false}]
  stages:
    - {name: rows, python: {function: "rows:rows", args: {bad: $(params.bad)}}, output: {table: gold.a}}
"""
ROWS = """
import time

def rows(inputs, bad):
    if bad:
        raise ValueError("rows are odd")
    time.sleep(SLEEP)
    return [{"a": 1}]
"""
PROJECT = """
apiVersion: adutora.dev/v1alpha1
kind: Project
metadata: {name: default}
spec:
  connections:
    - {name: hook, webhook: {}, secretRef: {name: hook}}
    - {name: lost, webhook: {}, secretRef: {name: lost}}
  notify:
    - {events: [failure, deadline, recovery], connection: hook}
    - {events: [success], connection: lost}
"""


@pytest.fixture
def shop(tmp_path: Path, url: str) -> Path:
    (tmp_path / "adutora.yaml").write_text(PROJECT)
    secret = tmp_path / ".adutora" / "secrets" / "hook" / "url"
    secret.parent.mkdir(parents=True)
    secret.write_text(url)
    return tmp_path


def run(shop: Path, *arguments: str, timeout: str = "1h", sleep: float = 0) -> int:
    (shop / "pipeline.yaml").write_text(SHOP.replace("TIMEOUT", timeout))
    (shop / "rows.py").write_text(ROWS.replace("SLEEP", str(sleep)))
    return main(["run", str(shop / "pipeline.yaml"), *arguments])


def test_a_run_on_a_laptop_tells_too(shop: Path, inbox: Inbox, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(shop, "-p", "bad=true") != 0
    assert "warning" not in capfd.readouterr().err
    assert inbox.events == ["failure"]
    assert "rows are odd" in inbox.bodies[0]["failed"][0]["error"]
    # The recovery is told; that somebody else cannot be told of the success is told, and the run has succeeded.
    assert run(shop) == 0
    assert "warning: lost was not told of the success: connection lost: key url of secret lost is missing" in (
        capfd.readouterr().err
    )
    assert inbox.events == ["failure", "recovery"]
    assert run(shop, timeout="1s", sleep=60) == 75
    assert inbox.events == ["failure", "recovery", "deadline"]


def test_nothing_to_do_is_no_news(shop: Path, inbox: Inbox) -> None:
    assert run(shop) == 0
    assert main(["run", str(shop / "pipeline.yaml"), "--resume", "last"]) == 0
    assert inbox.bodies == []
