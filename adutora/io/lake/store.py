"""Where tables live: `<root>/<layer>/<name>`, or `<layer's own root>/<name>`; on local disk or an object store."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from adutora.errors import ConfigError, TemporaryError
from adutora.io.lake.failures import translated

if TYPE_CHECKING:
    import pyarrow.fs as pa_fs

SYSTEM_FOLDER = ".adutora"
REJECTED_SUFFIX = "__rejected"
DELETED_SUFFIX = "__deleted"

# A store that is down is told within a minute or so, and retried by the runner; not after delta-rs's three minutes.
_PATIENCE = {"timeout": "60s", "connect_timeout": "5s", "max_retries": "5", "retry_timeout": "60s"}


def is_local(uri: str) -> bool:
    """Say whether `uri` is a folder here."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """Return the folder of a local URI, absolute."""
    path = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
    return Path(path).absolute()


def options_for(uri: str, given: Mapping[str, str] | None) -> dict[str, str]:
    """Return the options for delta-rs: what was given, patience, and what plain-HTTP endpoints need."""
    if is_local(uri):
        return {}
    options = dict(given or {})
    known = {key.lower() for key in options}
    options.update({key: value for key, value in _PATIENCE.items() if key not in known})
    endpoint = next((v for k, v in options.items() if k.lower() in ("aws_endpoint_url", "endpoint_url")), "")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint.startswith("http://") and "aws_allow_http" not in known:
        options["AWS_ALLOW_HTTP"] = "true"
    if endpoint and not known & {"aws_region", "region"} and "AWS_REGION" not in os.environ:
        options["AWS_REGION"] = "us-east-1"
    return options


# delta-rs takes a path for a URL: with these it panics, or writes into another folder.
_NO_PATH = re.compile(r"[\[\]^|\\\x00-\x1f]|%[0-9A-Fa-f]{2}")


def checked(uri: str) -> str:
    """Return an address as delta-rs takes it. Raises ConfigError for a folder or store that it cannot work in."""
    if not is_local(uri):
        if not uri.startswith(("s3://", "s3a://")):
            raise ConfigError(f"{uri}: the lake's address or settings are wrong", hint="a folder, or s3://bucket/path")
        return uri
    path = str(local_path(uri))
    found = _NO_PATH.search(path)
    if found:
        raise ConfigError(
            f"{path}: Delta tables cannot lie in a folder with {found[0]!r} in its name",
            hint="rename the folder, or set lake.root to another one",
        )
    return path


class Store:
    """Addresses of tables and how to open them."""

    def __init__(self, root: str, layers: Mapping[str, str], options: Mapping[str, str] | None) -> None:
        self.root = root.rstrip("/") or "/"
        self.layers = {name: uri.rstrip("/") for name, uri in layers.items()}
        self._options = options

    def options(self, uri: str) -> dict[str, str]:
        """Return the options for delta-rs."""
        return options_for(uri, self._options)

    def split(self, table: str) -> tuple[str, str]:
        """Return layer and name. Raises ConfigError if `table` is no `layer.name`."""
        layer, dot, name = table.partition(".")
        if not dot or not layer or not name or any(c in table for c in "/\\\0") or ".." in table:
            raise ConfigError(f"{table!r} is no table name", hint="write layer.name, for example silver.orders")
        return layer, name

    def base(self, layer: str) -> str:
        """Return the root that a layer's tables lie under; locks lie there too."""
        return self.layers.get(layer, self.root)

    def uri(self, table: str) -> str:
        """Return the address of a table."""
        layer, name = self.split(table)
        uri = f"{self.layers[layer]}/{name}" if layer in self.layers else f"{self.root}/{layer}/{name}"
        return checked(uri)

    def lock_path(self, table: str) -> Path | None:
        """Return the lock file of a local table; None on an object store, where conditional puts decide."""
        base = self.base(self.split(table)[0])
        return local_path(base) / SYSTEM_FOLDER / "locks" / f"{table}.lock" if is_local(base) else None

    def open(self, table: str, version: int | None = None) -> DeltaTable | None:
        """Return a table, None if there is none."""
        uri = self.uri(table)
        with translated(f"table {table}"):
            return open_table(uri, self.options(uri), version)

    def tables(self) -> list[str]:
        """Return the names of all tables, sorted, without those of rejected rows and of deletions."""
        found: set[str] = set()
        for layer in self._layer_names():
            base = self.layers.get(layer) or f"{self.root}/{layer}"
            found.update(f"{layer}.{name}" for name in self._folders(base) if self._is_table(f"{base}/{name}"))
        return sorted(name for name in found if not name.endswith((REJECTED_SUFFIX, DELETED_SUFFIX)))

    def _layer_names(self) -> list[str]:
        names = {name for name in self._folders(self.root) if not name.startswith((".", "_"))}
        return sorted(names | set(self.layers))

    def _folders(self, uri: str) -> list[str]:
        import pyarrow.fs as pa_fs

        with translated(f"lake {uri}"):
            entries = self._files(uri).get_file_info(pa_fs.FileSelector("", allow_not_found=True))
            return [entry.base_name for entry in entries if entry.type == pa_fs.FileType.Directory]

    def _is_table(self, uri: str) -> bool:
        return "_delta_log" in self._folders(uri)

    def _files(self, uri: str) -> "pa_fs.FileSystem":
        import pyarrow.fs as pa_fs

        if is_local(uri):
            return pa_fs.SubTreeFileSystem(str(local_path(uri)), pa_fs.LocalFileSystem())
        from deltalake.fs import DeltaStorageHandler

        return pa_fs.PyFileSystem(DeltaStorageHandler(uri, self.options(uri)))


def open_table(uri: str, options: Mapping[str, str], version: int | None = None) -> DeltaTable | None:
    """Return the Delta table at `uri`, None if there is none."""
    if is_local(uri) and not _has_log(local_path(uri)):
        return None
    try:
        return DeltaTable(uri, version=version, storage_options=dict(options))
    except TableNotFoundError:
        return None


def _has_log(path: Path) -> bool:
    # delta-rs says "not found" also where it may not look.
    log = path / "_delta_log"
    try:
        with os.scandir(log) as entries:
            return any(True for _ in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise TemporaryError(f"{log}: no permission to read", hint="check who owns the folder") from error
