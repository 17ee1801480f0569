"""Source files: what there is in a folder or a bucket, and how to get it onto this machine's disk."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError
from adutora.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from adutora.io.connections import Connection

_WILD = re.compile(r"[*?\[]")
_COPY_CHUNK = 8 << 20


@dataclass(frozen=True)
class SourceFile:
    """One version of one file.

    `path` is shown to users and goes into `_source`; `version` changes whenever the content may have changed;
    `size` is in bytes; `local` is where it lies on this machine, None until it is fetched. `digest` speaks of the
    content alone, None where nobody has asked for it: see `ObjectSource.digest`.
    """

    path: str
    uri: str
    version: str
    size: int
    local: Path | None = None
    digest: str | None = None

    @property
    def id(self) -> str:
        """Identity of this version: `path@version`."""
        return f"{self.path}@{self.version}"

    def on_disk(self) -> Path:
        """Return where the file lies. Raises ValueError for a file that was not fetched."""
        if self.local is None:
            raise ValueError(f"{self.path} was not fetched")
        return self.local


class ObjectSource(Protocol):
    """A place that files come from. Patterns know `*` and `?` within a folder and `**` across folders."""

    where: str

    def find(self, pattern: str) -> Sequence[SourceFile]:
        """Return the files that match, by path; none if there are none.

        Raises ConfigError for a pattern that leaves the place, TemporaryError where the place does not answer.
        """
        ...

    def fetch(self, file: SourceFile, scratch: Path) -> SourceFile | None:
        """Return the file with `local` set, or None if this version of it is no longer there."""
        ...

    def digest(self, file: SourceFile) -> str | None:
        """Return what is the same only for the same content; None if the file is gone. May read the whole file."""
        ...


def check_pattern(pattern: str) -> str:
    """Return a relative pattern in its plain form. Raises ConfigError where it is absolute or climbs out."""
    if pattern.startswith(("/", "~", "\\")) or re.match(r"^[A-Za-z]:[\\/]", pattern):
        raise ConfigError(f"path {pattern!r} is absolute", hint="name it from its folder, such as data/*.csv")
    if "://" in pattern:
        raise ConfigError(f"path {pattern!r} is a URL", hint="declare a connection of type s3, and give path alone")
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError(f"path {pattern!r} leaves its folder", hint="`..` is not allowed")
    if not parts or "\x00" in pattern:
        raise ConfigError(f"path {pattern!r} names no file")
    return "/".join(parts)


def is_pattern(path: str) -> bool:
    """Say whether a path has wildcards."""
    return _WILD.search(path) is not None


def _segment(part: str) -> re.Pattern[str]:
    """Return the expression of one folder's or file's name. Names that begin with a dot must be named so."""
    out = [] if part.startswith(".") else ["(?![.])"]
    at = 0
    while at < len(part):
        char, close = part[at], part.find("]", at + 2)
        if char == "[" and close > 0:
            body = re.sub(r"([\\\[&~|])", r"\\\1", part[at + 1 : close])
            out.append(f"[^{body[1:]}]" if body[0] == "!" else f"[{body}]")
            at = close + 1
            continue
        out.append({"*": ".*", "?": "."}.get(char, re.escape(char)))
        at += 1
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error as error:
        raise ConfigError(f"path segment {part!r} is no pattern: {error}") from error


def matches(path: str, pattern: str) -> bool:
    """Say whether a relative path matches a pattern: `**` stands for any number of folders, none included."""
    return _matches(path.split("/"), pattern.split("/"))


def _matches(names: list[str], parts: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        here = not any(name.startswith(".") for name in names[:1])
        return _matches(names, parts[1:] or ["*"]) or (bool(names) and here and _matches(names[1:], parts))
    return bool(names) and _segment(parts[0]).fullmatch(names[0]) is not None and _matches(names[1:], parts[1:])


class Folder:
    """Files under a local folder. A symbolic link that leads out of it is refused."""

    def __init__(self, root: Path, *, shown: str = "") -> None:
        self.root = root
        self.where = str(root)
        self._shown = shown

    def find(self, pattern: str) -> Sequence[SourceFile]:
        """Return the files that match; see `ObjectSource`."""
        plain = check_pattern(pattern)
        root = self.root.resolve()
        found = set(self._walk(self.root, plain.split("/"), frozenset()))
        files = []
        for path in sorted(found, key=str):
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                files.append(self._file(path, root))
        return files

    def fetch(self, file: SourceFile, scratch: Path) -> SourceFile | None:
        """Return the file as it lies there; None if it is gone or was changed since."""
        path = self.root / file.path.removeprefix(self._shown)
        try:
            now = self._file(path, self.root.resolve())
        except FileNotFoundError:
            return None
        return replace(now, digest=file.digest) if now.version == file.version else None

    def digest(self, file: SourceFile) -> str | None:
        """Return the SHA-256 of the content."""
        try:
            with (self.root / file.path.removeprefix(self._shown)).open("rb") as content:
                return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
        except FileNotFoundError:
            return None

    def _walk(self, folder: Path, parts: list[str], seen: frozenset[Path]) -> Iterator[Path]:
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self._walk(folder, rest or ["*"], seen)
            real = folder.resolve()
            if real not in seen:
                for child in self._children(folder, "*"):
                    if child.is_dir():
                        yield from self._walk(child, parts, seen | {real})
            return
        if not is_pattern(part):
            path = folder / part
            if rest and path.is_dir():
                yield from self._walk(path, rest, seen)
            elif not rest and path.is_file():
                yield path
            return
        for child in self._children(folder, part):
            if rest and child.is_dir():
                yield from self._walk(child, rest, seen)
            elif not rest and child.is_file():
                yield child

    def _children(self, folder: Path, part: str) -> Iterator[Path]:
        expression = _segment(part)
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            return
        except PermissionError as error:
            raise ConfigError(f"folder {folder} may not be read") from error
        for name in names:
            if expression.fullmatch(name):
                yield folder / name

    def _file(self, path: Path, root: Path) -> SourceFile:
        real = path.resolve(strict=True)
        if not real.is_relative_to(root):
            shown = path.relative_to(self.root).as_posix()
            raise ConfigError(f"{shown} is a link that leads out of {self.root}", hint="put the file itself there")
        return local_file(path, self._shown + path.relative_to(self.root).as_posix())


def local_file(path: Path, shown: str) -> SourceFile:
    """Return a file on this machine by size and time of change. Raises FileNotFoundError."""
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):
        raise DataError(f"{shown} is no file")
    return SourceFile(shown, path.absolute().as_uri(), f"{info.st_size}-{info.st_mtime_ns}", info.st_size, path)


class Bucket:
    """Files in a bucket, fetched whole into scratch before they are read."""

    def __init__(self, filesystem: Any, bucket: str, prefix: str = "") -> None:
        self._fs = filesystem
        self._base = "/".join(part for part in (bucket, prefix.strip("/")) if part)
        self.where = f"s3://{self._base}"

    def find(self, pattern: str) -> Sequence[SourceFile]:
        """Return the objects that match; see `ObjectSource`."""
        from pyarrow.fs import FileSelector, FileType

        plain = check_pattern(pattern)
        fixed = []
        for part in plain.split("/")[:-1]:
            if is_pattern(part):
                break
            fixed.append(part)
        with answers(self.where):
            selector = FileSelector("/".join([self._base, *fixed]), recursive=True, allow_not_found=True)
            infos = [info for info in self._fs.get_file_info(selector) if info.type == FileType.File]
            bucket = self._base.partition("/")[0]
            if not infos and self._fs.get_file_info([bucket])[0].type == FileType.NotFound:
                raise ConfigError(f"there is no such bucket: {bucket}")
        files = [self._file(info) for info in infos]
        return sorted((file for file in files if matches(file.path, plain)), key=lambda file: file.path)

    def fetch(self, file: SourceFile, scratch: Path) -> SourceFile | None:
        """Copy an object into scratch; None if it is gone, or changed since it was listed."""
        from pyarrow.fs import FileType

        name = hashlib.sha256(file.id.encode()).hexdigest()[:16]
        target = scratch / "objects" / f"{name}-{PurePosixPath(file.path).name[-100:]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        key = f"{self._base}/{file.path}"
        with answers(self.where):
            (before,) = self._fs.get_file_info([key])
            if before.type != FileType.File or self._file(before).version != file.version:
                return None
            tag = self._copy(key, target)
            (after,) = self._fs.get_file_info([key])
        if after.type != FileType.File or self._file(after).version != file.version:
            return None
        return replace(file, local=target, digest=tag)

    def digest(self, file: SourceFile) -> str | None:
        """Return the object's ETag, which the store tells without sending the content."""
        from pyarrow.fs import FileType

        if file.digest is not None:
            return file.digest
        key = f"{self._base}/{file.path}"
        with answers(self.where):
            if self._fs.get_file_info([key])[0].type != FileType.File:
                return None
            with self._fs.open_input_stream(key, compression=None) as source:
                return _tag(source)

    def _copy(self, key: str, target: Path) -> str | None:
        part = target.with_name(target.name + ".part")
        with self._fs.open_input_stream(key, compression=None) as source, part.open("wb") as out:
            while chunk := source.read(_COPY_CHUNK):
                out.write(chunk)
            tag = _tag(source)
        part.replace(target)
        return tag

    def _file(self, info: Any) -> SourceFile:
        path = info.path.removeprefix(self._base + "/")
        return SourceFile(path, f"s3://{info.path}", f"{info.size}-{info.mtime_ns}", info.size)


