"""A small shop API to try the example against: python api.py [port]. User `demo`, password `demo`."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

TOKEN = "demo-token"  # noqa: S105 - a demonstration, on the loopback address


class Shop(BaseHTTPRequestHandler):
    """Log in, begin a job, fetch its pages."""

    def do_POST(self) -> None:
        """Answer /login and /jobs."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/login":
            right = body.get("username") == "demo" and body.get("password") == "demo"
            self._answer(200 if right else 401, {"access_token": TOKEN} if right else {"detail": "who are you?"})
        elif self._known():
            self._answer(202, {"day": body.get("day"), "pages": [1, 2, 3]})

    def do_GET(self) -> None:
        """Answer /pages."""
        url = urlparse(self.path)
        if url.path == "/":
            self._answer(200, {"shop": "open"})
        elif self._known():
            page = int(parse_qs(url.query)["page"][0])
            self._answer(200, {"page": page, "sold": page * 10})

    def _known(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"detail": "log in first"})
        return False

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8377), Shop).serve_forever()
