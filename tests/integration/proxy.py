"""A proxy before the gateway, which is slow, or throttles as S3 does."""

import http.client
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


@dataclass
class Proxy:
    """`fail` requests get a 503 before one passes, and so does each `every`th; each waits for `delay` seconds."""

    target: int
    fail: int = 0
    every: int = 0  # 0: none, 1: all
    delay: float = 0.0
    port: int = 0
    failed: int = 0
    seen: int = 0

    def refuses(self) -> bool:
        """Count a request, and say whether it is refused."""
        self.seen += 1
        time.sleep(self.delay)
        refused = self.failed < self.fail or (self.every > 0 and self.seen % self.every == 0)
        self.failed += refused
        return refused

    def serve(self) -> ThreadingHTTPServer:
        """Serve on a free port, in threads."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.port = int(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def forward(self) -> None:
        body = self.body()
        if self.proxy.refuses():
            self.answer(503, [("Content-Type", "application/xml")], _SLOW_DOWN)
            return
        link = http.client.HTTPConnection("127.0.0.1", self.proxy.target, timeout=60)
        link.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":  # it was answered here
                link.putheader(name, value)
        link.endheaders(body)
        answer = link.getresponse()
        self.answer(answer.status, answer.headers.items(), answer.read())
        link.close()

    def body(self) -> bytes:
        """The body as it came, with the marks of chunks where it came in such."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        read, size = b"", 1
        while size:
            line = self.rfile.readline()
            size = int(line.partition(b";")[0], 16)
            read += line + self.rfile.read(size) + self.rfile.readline()
        return read

    def answer(self, status: int, headers: Iterable[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        length = str(len(content))
        for name, value in headers:
            if name.lower() == "content-length" and self.command == "HEAD":
                length = value
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

    def log_message(self, *_: object) -> None:
        """Say nothing."""
