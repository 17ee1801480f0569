"""From a file as it came to bytes that every reader understands: UTF-8, plain or gzip, not empty."""

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from adutora.errors import ConfigError, DataError
from adutora.io.objects import SourceFile

_GZIP = b"\x1f\x8b"
_UTF8_BOM = codecs.BOM_UTF8
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Plain:
    """A file in UTF-8. `path` may be a copy in scratch."""

    source: SourceFile
    path: Path
    gzipped: bool = False

    @property
    def shown(self) -> str:
        """The path that users know."""
        return self.source.path

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the unpacked bytes, past a byte order mark. Raises DataError for a broken gzip file."""
        with open_bytes(self.path, self.gzipped) as file, unbroken(self.shown):
            if file.read(3) != _UTF8_BOM:
                file.seek(0)
            yield file

    def head(self, size: int) -> bytes:
        """Return at most `size` of the first bytes."""
        with self.open() as file:
            return file.read(size)


def open_bytes(path: Path, gzipped: bool) -> IO[bytes]:
    """Open a file's unpacked bytes."""
    return cast("IO[bytes]", gzip.open(path, "rb")) if gzipped else path.open("rb")


@contextmanager
def unbroken(shown: str) -> Iterator[None]:
    """Turn errors of unpacking into DataError."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{shown}: is a broken gzip file: {error}", hint="was it copied whole?") from error


def prepare(file: SourceFile, scratch: Path, encoding: str = "utf-8") -> Plain | None:
    """Return a file as UTF-8, transcoded into scratch where it is not; None for a file without any content.

    Raises DataError where bytes are not in `encoding` and ConfigError for an encoding that does not exist.
    """
    path = file.on_disk()
    try:
        with path.open("rb") as raw:
            gzipped = raw.read(2) == _GZIP
        with unbroken(file.path), open_bytes(path, gzipped) as unpacked:
            head = unpacked.read(4)
    except FileNotFoundError as error:
        raise DataError(f"{file.path} is not there any more") from error
    if not head or head in (_UTF8_BOM, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return None
    name = _codec(encoding)
    if name == "utf-8" and head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        name = "utf-16"  # the mark at its beginning says so
    if name == "utf-8":
        return Plain(file, path, gzipped)
    target = scratch_path(scratch, file, "utf8")
    _transcode(file, gzipped, name, target)
    return Plain(file, target)


def scratch_path(scratch: Path, file: SourceFile, kind: str) -> Path:
    """Return where a rewritten copy of a file goes. The same for the same file, so that it can be allowed early."""
    import hashlib

    folder = scratch / "files"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{hashlib.sha256(file.id.encode()).hexdigest()[:24]}.{kind}"


def _codec(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding.strip()).name
    except LookupError:
        raise ConfigError(
            f"encoding {encoding!r} is unknown", hint="for example utf-8, latin-1, cp1252 or utf-16"
        ) from None
    try:
        "".encode(name)
    except LookupError:  # a codec of bytes, such as base64
        raise ConfigError(f"encoding {encoding!r} is no text encoding", hint="for example utf-8 or latin-1") from None
    return "utf-8" if name in ("utf-8", "utf-8-sig", "ascii") else name


def _transcode(file: SourceFile, gzipped: bool, encoding: str, target: Path) -> None:
    lines = 0
    with (
        unbroken(file.path),
        open_bytes(file.on_disk(), gzipped) as raw,
        io.TextIOWrapper(raw, encoding=encoding, newline="") as text,
        target.open("wb") as out,
    ):
        try:
            while chunk := text.read(_CHUNK):
                lines += chunk.count("\n")
                out.write(chunk.encode("utf-8"))
        except UnicodeError as error:
            raise DataError(
                f"{file.path}: is not {encoding} after line {lines + 1}: {error}", hint="set csv.encoding"
            ) from error
