"""Run a `probe` stage: is a connection there, and does it take our credentials?"""

import errno
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from adutora.errors import AdutoraError, ConfigError, TemporaryError
from adutora.io.connections import Connection, key_pair
from adutora.io.secrets import redact
from adutora.stages.probe.spec import Probe

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext

_S3_TIMEOUT = 5  # seconds, to connect and to answer
# How the AWS SDK names what a server thinks of us; the answer to HEAD has no body that would say it.
_S3_REFUSED = ("ACCESS_DENIED", "HTTP status 401", "INVALID_ACCESS_KEY", "SIGNATURE", "UNRECOGNIZED_CLIENT")


def run(spec: Probe, ctx: "StageContext") -> None:
    """Probe the connection. Raises TemporaryError if it is not reachable, ConfigError if it refuses us."""
    connection = ctx.connection(spec.connection)
    probe = PROBES.get(connection.type)
    if probe is None:
        raise ConfigError(
            f"connection {connection.name} is of type {connection.type}, which this version cannot probe",
            hint=f"it can probe {', '.join(sorted(PROBES))}",
        )
    begun = time.monotonic()
    found = probe(connection)
    ctx.outcome.metrics["probe_seconds"] = round(time.monotonic() - begun, 4)
    ctx.log.info("connection %s (%s): %s", connection.name, connection.type, found)


def _http(connection: Connection) -> str:
    """Log in where the connection does; else any answer will do that does not refuse us."""
    from adutora.io.http import HttpClient

    reached = [*range(200, 401), 402, *range(404, 408), *range(409, 425), *range(426, 429), *range(430, 500)]
    with HttpClient(connection) as client:
        if client.logs_in:
            client.login()
            return "logged in"
        # Some servers know no HEAD, and say so by 405 or by 501.
        answer = client.request("HEAD", "", expect=[*reached, 501])
        if answer.status in (405, 501):
            answer = client.request("GET", "", expect=reached)
        return f"answered {answer.status}"


def _online(connection: Connection) -> str:
    from adutora.io.online import open_store

    store = open_store(connection, connection.project_root)
    try:
        store.probe()
    finally:
        store.close()
    return "answered"


def _s3(connection: Connection) -> str:
    """Ask for the bucket: that needs it to be there, and the credentials to be good for it."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, FileType, S3FileSystem

    settings = connection.settings
    access, secret = key_pair(connection) or (None, None)
    endpoint = settings.endpoint or ""
    filesystem = S3FileSystem(
        access_key=access,
        secret_key=secret,
        region=settings.region,
        endpoint_override=endpoint or None,
        scheme="http" if endpoint.startswith("http://") else "https",
        connect_timeout=_S3_TIMEOUT,
        request_timeout=_S3_TIMEOUT,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1),  # the stage's own retries do the rest
    )
    try:
        (info,) = filesystem.get_file_info([settings.bucket])
    except OSError as error:
        raise _s3_error(connection, redact(str(error))) from None
    if info.type == FileType.NotFound:
        raise ConfigError(f"connection {connection.name}: there is no bucket {settings.bucket}")
    return f"bucket {settings.bucket} is there"


def _s3_error(connection: Connection, said: str) -> AdutoraError:
    name = connection.name
    if any(sign in said for sign in _S3_REFUSED):
        return ConfigError(f"connection {name}: the bucket refuses our credentials: {said}")
    if "HTTP status 301" in said or "HTTP status 400" in said:
        return ConfigError(f"connection {name}: the request is not understood: {said}", hint="see region and endpoint")
    return TemporaryError(f"connection {name}: the bucket cannot be reached: {said}")


def _folder(connection: Connection) -> str:
    path = connection.path(connection.settings.path)
    if not path.exists():
        raise ConfigError(
            f"connection {connection.name}: there is no folder {path}", hint="make it, or correct the path"
        )
    if not path.is_dir():
        raise ConfigError(f"connection {connection.name}: {path} is no folder")
    try:
        next(path.iterdir(), None)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise TemporaryError(f"connection {connection.name}: folder {path} is full") from error
        raise ConfigError(
            f"connection {connection.name}: folder {path} cannot be read and written: {error.strerror or error}"
        ) from error
    return f"folder {path} is there"


PROBES: Final[dict[str, Callable[[Connection], str]]] = {
    "http": _http,
    "redis": _online,
    "sqlite": _online,
    "s3": _s3,
    "folder": _folder,
}
