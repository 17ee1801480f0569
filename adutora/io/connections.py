"""Connections: what the Project says about a system outside, with the secrets that belong to it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.errors import ConfigError
from adutora.io.secrets import SecretFilter, SecretSource, redact, remember

if TYPE_CHECKING:
    from adutora.spec.project import Connection as ConnectionSpec

__all__ = [
    "Connection", "SecretFilter", "declared", "lake_options", "redact", "remember", "resolve", "s3_options",
    "secret_keys",
]  # fmt: skip

# Keys that a type reads, and whether it can do without.
_REQUIRED, _OPTIONAL = True, False
_LOGIN = {"user": _REQUIRED, "password": _REQUIRED}
_HTTP_KEYS = {"login": _LOGIN, "basic": _LOGIN, "bearer": {"token": _REQUIRED}, "apiKey": {"key": _REQUIRED}}
_KEYS: dict[str, dict[str, bool]] = {
    "postgres": _LOGIN,
    "s3": {"accessKey": _OPTIONAL, "secretKey": _OPTIONAL},
    "redis": {"user": _OPTIONAL, "password": _OPTIONAL},
    "slack": {"url": _REQUIRED},
    "webhook": {"url": _REQUIRED},
    "smtp": {"user": _OPTIONAL, "password": _OPTIONAL},
    "mlflow": {"user": _OPTIONAL, "password": _OPTIONAL},
    "unity": {"token": _REQUIRED},
}


def secret_keys(type: str, settings: Any) -> dict[str, bool]:  # noqa: A002 - the spec's own word
    """Secret keys that a connection reads: name to whether it must be there."""
    if type != "http":
        return dict(_KEYS.get(type, {}))
    auth = getattr(settings, "auth", None)
    given = [name for name in _HTTP_KEYS if auth is not None and getattr(auth, name) is not None]
    return dict(_HTTP_KEYS[given[0]]) if given else {}


@dataclass(frozen=True)
class Connection:
    """A connection ready for use. Secret values are read when asked for and never kept here."""

    name: str
    type: str
    settings: Any  # the spec model of the type block, such as spec.project.RedisConnection
    project_root: Path
    secret_name: str | None = None
    secret_key_names: Mapping[str, str] | None = None  # key that we read -> key in the Secret

    def secret(self, key: str) -> str:
        """Return the value of `key`. Raises ConfigError that names the places looked at if it is missing or empty."""
        value = self.optional_secret(key)
        if value:
            return value
        if self.secret_name is None:
            raise ConfigError(
                f"connection {self.name} ({self.type}) needs the secret key {key}, but it has no secretRef",
                hint=f"add `secretRef: {{name: {self.name}}}` to the connection",
            )
        state = "is missing" if value is None else "is empty"
        raise ConfigError(
            f"connection {self.name}: key {self._stored(key)} of secret {self.secret_name} {state}",
            hint=f"looked for {self._source(self.secret_name).places(self._stored(key))}",
        )

    def optional_secret(self, key: str) -> str | None:
        """Return the value of `key`, or None where there is none. Raises ConfigError if it cannot be read."""
        if self.secret_name is None:
            return None
        return self._source(self.secret_name).read(self._stored(key))

    def secrets(self) -> dict[str, str]:
        """Return every secret key that this type reads and has, with its value.

        Raises ConfigError as `secret` does, and where a secret is named in which there is none of them.
        """
        found: dict[str, str] = {}
        for key, required in secret_keys(self.type, self.settings).items():
            value = self.secret(key) if required else self.optional_secret(key)
            if value:
                found[key] = value
        if not found and self.secret_name is not None:
            raise self._empty(self.secret_name)
        return found

    def _empty(self, secret: str) -> ConfigError:
        """Return the error for a secret that is named and has nothing: to go on without would fail far from here."""
        keys = [self._stored(key) for key in secret_keys(self.type, self.settings)]
        if not keys:
            return ConfigError(f"connection {self.name} ({self.type}) reads no secret", hint="leave secretRef out")
        return ConfigError(
            f"connection {self.name}: secret {secret} has none of the keys {', '.join(keys)}",
            hint=f"looked for {' and for '.join(self._source(secret).places(key) for key in keys)}",
        )

    def path(self, text: str) -> Path:
        """Return a path of the settings; a relative one counts from the project's folder."""
        return (self.project_root / Path(text).expanduser()).resolve()

    def _source(self, name: str) -> SecretSource:
        return SecretSource(name, self.project_root)

    def _stored(self, key: str) -> str:
        return (self.secret_key_names or {}).get(key, key)


def resolve(connections: Mapping[str, "ConnectionSpec"], name: str, project_root: Path) -> Connection:
    """Return the connection `name`. Raises ConfigError that names the nearest one if there is none."""
    spec = connections.get(name)
    if spec is None:
        near = difflib.get_close_matches(name, connections, n=1)
        known = ", ".join(sorted(connections)) or "none"
        hint = f"did you mean {near[0]}?" if near else f"the Project has: {known}"
        raise ConfigError(f"there is no connection {name}", hint=hint)
    ref = spec.secretRef
    return Connection(
        name=spec.name,
        type=spec.type,
        settings=spec.settings,
        project_root=project_root,
        secret_name=ref.name if ref else None,
        secret_key_names=ref.keys if ref else None,
    )


def declared(blocks: Mapping[str, Any]) -> "dict[str, ConnectionSpec]":
    """Return the connections of a DagConfig as they were declared."""
    from adutora.spec.project import Connection as ConnectionSpec

    return {name: ConnectionSpec.model_validate(block) for name, block in blocks.items()}


def lake_options(
    connections: Mapping[str, "ConnectionSpec"], name: str | None, project_root: Path
) -> dict[str, str] | None:
    """Return the storage options of a lake whose connection is `name`; None without one.

    Raises ConfigError for a connection that is not there or is not of type s3.
    """
    return None if name is None else s3_options(resolve(connections, name, project_root))


def s3_options(connection: Connection) -> dict[str, str]:
    """Return a connection of type s3 as storage options of delta-rs, secrets included.

    Without keys the machine's or pod's own role is used. Raises ConfigError for another type, or half a pair of keys.
    """
    if connection.type != "s3":
        raise ConfigError(f"connection {connection.name} is of type {connection.type}; s3 is needed")
    settings = connection.settings
    # A conditional put is what keeps two writers from committing one version.
    options = {"AWS_REGION": settings.region, "AWS_CONDITIONAL_PUT": "etag"}
    if settings.endpoint:
        options["AWS_ENDPOINT_URL"] = settings.endpoint
        options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "false"
        options["AWS_ALLOW_HTTP"] = str(settings.endpoint.startswith("http://")).lower()
    pair = key_pair(connection)
    if pair:
        options["AWS_ACCESS_KEY_ID"], options["AWS_SECRET_ACCESS_KEY"] = pair
    return options


def key_pair(connection: Connection) -> tuple[str, str] | None:
    """Return `accessKey` and `secretKey` of an s3 connection, or None. Raises ConfigError for one without the other."""
    keys = connection.secrets()
    if not keys:
        return None
    return connection.secret("accessKey"), connection.secret("secretKey")
