"""The HTTP client against a real server: who we are, what an answer means, and where a request may go."""

import gzip
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.io.connections import Connection, resolve
from adutora.io.http import HttpClient, RateLimit
from adutora.io.jsonpath import find_all, find_one
from adutora.io.secrets import redact
from adutora.spec.project import Connection as ConnectionSpec

LOGIN = {"login": {"path": "/login", "token": "$.access_token"}}


def connection(root: Path, url: str, *, auth: dict[str, Any] | None = None, **fields: Any) -> Connection:
    http = {"baseUrl": url, "timeout": "2s", **fields, **({"auth": auth} if auth else {})}
    spec = ConnectionSpec.model_validate({"name": "api", "http": http, "secretRef": {"name": "api"}})
    return resolve({"api": spec}, "api", root)


@pytest.fixture(autouse=True)
def _secrets(tmp_path: Path) -> None:
    folder = tmp_path / ".adutora" / "secrets" / "api"
    folder.mkdir(parents=True)
    for key, value in {
        "user": "alice",
        "password": "pass-0f-alice",
        "token": "t0ken-value",
        "key": "k3y-value",
    }.items():
        (folder / key).write_text(value)


def client(root: Path, url: str, **fields: Any) -> HttpClient:
    return HttpClient(connection(root, url, **fields))


def test_get_with_query_and_json(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/base/items", answer(200, {"items": [1, 2]}))
    with client(tmp_path, server.url + "/base") as http:
        got = http.request("GET", "/items", query={"q": "a b&c", "n": 3, "all": True, "none": None, "many": [1, 2]})
    assert got.json() == {"items": [1, 2]}
    assert server.paths() == ["GET /base/items?q=a+b%26c&n=3&all=true&many=1&many=2"]
    assert server.requests[0].headers["user-agent"].startswith("adutora/")


def test_post_sends_json_and_headers(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(202))
    with client(tmp_path, server.url) as http:
        assert http.request("POST", "x", json_body={}, headers={"X-A": "1"}, expect=[202]).status == 202
    sent = server.requests[0]
    assert (sent.body, sent.headers["content-type"], sent.headers["x-a"]) == (b"{}", "application/json", "1")


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"basic": {}}, "authorization", "Basic YWxpY2U6cGFzcy0wZi1hbGljZQ=="),
        ({"bearer": {}}, "authorization", "Bearer t0ken-value"),
        ({"apiKey": {"header": "X-Key"}}, "x-key", "k3y-value"),
    ],
)
def test_credentials(server: Any, answer: Any, tmp_path: Path, auth: Any, header: str, value: str) -> None:
    server.on("/x", answer(200))
    with client(tmp_path, server.url, auth=auth) as http:
        http.request("GET", "/x")
    assert server.requests[0].headers[header] == value


@pytest.mark.parametrize("form", [False, True])
def test_login_once_for_several_requests(server: Any, answer: Any, tmp_path: Path, form: bool) -> None:
    server.on("/login", answer(200, {"access_token": "first-token"}))
    server.on("/x", answer(200))
    with client(tmp_path, server.url, auth={"login": {"path": "/login", "form": form}}) as http:
        http.request("GET", "/x")
        http.request("GET", "/x")
    assert server.paths() == ["POST /login", "GET /x", "GET /x"]
    body = server.requests[0].body
    assert body == (b"username=alice&password=pass-0f-alice" if form else body)
    assert form or server.requests[0].json() == {"username": "alice", "password": "pass-0f-alice"}
    assert server.requests[2].headers["authorization"] == "Bearer first-token"
    assert redact("first-token") == "***"


