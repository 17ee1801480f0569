"""One connection to Redis that comes back after a loss, and its errors in our words."""

import hashlib
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

import redis
from redis import connection as client
from redis.backoff import NoBackoff
from redis.retry import Retry

from adutora.errors import AdutoraError, ConfigError, TemporaryError
from adutora.io.online.redis_scripts import ALL

T = TypeVar("T")
Connection = Any  # a redis-py connection: its methods have no types
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
PATIENCE_SECONDS = 10.0  # how long a loss is mended here, before the stage's own retries take over
SHA = {name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest() for name, text in ALL.items()}

_MEMORY = "give it more memory, or publish less; nothing is half-written, a rerun completes it"
# Errors by the first word of the server's message: is it worth a retry, and what would be right.
_REPLIES: dict[str, tuple[type[AdutoraError], str | None]] = {
    "OOM": (TemporaryError, _MEMORY),
    "MISCONF": (TemporaryError, "the server cannot save to its disk and takes no writes"),
    "READONLY": (TemporaryError, "this is a replica: name the primary, or wait for the end of a fail-over"),
    "MASTERDOWN": (TemporaryError, None),
    "NOREPLICAS": (TemporaryError, "too few replicas are up to take writes"),
    "BUSY": (TemporaryError, "another script keeps the server busy"),
    "FENCED": (TemporaryError, "another run publishes the same prefix"),
    "NOPERM": (ConfigError, "the user needs +@connection +@read +@write +@hash +@keyspace +@scripting on all keys"),
    "MOVED": (ConfigError, "the server is a Redis Cluster, which cannot be published to"),
    "CROSSSLOT": (ConfigError, "the server is a Redis Cluster, which cannot be published to"),
    "WRONGTYPE": (ConfigError, "another program writes there: choose another prefix"),
}


