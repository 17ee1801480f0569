"""Connections and their secrets: where values come from, and that they are shown nowhere."""

import io
import logging
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError
from adutora.io.connections import Connection, SecretFilter, redact, remember, resolve, s3_options, secret_keys
from adutora.io.online import open_store
from adutora.spec.project import Connection as ConnectionSpec


def spec(**fields: Any) -> ConnectionSpec:
    return ConnectionSpec.model_validate({"name": "books-api", **fields})


def resolved(root: Path, **fields: Any) -> Connection:
    found = spec(**fields)
    return resolve({found.name: found}, found.name, root)


API = {"http": {"baseUrl": "http://books", "auth": {"login": {"path": "/login"}}}, "secretRef": {"name": "books-api"}}


def put(root: Path, key: str, value: str | bytes, secret: str = "books-api") -> Path:
    file = root / ".adutora" / "secrets" / secret / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(value.encode() if isinstance(value, str) else value)
    return file


def test_resolve_gives_type_and_settings(tmp_path: Path) -> None:
    found = resolved(tmp_path, redis={"host": "here", "port": 1234})
    assert (found.name, found.type, found.settings.host, found.settings.port) == ("books-api", "redis", "here", 1234)


def test_unknown_connection_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no connection books-ap \(did you mean books-api\?\)"):
        resolve({"books-api": spec(slack={})}, "books-ap", tmp_path)
    with pytest.raises(ConfigError, match="the Project has: none"):
        resolve({}, "x", tmp_path)


def test_a_secret_that_has_nothing_is_told_before_a_store_is_asked(tmp_path: Path) -> None:
    redis = resolved(tmp_path, redis={"host": "here"}, secretRef={"name": "online"})
    with pytest.raises(ConfigError, match="secret online has none of the keys user, password") as told:
        open_store(redis, tmp_path)
    for key in ("user", "password"):
        assert str(tmp_path / ".adutora" / "secrets" / "online" / key) in (told.value.hint or "")
    put(tmp_path, "password", "s3cret-word", "online")
    open_store(redis, tmp_path).close()
    assert resolved(tmp_path, redis={"host": "here"}).secrets() == {}


def test_secret_from_file_without_its_last_newline(tmp_path: Path) -> None:
    put(tmp_path, "user", "alice\n")
    put(tmp_path, "password", "two\nlines\r\n")
    found = resolved(tmp_path, **API)
    assert found.secret("user") == "alice"
    assert found.secret("password") == "two\nlines"


def test_file_wins_over_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADUTORA_SECRET_BOOKS_API_USER", "from-environment")
    found = resolved(tmp_path, **API)
    assert found.secret("user") == "from-environment"
    put(tmp_path, "user", "from-file")
    assert found.secret("user") == "from-file"


def test_keys_are_mapped(tmp_path: Path) -> None:
    put(tmp_path, "login-name", "alice")
    found = resolved(tmp_path, **{**API, "secretRef": {"name": "books-api", "keys": {"user": "login-name"}}})
    assert found.secret("user") == "alice"


def test_cluster_reads_the_mounted_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = tmp_path / "mounted"
    (mounted / "books-api").mkdir(parents=True)
    (mounted / "books-api" / "user").write_text("mounted-user")
    put(tmp_path, "password", "laptop")
    monkeypatch.setenv("ADUTORA_SECRET_BOOKS_API_PASSWORD", "laptop")
    monkeypatch.setenv("ADUTORA_SECRETS_DIR", str(mounted))
    found = resolved(tmp_path, **API)
    assert found.secret("user") == "mounted-user"
    with pytest.raises(ConfigError) as error:
        found.secret("password")
    assert str(mounted / "books-api" / "password") in str(error.value)
    assert "environment" not in str(error.value)


def test_missing_secret_names_both_places_and_the_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        resolved(tmp_path, **API).secret("user")
    assert error.value.message == "connection books-api: key user of secret books-api is missing"
    assert error.value.hint == (
        f"looked for the file {tmp_path}/.adutora/secrets/books-api/user "
        "or the environment variable ADUTORA_SECRET_BOOKS_API_USER"
    )


def test_empty_secret_is_told_apart(tmp_path: Path) -> None:
    put(tmp_path, "user", "\n")
    with pytest.raises(ConfigError, match="is empty"):
        resolved(tmp_path, **API).secret("user")


def test_secret_without_secret_ref(tmp_path: Path) -> None:
    found = resolved(tmp_path, slack={})
    assert found.optional_secret("url") is None
    with pytest.raises(ConfigError, match=r"it has no secretRef \(add `secretRef: \{name: books-api\}`"):
        found.secret("url")


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/passwd", "..", ".hidden", "a/b", ""])
def test_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    found = Connection("c", "slack", None, tmp_path, "books-api", {"url": key})
    with pytest.raises(ConfigError, match="no key of a Secret"):
        found.secret("url")


