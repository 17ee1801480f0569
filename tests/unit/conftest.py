"""A real HTTP server on 127.0.0.1 that answers as a test scripts it, and a bench to run a stage on."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from adutora.io import secrets
from adutora.io.connections import Connection, resolve
from adutora.runtime.outcome import Outcome
from adutora.spec.base import Input, Output, Resources, Table
from adutora.spec.project import Connection as ConnectionSpec


@dataclass
class Request:
    """What the server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What the server gives. `drip` sends the body byte by byte with such a pause, in seconds."""

    status: int = 200
    body: bytes | str | Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0

    def content(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


Script = list[Answer] | Callable[[Request], Answer]


class Server:
    """Answers by path: a list is used up one by one and its last answer repeats; a function sees the request."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, self.rfile.read(length))
                outer.requests.append(request)
                try:
                    self.answer(outer.find(request))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def answer(self, answer: Answer) -> None:
                time.sleep(answer.delay)
                content = answer.content()
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(content)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                pieces = [content] if not answer.drip else [bytes([byte]) for byte in content]
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(answer.drip)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def find(self, request: Request) -> Answer:
        script = self.scripts.get(request.path.partition("?")[0])
        if script is None:
            return Answer(404, {"detail": "no such path"})
        if callable(script):
            return script(request)
        return script.pop(0) if len(script) > 1 else script[0]

    def on(self, path: str, *answers: Answer) -> None:
        self.scripts[path] = list(answers)

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Masking starts anew: what one test calls a secret stands in another one's texts."""
    monkeypatch.setattr(secrets, "_known", set())
    monkeypatch.setattr(secrets, "_pattern", None)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@dataclass
class StageBench:
    """What a stage's `run` uses of its context: real connections, a real DuckDB, and a place for what it writes."""

    root: Path
    connections: dict[str, ConnectionSpec]
    inputs: list[Input]
    output: Output | None
    table: Table | None
    resources: Resources
    outcome: Outcome = field(default_factory=Outcome)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("adutora.stage"))
    written: list[tuple[Any, ...]] | None = None
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scratch = self.root / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.stage = self
        self.name = "stage"
        self.task = SimpleNamespace(
            run_id="r-1", label="stage", attempt=1, files_root=self.root, project_root=self.root, memory=None,
            item_index=None, stage_name="stage",
        )  # fmt: skip
        self.lake = SimpleNamespace(exists=lambda _table: False)

    @cached_property
    def con(self) -> Any:
        return duckdb.connect(config={"threads": "1", "python_enable_replacements": "false"})

    def connection(self, name: str) -> Connection:
        return resolve(self.connections, name, self.root)

    def table_spec(self, name: str) -> Table:
        return self.table or Table(name=name)

    def require_output(self) -> Output:
        assert self.output is not None
        return self.output

    def load_inputs(self) -> None:
        pass

    def write(self, relation: str, **_: Any) -> None:
        found = self.con.execute(f"SELECT * FROM {relation}")
        self.columns = [column[0] for column in found.description or []]
        self.written = found.fetchall()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., StageBench]]:
    made: list[StageBench] = []

    def make(
        connections: dict[str, dict[str, Any]] | None = None,
        *,
        inputs: list[dict[str, Any]] | None = None,
        output: str | None = None,
        table: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
    ) -> StageBench:
        specs = {n: ConnectionSpec.model_validate({"name": n, **fields}) for n, fields in (connections or {}).items()}
        made.append(
            StageBench(
                tmp_path,
                specs,
                [Input.model_validate(item) for item in inputs or []],
                Output(table=output) if output else None,
                Table.model_validate(table) if table else None,
                Resources.model_validate(resources or {}),
            )
        )
        return made[-1]

    yield make
    for one in made:
        if "con" in vars(one):
            one.con.close()