def test_401_renews_the_token_once(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/login", answer(200, {"access_token": "old-token"}), answer(200, {"access_token": "new-token"}))
    server.on("/x", answer(401), answer(200, {"ok": True}))
    with client(tmp_path, server.url, auth=LOGIN) as http:
        assert http.request("POST", "/x", json_body={"a": 1}).json() == {"ok": True}
    assert server.paths() == ["POST /login", "POST /x", "POST /login", "POST /x"]
    assert server.requests[3].headers["authorization"] == "Bearer new-token"
    assert server.requests[3].json() == {"a": 1}


def test_401_twice_is_a_config_error(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/login", answer(200, {"access_token": "some-token"}))
    server.on("/x", answer(401, "no"))
    with (
        client(tmp_path, server.url, auth=LOGIN) as http,
        pytest.raises(ConfigError, match="answered 401 Unauthorized"),
    ):
        http.request("GET", "/x")
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("login", "error", "text"),
    [
        ((401, {"detail": "pass-0f-alice"}), ConfigError, "login of connection api is refused: /login answered 401"),
        ((503, "wait"), TemporaryError, "/login answered 503"),
        ((200, {"token": "x"}), ConfigError, r"no token at \$.access_token \(its keys are token\)"),
        ((200, {"access_token": 7}), ConfigError, "is no text"),
        ((200, "<html>"), ConfigError, "no token"),
    ],
)
def test_login_that_fails(server: Any, answer: Any, tmp_path: Path, login: Any, error: Any, text: str) -> None:
    server.on("/login", answer(*login))
    with client(tmp_path, server.url, auth=LOGIN) as http, pytest.raises(error, match=text) as raised:
        http.request("GET", "/x")
    assert "pass-0f-alice" not in str(raised.value)
    assert server.paths() == ["POST /login"]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (408, TemporaryError),
        (425, TemporaryError),
        (429, TemporaryError),
        (500, TemporaryError),
        (503, TemporaryError),
        (400, DataError),
        (422, DataError),
        (401, ConfigError),
        (403, ConfigError),
        (404, ConfigError),
        (405, ConfigError),
        (304, DataError),
    ],
)
def test_status_says_what_happens_next(server: Any, answer: Any, tmp_path: Path, status: int, error: Any) -> None:
    server.on("/x", answer(status, b"" if status == 304 else "why"))
    with (
        client(tmp_path, server.url) as http,
        pytest.raises(error, match=f"GET /x of connection api answered {status}"),
    ):
        http.request("GET", "/x")


def test_expected_status_only(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(404))
    server.on("/y", answer(200, "fine"))
    with client(tmp_path, server.url) as http:
        assert http.request("GET", "/x", expect=[404]).status == 404
        with pytest.raises(DataError, match="answered 200 OK, not 202 or 204: fine"):
            http.request("GET", "/y", expect=[202, 204])


def test_error_body_is_short_and_without_secrets(server: Any, answer: Any, tmp_path: Path) -> None:
    body = "x" * 490 + " t0ken-value " + "y" * 5000 + "\x1b[31m\n"
    server.on("/x", answer(500, body))
    with client(tmp_path, server.url, auth={"bearer": {}}) as http, pytest.raises(TemporaryError) as error:
        http.request("GET", "/x")
    shown = error.value.message.partition("Error: ")[2]
    assert len(shown) == 500
    assert "t0ken" not in shown
    assert "***" in shown


def test_retry_after_is_told(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(429, "slow down", {"Retry-After": "17"}))
    with client(tmp_path, server.url) as http, pytest.raises(TemporaryError, match="try again after 17"):
        http.request("GET", "/x")


def test_503_then_ok_on_the_next_try(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(503), answer(200, {"ok": 1}))
    with client(tmp_path, server.url) as http:
        with pytest.raises(TemporaryError):
            http.request("GET", "/x")
        assert http.request("GET", "/x").json() == {"ok": 1}


def test_slow_answer(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(200, "late", delay=3))
    with client(tmp_path, server.url, timeout="1s") as http, pytest.raises(TemporaryError, match="no answer within 1s"):
        http.request("GET", "/x")


