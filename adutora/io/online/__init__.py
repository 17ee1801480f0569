"""The online store: hashes of text by key, for programs that serve. Redis, or SQLite on a laptop.

`open_store` gives one of them behind the Protocol `OnlineStore`; `text.text_rows` makes what they publish.
"""

from pathlib import Path

from adutora.errors import ConfigError
from adutora.io.connections import Connection
from adutora.io.online.base import OnlineStore, Publication, PublishResult

__all__ = ["OnlineStore", "Publication", "PublishResult", "open_store"]


def open_store(connection: Connection, project_root: Path) -> OnlineStore:
    """Return the online store of a connection; nothing is connected yet.

    `project_root` is what a relative SQLite path counts from. Raises ConfigError for a connection of another
    type, or for a Redis Cluster.
    """
    if connection.type == "redis":
        from adutora.io.online.redis import RedisStore

        settings, login = connection.settings, connection.secrets()
        return RedisStore(
            host=settings.host,
            port=settings.port,
            database=settings.database,
            tls=settings.tls,
            cluster=settings.cluster,
            user=login.get("user"),
            password=login.get("password"),
            ca=login.get("ca"),
        )
    if connection.type == "sqlite":
        from adutora.io.online.sqlite import SqliteStore

        return SqliteStore((project_root / Path(connection.settings.path).expanduser()).resolve())
    raise ConfigError(
        f"connection {connection.name} is of type {connection.type}, which is no online store",
        hint="name a connection of type redis or sqlite",
    )
