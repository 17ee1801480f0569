"""Objects beside the lake's tables, such as outcomes and a pipeline's files: in a folder, or in a bucket."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from adutora.errors import ConfigError
from adutora.io.objects import Bucket, Folder, ObjectSource, answers, s3_filesystem

if TYPE_CHECKING:
    from adutora.io.connections import Connection

SYSTEM = "_adutora"  # below the lake's root; no layer begins with `_`
_CHUNK = 8 << 20


@dataclass(frozen=True)
class Objects:
    """A folder of small objects. `base` is the path that pyarrow's file system takes; `uri` is what people read."""

    filesystem: Any
    base: str
    uri: str

    def read(self, path: str) -> bytes | None:
        """Return an object's content, None if there is none. Raises TemporaryError if the store does not answer."""
        from pyarrow.fs import FileType

        with answers(self.uri):
            (info,) = self.filesystem.get_file_info([self._at(path)])
            if info.type != FileType.File:
                return None
            with self.filesystem.open_input_stream(self._at(path), compression=None) as stream:
                content: bytes = stream.read()
                return content

    def write(self, path: str, content: bytes) -> str:
        """Write an object, whole or not at all. Returns its URI; raises TemporaryError as `read` does."""
        target = self._at(path)
        with answers(self.uri):
            if self.is_local:
                self._write_file(target, content)
            else:
                self._put(target, content)
        return f"{self.uri}/{path}"

    def upload(self, path: str, file: Path) -> str:
        """Write an object from a file, whole or not at all. Returns the SHA-256 of what was written, as hex.

        Raises TemporaryError as `read` does, OSError where the file cannot be read.
        """
        target = self._at(path)
        seen = hashlib.sha256()
        with file.open("rb") as source, answers(self.uri):
            if self.is_local:
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                part = f"{target}.{os.getpid()}.part"
                with Path(part).open("wb") as out:
                    _copy(source, out, seen)
                Path(part).replace(target)
            else:
                with self.filesystem.open_output_stream(target, compression=None) as out:
                    _copy(source, out, seen)
        return seen.hexdigest()

    def tag(self, path: str) -> str | None:
        """Return what changes whenever an object's content does, None if there is none."""
        from pyarrow.fs import FileType

        target = self._at(path)
        with answers(self.uri):
            if self.filesystem.get_file_info([target])[0].type != FileType.File:
                return None
            with self.filesystem.open_input_file(target) as stream:
                if self.is_local:
                    return hashlib.sha256(stream.read()).hexdigest()
                tag: bytes = stream.metadata().get("ETag", b"")
                return tag.decode()

    def delete(self, path: str) -> None:
        """Delete an object that is there."""
        with answers(self.uri):
            self.filesystem.delete_file(self._at(path))

    @property
    def is_local(self) -> bool:
        """Whether this is a folder."""
        return "://" not in self.uri

    @property
    def source(self) -> ObjectSource:
        """The same place as a source of files."""
        if self.is_local:
            return Folder(Path(self.base))
        bucket, _, prefix = self.base.partition("/")
        return Bucket(self.filesystem, bucket, prefix)

    def below(self, path: str) -> "Objects":
        """Return a folder in this one."""
        return Objects(self.filesystem, f"{self.base}/{path}", f"{self.uri}/{path}")

    def _at(self, path: str) -> str:
        if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path:
            raise ConfigError(f"{path!r} is no path of an object")
        return f"{self.base}/{path}"

    def _put(self, target: str, content: bytes) -> None:
        with self.filesystem.open_output_stream(target, compression=None) as stream:
            stream.write(content)

    @staticmethod
    def _write_file(target: str, content: bytes) -> None:
        path = Path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def _copy(source: BinaryIO, out: Any, seen: Any) -> None:
    while chunk := source.read(_CHUNK):
        seen.update(chunk)
        out.write(chunk)


def open_objects(root: str, connection: "Connection | None") -> Objects:
    """Open a folder, or an s3:// URL with the endpoint and keys of `connection`; without one, the pod's own role.

    Raises ConfigError for another kind of URL, and where keys are missing.
    """
    if root.startswith("file://"):
        root = root.removeprefix("file://")
    if "://" not in root:
        from pyarrow.fs import LocalFileSystem

        return Objects(LocalFileSystem(), root.rstrip("/"), root.rstrip("/"))
    scheme, _, path = root.partition("://")
    if scheme not in ("s3", "s3a") or not path.strip("/"):
        raise ConfigError(f"{root}: a pod reads s3:// URLs and folders")
    path = path.strip("/")
    filesystem = s3_filesystem(connection) if connection is not None else _own_role()
    return Objects(filesystem, path, f"s3://{path}")


def _own_role() -> Any:
    """Return S3 as the pod's service account, or the environment, may use it: as delta-rs does without a connection."""
    from pyarrow.fs import S3FileSystem

    options: dict[str, Any] = {"connect_timeout": 10, "request_timeout": 60}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if region:
        options["region"] = region
    if endpoint:
        scheme, _, host = endpoint.partition("://")
        options |= {"scheme": scheme, "endpoint_override": host.rstrip("/")}
    return S3FileSystem(**options)