def test_dripping_answer_ends_at_the_time_out(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(200, "z" * 100, drip=0.1))
    begun = time.monotonic()
    with (
        client(tmp_path, server.url, timeout="1s") as http,
        pytest.raises(TemporaryError, match="not complete after 1s"),
    ):
        http.request("GET", "/x")
    assert time.monotonic() - begun < 3


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with client(tmp_path, f"http://127.0.0.1:{port}") as http, pytest.raises(TemporaryError, match="cannot be reached"):
        http.request("GET", "/x")


def test_huge_answer(server: Any, answer: Any, tmp_path: Path) -> None:
    packed = gzip.compress(b"0" * 2_000_000, mtime=0)
    server.on("/x", answer(200, packed, {"Content-Encoding": "gzip"}))
    with (
        HttpClient(connection(tmp_path, server.url), max_bytes=1_000_000) as http,
        pytest.raises(DataError, match="larger than 1000000 bytes"),
    ):
        http.request("GET", "/x")


@pytest.mark.parametrize("body", ["<html>oops", "", "[1,", "NaN", "[" * 100_000])
def test_garbage_json(server: Any, answer: Any, tmp_path: Path, body: str) -> None:
    server.on("/x", answer(200, body))
    with (
        client(tmp_path, server.url) as http,
        pytest.raises(DataError, match="GET /x of connection api: the answer is no JSON"),
    ):
        http.request("GET", "/x").json()


def test_broken_packing(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(200, b"no gzip at all", {"Content-Encoding": "gzip"}))
    with client(tmp_path, server.url) as http, pytest.raises(DataError, match="cannot be unpacked"):
        http.request("GET", "/x")


def test_redirect_on_the_same_host(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(302, headers={"Location": "/y?a=1"}))
    server.on("/post", answer(307, headers={"Location": "/y"}))
    server.on("/see", answer(303, headers={"Location": "/y"}))
    server.on("/y", answer(200, "here"))
    with client(tmp_path, server.url, auth={"bearer": {}}) as http:
        assert http.request("GET", "/x").body == b"here"
        assert http.request("POST", "/post", json_body={"a": 1}).body == b"here"
        assert http.request("POST", "/see", json_body={"a": 1}).body == b"here"
    assert server.paths() == ["GET /x", "GET /y?a=1", "POST /post", "POST /y", "POST /see", "GET /y"]
    assert server.requests[3].json() == {"a": 1}
    assert all(request.headers["authorization"] == "Bearer t0ken-value" for request in server.requests)


def test_redirect_to_another_host_gets_nothing(server: Any, answer: Any, tmp_path: Path) -> None:
    for place in (f"http://localhost:{server.port}/y", "http://127.0.0.1:1/y", "//evil.test/y", "file:///etc/passwd"):
        server.on("/x", answer(302, headers={"Location": place}))
        with (
            client(tmp_path, server.url, auth={"bearer": {}}) as http,
            pytest.raises(ConfigError, match="another host"),
        ):
            http.request("GET", "/x")
    assert server.paths() == ["GET /x"] * 4


def test_redirect_loop_and_redirected_post(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(302, headers={"Location": "/x"}))
    with client(tmp_path, server.url) as http:
        with pytest.raises(ConfigError, match="more than 5 redirects"):
            http.request("GET", "/x")
        with pytest.raises(ConfigError, match="POST /x of connection api is redirected to /x"):
            http.request("POST", "/x")
        assert http.request("GET", "/x", expect=[302]).status == 302


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("http://evil.test/", "names a host"),
        ("//evil.test/x", "names a host"),
        ("/../admin", "leaves"),
        ("/a/%2e%2e/admin", "leaves"),
        ("/a\\..\\b", "leaves"),
        ("/a\r\nHost: evil", "leaves"),
        ("/a%0d%0aHost: evil", "leaves"),
        ("/a?b=c", "belong under `query`"),
        ("/a#b", "belong under `query`"),
    ],
)
def test_path_cannot_leave_the_base(server: Any, tmp_path: Path, path: str, text: str) -> None:
    with client(tmp_path, server.url) as http, pytest.raises(ConfigError, match=text):
        http.request("GET", path)
    assert server.requests == []