class Link:
    """A connection that is made when first needed.

    A lost one is made again for `patience` seconds, and what was asked is asked again: all that is sent here
    may happen twice. If `pinned`, a server that restarted meanwhile is an error, as it may have lost what it
    had acknowledged.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        patience: float = PATIENCE_SECONDS,
        tls: bool,
        ca: str | None = None,
        **login: Any,
    ) -> None:
        """`ca` is the PEM of what signs the server's certificate, beside the authorities that the system trusts."""
        self.where = f"{host}:{port}"
        self.pinned = False
        self._patience, self._tls = patience, tls
        kind = partial(client.SSLConnection, ssl_ca_data=_checked(ca)) if tls else client.Connection
        self._make: Callable[[], Connection] = lambda: kind(
            host=host,
            port=port,
            protocol=2,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 0),
            **login,
        )
        self._connection: Connection | None = None
        self._server: str | None = None

    def call(self, *command: str | bytes | int) -> Any:
        """Send a command and return the answer."""
        return self.calls([command])[0]

    def calls(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Send commands at once and return their answers."""

        def work(connection: Connection) -> list[Any]:
            connection.send_packed_command(connection.pack_commands(commands))
            return [connection.read_response() for _ in commands]

        return self.attempt(work)

    def script(self, name: str, keys: Sequence[str | bytes], *args: str | bytes | int) -> Any:
        """Run a script of `redis_scripts`."""
        return self.call("EVALSHA", SHA[name], len(keys), *keys, *args)

    def attempt(self, work: Callable[[Connection], T]) -> T:
        """Do `work` on a connection, again after a loss. Raises our errors."""
        deadline, delay = time.monotonic() + self._patience, 0.05
        while True:
            try:
                return work(self._connected())
            except redis.RedisError as error:
                self.close()  # answers to what was sent after the failed command may be on their way
                if not _is_loss(error) or time.monotonic() + delay > deadline:
                    raise translate(error, self.where, tls=self._tls) from error
            except BaseException:
                self.close()
                raise
            time.sleep(delay)
            delay = min(2.0, 2 * delay)

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = self._make()
            connection.connect()
            self._connection = connection
            self._check_server(connection)
            for text in ALL.values():  # a restarted server knows none
                connection.send_command("SCRIPT LOAD", text)
                connection.read_response()
        return self._connection

    def _check_server(self, connection: Connection) -> None:
        connection.send_command("INFO", "server")
        try:
            info = connection.read_response(disable_decoding=True)
        except redis.ResponseError:
            return  # not allowed: then a restart goes unseen
        server = next((line[7:] for line in bytes(info).decode().splitlines() if line.startswith("run_id:")), None)
        if self.pinned and self._server != server:
            self.pinned = False
            raise TemporaryError(
                f"Redis at {self.where} restarted during the publication and may have lost some of it",
                hint="the next try publishes all again",
            )
        self._server = server


class Pipe:
    """Calls on their way: while Redis does one payload, the next is made. Nothing waits for a round trip."""

    AHEAD = 1  # payloads that may be without an answer when `push` returns

    def __init__(self, link: Link) -> None:
        self._link = link
        self._unanswered: deque[tuple[bytes, int]] = deque()
        self._sent = 0
        self._connection: Connection | None = None
        self.totals = [0, 0, 0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._unanswered:  # the rows failed: these answers must not meet the next question
            self._link.close()

    def push(self, payload: bytes, calls: int) -> None:
        """Send packed calls that answer with three counts each."""
        self._unanswered.append((payload, calls))
        self._link.attempt(lambda connection: self._advance(connection, self.AHEAD))

    def drain(self) -> None:
        """Wait for every answer."""
        self._link.attempt(lambda connection: self._advance(connection, 0))

    def _advance(self, connection: Connection, ahead: int) -> None:
        if connection is not self._connection:  # a new one: all without an answer goes again
            self._connection, self._sent = connection, 0
        while self._sent < len(self._unanswered):
            connection.send_packed_command([self._unanswered[self._sent][0]])
            self._sent += 1
        while len(self._unanswered) > ahead:
            counts = [connection.read_response() for _ in range(self._unanswered[0][1])]
            self._unanswered.popleft()
            self._sent -= 1
            self.totals = [
                total + sum(each) for total, each in zip(self.totals, zip(*counts, strict=True), strict=True)
            ]


def _is_loss(error: redis.RedisError) -> bool:
    """The connection, not the command, is the trouble (or scripts were flushed: they are loaded on connecting)."""
    if isinstance(error, redis.AuthenticationError) or _is_certificate(error):
        return False
    return isinstance(error, redis.ConnectionError | redis.TimeoutError | redis.exceptions.NoScriptError)


def _is_certificate(error: redis.RedisError) -> bool:
    return "CERTIFICATE_VERIFY_FAILED" in str(error)


def _checked(ca: str | None) -> str | None:
    if ca is not None:
        try:
            ssl.create_default_context(cadata=ca)
        except ssl.SSLError as error:
            raise ConfigError(
                f"key `ca` of the Redis connection's secret holds no certificate: {error}",
                hint="it is PEM text: -----BEGIN CERTIFICATE-----, lines of base64, -----END CERTIFICATE-----",
            ) from None
    return ca


def translate(error: redis.RedisError, where: str, *, tls: bool) -> AdutoraError:
    """Return our error for one of Redis: what did not answer is temporary, what was refused is not."""
    text = str(error)
    if isinstance(error, redis.AuthenticationError):
        return ConfigError(
            f"Redis at {where} refuses our credentials: {text}",
            hint="give the connection `secretRef: {name: NAME}`, and that secret the keys password and, if need be, "
            "user: on a laptop in files such as .adutora/secrets/NAME/password",
        )
    if _is_certificate(error):
        return ConfigError(
            f"Redis at {where} shows a certificate that is not trusted: {text}",
            hint="name the host as its certificate does; the PEM of an authority of your own goes into key `ca` of the "
            "connection's secret",
        )
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return TemporaryError(f"Redis at {where} does not answer: {text}", hint=_tls_hint(text, tls=tls))
    for word, (kind, hint) in _REPLIES.items():
        if _word(error, text) == word:
            return kind(f"Redis at {where}: {text}", hint=hint)
    return ConfigError(f"Redis at {where} refused a command: {text}")


def _tls_hint(text: str, *, tls: bool) -> str | None:
    """A server that speaks TLS breaks off what does not, and one that does not waits for the end of a command."""
    if tls and ("SSL" in text or "Timeout connecting" in text):
        return "the connection says `tls: true`: does the server speak TLS at this port?"
    if not tls and ("reset by peer" in text or "closed by server" in text):
        return "the connection says `tls: false`: a server that speaks TLS at this port needs `tls: true`"
    return None


def _word(error: redis.RedisError, text: str) -> str:
    """redis-py turns the first word of some messages into a class and cuts it off."""
    names = {
        redis.exceptions.OutOfMemoryError: "OOM",
        redis.exceptions.ReadOnlyError: "READONLY",
        redis.exceptions.MasterDownError: "MASTERDOWN",
        redis.exceptions.NoPermissionError: "NOPERM",
        redis.exceptions.MovedError: "MOVED",
        redis.exceptions.ClusterCrossSlotError: "CROSSSLOT",
    }
    return names.get(type(error)) or text.split(" ", 1)[0]