def test_unreadable_values_are_refused_without_showing_them(tmp_path: Path) -> None:
    put(tmp_path, "user", b"caf\xe9-secret")
    put(tmp_path, "password", "x" * (1024 * 1024 + 1))
    found = resolved(tmp_path, **API)
    with pytest.raises(ConfigError, match="no UTF-8 text") as error:
        found.secret("user")
    assert error.value.__cause__ is None
    assert "caf" not in str(error.value)
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        found.secret("password")


def test_values_are_not_in_repr(tmp_path: Path) -> None:
    put(tmp_path, "user", "repr-me-not")
    found = resolved(tmp_path, **API)
    found.secret("user")
    assert "repr-me-not" not in repr(found) + str(found) + str(vars(found))


def test_secret_keys_by_type_and_auth(tmp_path: Path) -> None:
    def keys(**fields: Any) -> dict[str, bool]:
        found = resolved(tmp_path, **fields)
        return secret_keys(found.type, found.settings)

    assert keys(**API) == {"user": True, "password": True}
    assert keys(http={"baseUrl": "http://x", "auth": {"apiKey": {}}}) == {"key": True}
    assert keys(http={"baseUrl": "http://x"}) == {}
    assert keys(s3={"bucket": "b"}) == {"accessKey": False, "secretKey": False}
    assert keys(folder={"path": "x"}) == {}


def test_secrets_gives_those_that_are_there(tmp_path: Path) -> None:
    put(tmp_path, "password", "only-this")
    found = resolved(tmp_path, redis={}, secretRef={"name": "books-api"})
    assert found.secrets() == {"password": "only-this"}
    with pytest.raises(ConfigError, match="key user of secret"):
        resolved(tmp_path, postgres={"host": "h", "database": "d"}, secretRef={"name": "books-api"}).secrets()


def test_path_counts_from_the_project(tmp_path: Path) -> None:
    found = resolved(tmp_path, folder={"path": "inbox"})
    assert found.path("inbox") == tmp_path / "inbox"
    assert found.path("/data") == Path("/data")


def test_s3_options(tmp_path: Path) -> None:
    ref = {"secretRef": {"name": "books-api"}}
    assert s3_options(resolved(tmp_path, s3={"bucket": "b"})) == {
        "AWS_REGION": "us-east-1",
        "AWS_CONDITIONAL_PUT": "etag",
    }
    put(tmp_path, "accessKey", "access-1")
    with pytest.raises(ConfigError, match="key secretKey of secret books-api is missing"):
        s3_options(resolved(tmp_path, s3={"bucket": "b"}, **ref))
    put(tmp_path, "secretKey", "secret-1")
    options = s3_options(resolved(tmp_path, s3={"bucket": "b", "endpoint": "http://127.0.0.1:7070"}, **ref))
    assert options["AWS_ACCESS_KEY_ID"] == "access-1"
    assert options["AWS_SECRET_ACCESS_KEY"] == "secret-1"
    assert options["AWS_ALLOW_HTTP"] == "true"
    with pytest.raises(ConfigError, match="s3 is needed"):
        s3_options(resolved(tmp_path, slack={}))


def test_redact_masks_every_spelling() -> None:
    remember('p@ss "word"/ü')
    for text in ('p@ss "word"/ü', "p%40ss%20%22word%22%2F%C3%BC", 'p@ss \\"word\\"/\\u00fc'):
        assert redact(f"url?x={text}&y") == "url?x=***&y"


def test_redact_prefers_the_longer_value() -> None:
    remember("abcdef")
    remember("abcdef-ghijkl")
    assert redact("abcdef-ghijkl abcdef") == "*** ***"


def test_short_values_are_left_alone() -> None:
    remember("ab")
    assert redact("abacus") == "abacus"


def test_read_secret_is_masked_in_logs(tmp_path: Path) -> None:
    put(tmp_path, "user", "log-me-not\nsecond-line-of-it")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(SecretFilter())
    log = logging.getLogger("test.secrets")
    log.propagate = False
    log.addHandler(handler)
    try:
        value = resolved(tmp_path, **API).secret("user")
        log.warning("value %s", value)
        log.warning("%(a)s", {"a": value})
        try:
            raise ValueError(value)
        except ValueError:
            log.exception("failed")
    finally:
        log.removeHandler(handler)
    shown = stream.getvalue()
    assert "value ***" in shown
    assert "ValueError: ***" in shown
    assert "log-me-not" not in shown
    assert "second-line-of-it" not in shown