def _tag(stream: Any) -> str | None:
    """Return the ETag of an object that is open; None from a store that has none."""
    found = (stream.metadata() or {}).get("ETag")
    return f"etag:{found.decode()}" if found else None


class answers:  # noqa: N801 - reads as a phrase: with answers(where)
    """Turn errors of a bucket into ours."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, AdutoraError):
            return
        text = str(error)
        if "No space left" in text:
            raise TemporaryError(f"the disk is full: {text}") from error
        if re.search(
            r"ACCESS_DENIED|SIGNATURE_DOES_NOT_MATCH|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|HTTP status 40[13]", text
        ):
            raise ConfigError(f"{self._where} refuses our keys: {text}", hint="check secretRef of the connection")
        if re.search(r"NO_SUCH_BUCKET|NoSuchBucket|bucket does not exist", text):
            raise ConfigError(f"{self._where}: there is no such bucket: {text}") from error
        raise TemporaryError(f"{self._where} does not answer: {text}") from error


def open_source(connection: "Connection | None", root: Path) -> ObjectSource:
    """Return where files come from: a connection of type folder or s3, or the pipeline's own folder `root`.

    Raises ConfigError for a connection of another type, and for a folder that is not there.
    """
    if connection is None:
        return Folder(root)
    if connection.type == "folder":
        folder = connection.path(connection.settings.path)
        if not folder.is_dir():
            raise ConfigError(f"connection {connection.name}: folder {folder} is not there")
        return Folder(folder)
    if connection.type == "s3":
        return Bucket(s3_filesystem(connection), connection.settings.bucket, connection.settings.prefix or "")
    raise ConfigError(f"connection {connection.name} is of type {connection.type}", hint="files come from folder or s3")


def s3_filesystem(connection: "Connection") -> Any:
    """Return pyarrow's file system for a connection of type s3; without keys the machine's own role is used."""
    from pyarrow.fs import S3FileSystem

    from adutora.io.connections import key_pair

    settings = connection.settings
    options: dict[str, Any] = {"region": settings.region, "connect_timeout": 10, "request_timeout": 60}
    if settings.endpoint:
        scheme, _, host = settings.endpoint.partition("://")
        options |= {"scheme": scheme or "https", "endpoint_override": host.rstrip("/") or settings.endpoint}
    pair = key_pair(connection)
    if pair:
        options |= {"access_key": pair[0], "secret_key": pair[1]}
    return S3FileSystem(**options)


def none_found(source: ObjectSource, pattern: str) -> DataError:
    """Return the error for a pattern that no file matches, with what is there of the same ending."""
    hint = None
    if not is_pattern(pattern):
        folder, _, name = pattern.rpartition("/")
        with contextlib.suppress(AdutoraError):
            there = [file.path.rpartition("/")[2] for file in source.find(f"{folder}/*" if folder else "*")]
            ending = PurePosixPath(name).suffix
            hint = did_you_mean(name, [each for each in there if PurePosixPath(each).suffix == ending])
            if hint is None and ending:
                hint = f"that folder has no {ending} file; write the path of one"
    elif "[" in pattern:
        plain = pattern.replace("[", "[[]")
        with contextlib.suppress(AdutoraError):
            hint = f"a `[` begins a set of characters; write {plain}" if source.find(plain) else None
    return DataError(f"no file matches {pattern!r} in {source.where}", hint=hint)
