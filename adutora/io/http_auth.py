"""How a connection of type http shows who we are. Tokens live in memory, for the length of a stage."""

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.io.connections import Connection
from adutora.io.jsonpath import find_one
from adutora.io.secrets import remember


class LoginAnswer(Protocol):
    """What a login needs of an answer."""

    @property
    def status(self) -> int: ...
    def json(self) -> Any:
        """Parse the body."""


SendLogin = Callable[[str, Mapping[str, str], bool], LoginAnswer]


class Auth:
    """Headers of one connection's `auth` block; keeps the token of a login."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._auth = connection.settings.auth
        self.token: str | None = None

    @property
    def logs_in(self) -> bool:
        """Whether a token has to be fetched first."""
        return self._auth is not None and self._auth.login is not None

    def headers(self) -> dict[str, str]:
        """Return the headers that carry our credentials. Raises ConfigError if a secret is missing."""
        auth = self._auth
        if auth is None:
            return {}
        if auth.login is not None:
            return {"Authorization": self._checked(f"Bearer {self.token}")} if self.token else {}
        if auth.basic is not None:
            pair = f"{self._connection.secret('user')}:{self._connection.secret('password')}"
            encoded = base64.b64encode(pair.encode()).decode()
            remember(encoded)
            return {"Authorization": f"Basic {encoded}"}
        if auth.bearer is not None:
            return {"Authorization": self._checked(f"Bearer {self._connection.secret('token')}")}
        return {auth.apiKey.header: self._checked(self._connection.secret("key"))}

    def log_in(self, send: SendLogin) -> None:
        """Fetch a token. Raises ConfigError if user and password are refused or the answer has no token."""
        login = self._auth.login
        name = self._connection.name
        body = {"username": self._connection.secret("user"), "password": self._connection.secret("password")}
        self.token = None
        answer = send(login.path, body, login.form)
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise TemporaryError(f"login of connection {name}: {login.path} answered {answer.status}")
        if not 200 <= answer.status < 300:
            # The body is not shown: servers like to repeat what they were sent.
            raise ConfigError(
                f"login of connection {name} is refused: {login.path} answered {answer.status}",
                hint="see the secret keys user and password",
            )
        self.token = self._token(answer, login.token)

    def _token(self, answer: LoginAnswer, path: str) -> str:
        try:
            token = find_one(answer.json(), path)
        except DataError as error:
            raise ConfigError(
                f"login of connection {self._connection.name}: no token at {path}", hint=error.hint
            ) from None
        if not isinstance(token, str) or not token:
            raise ConfigError(f"login of connection {self._connection.name}: what is at {path} is no text")
        remember(token)
        return token

    def _checked(self, value: str) -> str:
        """Refuse a secret that would break the header, without showing it."""
        if not re.fullmatch(r"[\x20-\x7e]+", value):
            raise ConfigError(
                f"connection {self._connection.name}: its secret is no single line of ASCII text",
                hint="look for a line break at its end",
            )
        return value
