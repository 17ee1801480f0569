"""The Kubernetes API, as far as the operator writes to it: a few requests over aiohttp.

kopf reads (lists and watches) with a client of its own, which is private. For the writes aiohttp is the simplest that
is fast: kopf brings it along, it runs in the same event loop, and a request costs a third of what httpx or the
`kubernetes` package in threads costs. Who we are is found by kopf's public login functions.
"""

import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import kopf

Json = dict[str, Any]
BASE: Final = "/apis/adutora.dev/v1alpha1"
MERGE_PATCH: Final = "application/merge-patch+json"
FIELD_MANAGER: Final = "adutora-operator"
# Only the metadata of each object: a list of all revisions stays small.
EVERYTHING: Final = "*/*"
METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=10)
_CONNECTIONS: Final = 64
PAGE: Final = 500


class ApiError(Exception):
    """The API server refused, or could not. Worth another try."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason = status, reason


class NotFoundError(ApiError):
    """The object is not there, or not any more."""


class ConflictError(ApiError):
    """The object is not as we thought: it changed, or stands already. Look again, then decide again."""


class InvalidError(ApiError):
    """The API server will never take this object."""


_BY_STATUS: Final[dict[int, type[ApiError]]] = {404: NotFoundError, 409: ConflictError, 422: InvalidError}


class Api:
    """A connection to the API server. `login` says where it is and who we are, again whenever a token has expired."""

    def __init__(self, login: Callable[[], kopf.ConnectionInfo], written: Callable[[str], None]) -> None:
        self._login, self._written = login, written  # `written` is told of each write, by its verb
        self._session: aiohttp.ClientSession | None = None
        self._server = ""

    async def create(self, plural: str, namespace: str, body: Json) -> Json:
        """Create an object. Raises ConflictError where one of that name stands."""
        self._written("create")
        return await self._request("POST", _path(plural, namespace), body)

    async def patch_status(self, plural: str, namespace: str, name: str, body: Json) -> Json:
        """Merge into the status. Raises ConflictError where `metadata.resourceVersion` is not the object's."""
        self._written("patch_status")
        return await self._request("PATCH", _path(plural, namespace, name, "status"), body, MERGE_PATCH)

    async def get(self, plural: str, namespace: str, name: str) -> Json:
        """Read an object. Raises NotFoundError."""
        return await self._request("GET", _path(plural, namespace, name))

    async def delete(self, plural: str, namespace: str, name: str, uid: str) -> None:
        """Delete an object if it is still the one with that uid."""
        self._written("delete")
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._request("DELETE", _path(plural, namespace, name), options)

    async def pages(self, plural: str, namespace: str | None, accept: str = EVERYTHING) -> AsyncIterator[list[Json]]:
        """Yield every object, in pages."""
        query = {"limit": str(PAGE)}
        while True:
            page = await self._request("GET", f"{_path(plural, namespace)}?{urlencode(query)}", accept=accept)
            yield page["items"] or []
            query["continue"] = page["metadata"].get("continue") or ""
            if not query["continue"]:
                return

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _request(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json", accept: str = EVERYTHING
    ) -> Json:
        """Send one request; where the token has expired, a second one with a new token."""
        for last in (False, True):
            session = self._connected()
            data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
            headers = {"Content-Type": kind, "Accept": accept}
            async with session.request(method, self._server + path, data=data, headers=headers) as response:
                text = await response.read()
            if response.status == 401 and not last:
                await self.close()
                continue
            return _answer(response.status, text)
        raise AssertionError("a second try returns or raises")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            info = self._login()
            tls: ssl.SSLContext | bool = info.as_ssl_context() if info.server.startswith("https") else False
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=tls)
            headers = {**info.as_http_headers(), "User-Agent": FIELD_MANAGER}
            self._session = aiohttp.ClientSession(connector=connector, headers=headers, timeout=_TIMEOUT)
            self._server = info.server.rstrip("/")
        return self._session


def _path(plural: str, namespace: str | None, name: str = "", sub: str = "") -> str:
    where = f"/namespaces/{namespace}" if namespace is not None else ""
    return f"{BASE}{where}/{plural}" + (f"/{name}" if name else "") + (f"/{sub}" if sub else "")


def _answer(status: int, text: bytes) -> Json:
    try:
        value = json.loads(text)
    except ValueError:
        value = {"reason": "Unreadable", "message": text[:200].decode(errors="replace")}
    if status < 300:
        out: Json = value
        return out
    reason, message = str(value.get("reason")), str(value.get("message"))
    raise _BY_STATUS.get(status, ApiError)(status, reason, message)
