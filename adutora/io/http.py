"""HTTP client of a connection: who we are, how often we may ask, and what an answer means for the stage.

One try a call: what is temporary is raised as `TemporaryError`, and the stage's own retries do the rest.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import httpx

from adutora import __version__
from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError
from adutora.io.connections import Connection
from adutora.io.http_auth import Auth
from adutora.io.secrets import redact

MAX_BODY = 64 * 1024 * 1024  # bytes, unpacked
SHOWN_BODY = 500  # characters of an error answer in a message
_MAX_REDIRECTS = 5
_TEMPORARY = {408, 425, 429}
_BAD_DATA = {400, 409, 413, 415, 422}  # what was sent, not where to
_REDIRECTS = {301, 302, 303, 307, 308}
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# Set by the connection or by the protocol, never by a stage.
_RESERVED_HEADERS = {
    "authorization", "cookie", "host", "content-length", "transfer-encoding", "connection", "proxy-authorization",
}  # fmt: skip


@dataclass(frozen=True)
class Response:
    """An answer. `body` is unpacked; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    what: str  # the request in words, for messages

    def json(self) -> Any:
        """Parse the body. Raises DataError that shows the beginning of a body that is no JSON."""
        try:
            return json.loads(self.body, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.what}: the answer is no JSON: {error}: {excerpt(self.body)}") from None


class RateLimit:
    """At most `count` requests in any window of `seconds`. Waits, never refuses. One process's own requests."""

    def __init__(
        self,
        rate: str | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        count, unit = rate.split("/") if rate else ("0", "s")
        self._count, self._seconds = int(count), _UNITS[unit]
        if rate and not self._count:
            raise ConfigError(f"rateLimit {rate} allows no request at all", hint="for example 5/s")
        self._times: deque[float] = deque(maxlen=self._count or None)
        self._clock, self._sleep = clock, sleep

    def wait(self) -> None:
        """Return when one more request may be sent."""
        if not self._count:
            return
        if len(self._times) == self._count:
            pause = self._times[0] + self._seconds - self._clock()
            if pause > 0:
                self._sleep(pause)
        self._times.append(self._clock())


class HttpClient:
    """Requests to the API of one connection of type http. A context manager; not for several threads at once."""

    def __init__(self, connection: Connection, *, max_bytes: int = MAX_BODY) -> None:
        if connection.type != "http":
            raise ConfigError(f"connection {connection.name} is of type {connection.type}; http is needed")
        self.connection = connection
        self._base = _base_url(connection)
        self._max_bytes = max_bytes
        self._timeout = float(connection.settings.timeout)
        self._limit = RateLimit(connection.settings.rateLimit)
        self._auth = Auth(connection)
        self._client = httpx.Client(
            timeout=self._timeout, follow_redirects=False, headers={"User-Agent": f"adutora/{__version__}"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections to the server."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        json_body: Any = None,
        expect: Collection[int] | None = None,
    ) -> Response:
        """Send one request and return the answer, if its status is in `expect` (default: any 2xx).

        `path` is added to the base URL. Redirects on the same host are followed, a 401 after a login renews the
        token once. Raises TemporaryError, DataError or ConfigError as the answer, or its absence, demands.
        """
        url = self._url(path)
        if params := _query(query):
            url = url.copy_merge_params(params)
        content = _encode(json_body)
        sent = _headers(headers)
        if content is not None:
            sent["Content-Type"] = "application/json"
        return self._checked(httpx.Request(method, url, headers=sent, content=content), expect)

    def follow(self, url: str) -> Response:
        """GET an address that an answer gave, such as a Link header's. It must lie on the base URL's host."""
        target = self._base.join(url)
        self._same_host(target, f"GET {self._base.path}")
        return self._checked(httpx.Request("GET", target), None)

    def login(self) -> None:
        """Log in now, where the connection logs in. Raises ConfigError if the credentials are refused."""
        if self._auth.logs_in:
            self._auth.log_in(self._send_login)

    @property
    def logs_in(self) -> bool:
        """Whether the connection has `auth.login`."""
        return self._auth.logs_in

    # -- one request -------------------------------------------------------------------------------------

    def _checked(self, request: httpx.Request, expect: Collection[int] | None) -> Response:
        answer = self._authorized(request, expect)
        good = answer.status in expect if expect else 200 <= answer.status < 300
        if not good:
            raise _error(answer, expect)
        return answer

    def _authorized(self, request: httpx.Request, expect: Collection[int] | None) -> Response:
        if self._auth.logs_in and not self._auth.token:
            self.login()
        answer = self._redirected(request, expect)
        if answer.status == 401 and self._auth.logs_in:
            self.login()
            answer = self._redirected(request, expect)
        return answer

    def _redirected(self, request: httpx.Request, expect: Collection[int] | None) -> Response:
        for _ in range(_MAX_REDIRECTS + 1):
            answer = self._send(request, self._auth.headers())
            if answer.status not in _REDIRECTS or answer.status in (expect or ()):
                return answer
            request = self._next(request, answer)
        raise ConfigError(f"{answer.what}: more than {_MAX_REDIRECTS} redirects")

    def _next(self, request: httpx.Request, answer: Response) -> httpx.Request:
        target = request.url.join(answer.headers.get("location", ""))
        self._same_host(target, answer.what)
        if answer.status == 303:
            return httpx.Request("HEAD" if request.method == "HEAD" else "GET", target)
        if answer.status in (301, 302) and request.method not in ("GET", "HEAD"):
            # Browsers would send a GET here, which is never what a pipeline means.
            raise ConfigError(f"{answer.what} is redirected to {target.path}", hint="write that path in the stage")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        return httpx.Request(request.method, target, headers=headers, content=request.content or None)

    def _send_login(self, path: str, body: Mapping[str, str], form: bool) -> Response:
        if form:
            request = httpx.Request("POST", self._url(path), data=dict(body))
        else:
            request = httpx.Request("POST", self._url(path), json=dict(body))
        return self._send(request, {})

    def _send(self, request: httpx.Request, headers: Mapping[str, str]) -> Response:
        what = f"{request.method} {request.url.path} of connection {self.connection.name}"
        self._limit.wait()
        prepared = self._client.build_request(
            request.method,
            request.url,
            content=request.content or None,
            headers={**{k: v for k, v in request.headers.items() if k.lower() != "host"}, **headers},
        )
        try:
            answer = self._client.send(prepared, stream=True)
            try:
                body = self._read(answer, what)
            finally:
                answer.close()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _transport_error(error, what, self._base, self._timeout) from None
        return Response(answer.status_code, answer.headers, body, str(answer.url), what)

    def _read(self, answer: httpx.Response, what: str) -> bytes:
        deadline = time.monotonic() + self._timeout
        parts, size = [], 0
        for chunk in answer.iter_bytes():
            parts.append(chunk)
            size += len(chunk)
            if size > self._max_bytes:
                raise DataError(
                    f"{what}: the answer is larger than {self._max_bytes} bytes", hint="ask for less a page"
                )
            if time.monotonic() > deadline:
                raise TemporaryError(f"{what}: the answer was not complete after {self._timeout:g}s")
        return b"".join(parts)

    # -- addresses ---------------------------------------------------------------------------------------

    def _url(self, path: str) -> httpx.URL:
        if "?" in path or "#" in path:
            raise ConfigError(f"path {path!r} holds `?` or `#`", hint="query parameters belong under `query`")
        plain = unquote(path)
        if re.search(r"[\x00-\x1f\x7f\\]", plain) or ".." in plain.split("/"):
            raise ConfigError(f"path {path!r} leaves the connection's base URL", hint="write it without `..` and `\\`")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://|//", path):
            raise ConfigError(f"path {path!r} names a host", hint="only the connection's baseUrl does")
        return httpx.URL(str(self._base).rstrip("/") + "/" + path.lstrip("/"))

    def _same_host(self, target: httpx.URL, what: str) -> None:
        """Refuse an address that would carry our credentials elsewhere; http to https on one host is fine."""
        base = self._base
        same = (target.scheme, target.host, target.port) == (base.scheme, base.host, base.port)
        upgraded = (base.scheme, target.scheme) == ("http", "https") and (base.port, target.port) == (None, None)
        if not same and not (upgraded and target.host == base.host):
            where = f"{target.scheme}://{target.netloc.decode(errors='replace')}"
            raise ConfigError(
                f"{what} leads to another host, {where}", hint=f"the connection's baseUrl is {base}; correct it there"
            )


def excerpt(body: bytes) -> str:
    """Return the beginning of a body on one line: at most 500 characters, without secrets."""
    text = redact(body[: 64 * 1024].decode(errors="replace"))
    shown = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())
    return shown if len(shown) <= SHOWN_BODY else shown[: SHOWN_BODY - 1] + "…"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _base_url(connection: Connection) -> httpx.URL:
    text = connection.settings.baseUrl
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ConfigError(f"connection {connection.name}: baseUrl {text!r} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 1) > 65535:
        raise ConfigError(f"connection {connection.name}: baseUrl {text!r} is no http:// or https:// address")
    if url.userinfo or url.query or url.fragment:
        raise ConfigError(
            f"connection {connection.name}: baseUrl holds more than scheme, host and path",
            hint="user and password belong under `auth` and in the Secret, parameters in the stage's `query`",
        )
    return url


def _query(query: Mapping[str, Any] | None) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name, value in (query or {}).items():
        values = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict | list) for item in values):
            raise ConfigError(f"query parameter {name} is a value or a list of values")
        if texts := [_text(item) for item in values if item is not None]:
            params[name] = texts
    return params


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    for name, value in (headers or {}).items():
        if name.lower() in _RESERVED_HEADERS:
            raise ConfigError(f"header {name} is not for a stage to set", hint="credentials belong to the connection")
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", str(value)):
            raise ConfigError(f"header {name!r} is no valid header", hint="one line of text")
    return {name: str(value) for name, value in (headers or {}).items()}


