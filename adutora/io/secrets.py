"""Secret values: where they are read from, and how they are kept out of everything that is shown.

A value is known to `redact` from the moment it is read, so log lines, error messages and outcomes can be
masked without knowing which connection a value belongs to.
"""

import base64
import json
import logging
import os
import re
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from adutora.errors import ConfigError

MASK = "***"
SECRETS_DIR_ENV = "ADUTORA_SECRETS_DIR"
MAX_SECRET_BYTES = 1024 * 1024  # what a Kubernetes Secret can hold
# Shorter values would mask half of every ordinary line, and protect nobody.
_SHORTEST_MASKED = 4
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}")

_lock = threading.Lock()
_known: set[str] = set()
_pattern: re.Pattern[str] | None = None


def remember(value: str) -> None:
    """Mask `value` from now on wherever `redact` is applied, in the spellings that logs and URLs give it."""
    spellings = {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1], repr(value)[1:-1]}
    spellings |= {line.strip() for line in value.splitlines()}
    spellings.add(base64.b64encode(value.encode()).decode())
    global _pattern  # noqa: PLW0603 - one table of values for the whole process
    with _lock:
        _known.update(text for text in spellings if len(text) >= _SHORTEST_MASKED)
        # Longest first: a value that contains another one must not be left half shown.
        ordered = sorted(_known, key=lambda text: (-len(text), text))
        _pattern = re.compile("|".join(re.escape(text) for text in ordered)) if ordered else None


def redact(text: str) -> str:
    """Return `text` with every secret value that this process has read shown as `***`."""
    return _pattern.sub(MASK, text) if _pattern is not None else text


class SecretFilter(logging.Filter):
    """Masks secret values in log records: message, traceback and stack. Belongs on handlers, not on loggers.

    (A filter on a logger does not see what its children log.)
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


@dataclass(frozen=True)
class SecretSource:
    """Where the keys of one Secret are read: a mounted folder on a cluster, else a file or the environment."""

    name: str
    project_root: Path

    def read(self, key: str) -> str | None:
        """Return the value of `key`, or None if it is nowhere. Raises ConfigError if it cannot be read."""
        if not _KEY.fullmatch(key):
            raise ConfigError(
                f"secret {self.name}: {key!r} is no key of a Secret",
                hint="letters, digits, `-`, `_` and `.`, and no `.` at the start",
            )
        value = _read_file(self._file(key))
        if value is None and not self._mounted:
            value = os.environ.get(self.variable(key))
        if value:
            remember(value)
        return value

    @property
    def _mounted(self) -> str | None:
        return os.environ.get(SECRETS_DIR_ENV)

    def _file(self, key: str) -> Path:
        mounted = self._mounted
        folder = Path(mounted) if mounted else self.project_root / ".adutora" / "secrets"
        return folder / self.name / key

    def variable(self, key: str) -> str:
        """Name of the environment variable that holds `key` on a laptop."""
        return re.sub(r"[^A-Z0-9]", "_", f"ADUTORA_SECRET_{self.name}_{key}".upper())

    def places(self, key: str) -> str:
        """Say where `key` is looked for."""
        file = f"the file {self._file(key)}"
        return file if self._mounted else f"{file} or the environment variable {self.variable(key)}"


def _read_file(path: Path) -> str | None:
    """Text of a secret's file without the newline that editors add; None if there is no such file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SECRET_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"secret file {path} cannot be read: {error.strerror}") from None
    if len(data) > MAX_SECRET_BYTES:
        raise ConfigError(f"secret file {path} is larger than {MAX_SECRET_BYTES} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # `from None`: the original error carries the bytes.
        raise ConfigError(f"secret file {path} is no UTF-8 text") from None
    return text.removesuffix("\n").removesuffix("\r")
