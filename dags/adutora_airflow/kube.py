"""The few calls that the side-car makes, on the standard library: it has to be small, and stands in every pod."""

import base64
import contextlib
import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Json = dict[str, Any]
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
GROUP = "/apis/adutora.dev/v1alpha1"
METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PAGE = 100


class ApiError(Exception):
    """The API server answered with an error; `code` is the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class GoneError(ApiError):
    """The API server has forgotten what happened since that version: list again."""


@dataclass(frozen=True)
class Server:
    """Where the API server is, and who we are to it. The token's file is read anew, for the kubelet renews it."""

    url: str
    context: ssl.SSLContext | None
    token: str | None = None
    token_file: Path | None = None

    @classmethod
    def here(cls) -> "Server":
        """Return the server of this pod's service account, else that of KUBECONFIG. Raises OSError, KeyError."""
        if "KUBERNETES_SERVICE_HOST" in os.environ and (ACCOUNT / "token").exists():
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            host = f"[{host}]" if ":" in host else host
            context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
            return cls(f"https://{host}:{port}", context, token_file=ACCOUNT / "token")
        return cls.of_kubeconfig(Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config"))

    @classmethod
    def of_kubeconfig(cls, path: Path) -> "Server":
        """Read a kubeconfig with a token or a client certificate."""
        import yaml

        data = yaml.safe_load(path.read_text())
        chosen = {each["name"]: each["context"] for each in data["contexts"]}[data["current-context"]]
        cluster = {each["name"]: each["cluster"] for each in data["clusters"]}[chosen["cluster"]]
        user = {each["name"]: each["user"] for each in data["users"]}[chosen["user"]]
        if cluster["server"].startswith("http://"):
            return cls(cluster["server"], None, user.get("token"))
        authority = _content(cluster, "certificate-authority", path)
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _client_certificate(context, user, path)
        return cls(cluster["server"], context, user.get("token"))

    def authorization(self) -> dict[str, str]:
        """Return the header that says who we are."""
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}


def _content(entry: Json, name: str, kubeconfig: Path) -> bytes | None:
    if f"{name}-data" in entry:
        return base64.b64decode(entry[f"{name}-data"])
    return (kubeconfig.parent / entry[name]).read_bytes() if name in entry else None


def _client_certificate(context: ssl.SSLContext, user: Json, path: Path) -> None:
    certificate, key = _content(user, "client-certificate", path), _content(user, "client-key", path)
    if not certificate or not key:
        return
    with tempfile.NamedTemporaryFile() as file:  # OpenSSL reads files alone
        file.write(certificate + b"\n" + key)
        file.flush()
        context.load_cert_chain(file.name)


class Kube:
    """One connection to the API server, kept open."""

    def __init__(self, server: Server, timeout: float = 30.0) -> None:
        self._server, self._timeout = server, timeout
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, accept: str = "application/json", **query: str) -> Json:
        """Return the JSON at a path. Raises ApiError, OSError."""
        answer = self._request(path, accept, query, self._timeout)
        data = answer.read()
        if answer.status >= 400:
            raise _error(answer.status, data)
        return json.loads(data)  # type: ignore[no-any-return]

    def pages(self, path: str, accept: str = "application/json") -> Iterator[Json]:
        """Yield the pages of a list; all of them stand at one version."""
        more = ""
        while True:
            page = self.get(path, accept, limit=str(PAGE), **({"continue": more} if more else {}))
            yield page
            more = page["metadata"].get("continue", "")
            if not more:
                return

    def watch(self, path: str, version: str, seconds: int) -> Iterator[Json]:
        """Yield what happens since a version, bookmarks too, for `seconds`. Raises GoneError, ApiError, OSError."""
        query = {
            "watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds),
        }  # fmt: skip
        answer = self._request(path, "application/json", query, seconds + self._timeout)
        if answer.status >= 400:
            raise _error(answer.status, answer.read())
        try:
            while line := answer.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _error(event["object"].get("code", 500), json.dumps(event["object"]).encode())
                yield event
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, path: str, accept: str, query: dict[str, str], timeout: float) -> http.client.HTTPResponse:
        target = f"{urlsplit(self._server.url).path.rstrip('/')}{path}"
        target += f"?{urlencode(query)}" if query else ""
        headers = {"Accept": accept, "User-Agent": "adutora-sync", **self._server.authorization()}
        for last in (False, True):
            fresh = self._connection is None
            connection = self._open(timeout)
            try:
                connection.request("GET", target, headers=headers)
                return connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last or fresh:  # an idle connection may have been closed meanwhile: once more, on a new one
                    raise OSError(f"{self._server.url} does not answer: {error}") from error
        raise AssertionError

    def _open(self, timeout: float) -> http.client.HTTPConnection:
        if self._connection is None:
            parts = urlsplit(self._server.url)
            host, context = parts.hostname or "", self._server.context
            if context is None:
                self._connection = http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
            else:
                self._connection = http.client.HTTPSConnection(
                    host, parts.port or 443, timeout=timeout, context=context
                )
        elif self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
        self._connection.timeout = timeout
        return self._connection


def _error(code: int, data: bytes) -> ApiError:
    message = data[:500].decode(errors="replace")
    with contextlib.suppress(ValueError, AttributeError):
        message = json.loads(data).get("message", message)
    return GoneError(code, message) if code == http.HTTPStatus.GONE else ApiError(code, message)