def _encode(body: Any) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`json` cannot be sent as JSON: {error}") from None


def _error(answer: Response, expect: Collection[int] | None) -> AdutoraError:
    status = answer.status
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""
    wanted = f", not {' or '.join(map(str, expect))}" if expect else ""
    shown = excerpt(answer.body)
    message = f"{answer.what} answered {status} {phrase}".rstrip() + wanted + (f": {shown}" if shown else "")
    if status in _TEMPORARY or status >= 500:
        after = answer.headers.get("retry-after")
        return TemporaryError(message, hint=f"the server says: try again after {after}" if after else None)
    if status in (401, 403):
        return ConfigError(message, hint="the server refuses our credentials")
    return DataError(message) if status in _BAD_DATA or status < 400 else ConfigError(message)


def _transport_error(error: Exception, what: str, base: httpx.URL, timeout: float) -> AdutoraError:
    said = redact(str(error))
    if isinstance(error, httpx.TimeoutException):
        return TemporaryError(f"{what}: no answer within {timeout:g}s")
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return ConfigError(
            f"{what}: the server's certificate is not trusted: {said}", hint="name your CA by SSL_CERT_FILE"
        )
    if isinstance(error, httpx.DecodingError):
        return DataError(f"{what}: the answer cannot be unpacked: {said}")
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return ConfigError(f"{what}: the request cannot be sent: {said}")
    return TemporaryError(f"{what}: {base.scheme}://{base.netloc.decode()} cannot be reached: {said}")