@pytest.mark.parametrize("path", ["@evil.test/", ":80@evil.test/", ".evil.test/", "evil.test:1/"])
def test_odd_paths_stay_on_the_host(server: Any, tmp_path: Path, path: str) -> None:
    with client(tmp_path, server.url) as http, pytest.raises(ConfigError, match="answered 404"):
        http.request("GET", path)
    assert server.requests[0].headers["host"] == f"127.0.0.1:{server.port}"


def test_follow_stays_on_the_host(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/items", answer(200, "page"))
    with client(tmp_path, server.url) as http:
        assert http.follow(f"{server.url}/items?page=2").body == b"page"
        with pytest.raises(ConfigError, match="another host"):
            http.follow("http://evil.test/items?page=2")


@pytest.mark.parametrize("name", ["Authorization", "cookie", "Host", "Content-Length", "a b", "X\r\nY"])
def test_headers_that_a_stage_may_not_set(server: Any, tmp_path: Path, name: str) -> None:
    with client(tmp_path, server.url) as http, pytest.raises(ConfigError, match="header"):
        http.request("GET", "/x", headers={name: "v"})
    assert server.requests == []


def test_header_value_on_one_line(server: Any, tmp_path: Path) -> None:
    with client(tmp_path, server.url) as http, pytest.raises(ConfigError, match="one line"):
        http.request("GET", "/x", headers={"X-A": "v\r\nX-B: w"})


def test_secret_that_breaks_a_header(server: Any, tmp_path: Path) -> None:
    (tmp_path / ".adutora/secrets/api/token").write_text("first\nsecond")
    with client(tmp_path, server.url, auth={"bearer": {}}) as http, pytest.raises(ConfigError) as error:
        http.request("GET", "/x")
    assert "first" not in str(error.value)
    assert "second" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["ftp://x", "no url", "http://", "http://user:pass@x/", "http://x/?q=1", "http://x:99999", "http://[::1"]
)
def test_base_url_that_is_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="baseUrl"):
        client(tmp_path, url)


def test_query_and_body_that_cannot_be_sent(server: Any, tmp_path: Path) -> None:
    with client(tmp_path, server.url) as http:
        with pytest.raises(ConfigError, match="query parameter q"):
            http.request("GET", "/x", query={"q": {"a": 1}})
        with pytest.raises(ConfigError, match="cannot be sent as JSON"):
            http.request("POST", "/x", json_body={"a": float("nan")})


def test_rate_limit_holds_in_every_window() -> None:
    now, begun = [0.0], []

    def sleep(seconds: float) -> None:
        now[0] += seconds

    limit = RateLimit("5/s", clock=lambda: now[0], sleep=sleep)
    for _ in range(17):
        limit.wait()
        begun.append(now[0])
        now[0] += 0.01
    assert all(later - earlier > 0.9999 for earlier, later in zip(begun, begun[5:], strict=False))
    assert begun[-1] < 3.2


def test_rate_limit_slows_real_requests(server: Any, answer: Any, tmp_path: Path) -> None:
    server.on("/x", answer(200))
    with client(tmp_path, server.url, rateLimit="2/s") as http:
        begun = time.monotonic()
        for _ in range(3):
            http.request("GET", "/x")
    assert time.monotonic() - begun >= 1.0
    with pytest.raises(ConfigError, match="allows no request"):
        client(tmp_path, server.url, rateLimit="0/s")


def test_jsonpath() -> None:
    document = {"a": [{"b": 1}, {"b": 2}], "n": None}
    assert find_one(document, "$.a[0].b") == 1
    assert find_one(document, "$.a[*].b") == [1, 2]
    assert find_one(document, "$.n") is None
    assert find_all(document, "$.x") == []
    with pytest.raises(DataError, match=r"nothing at \$.x \(its keys are a, n\)"):
        find_one(document, "$.x")
    for path in ("$.[", "", "a b c", "$..", "$.a[?(@"):
        with pytest.raises(ConfigError, match="is no JSONPath"):
            find_one(document, path)
