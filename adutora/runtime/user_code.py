"""Around a user's code: where its modules are found, what it prints, and what its exceptions mean.

Errors of `adutora.errors` keep their meaning. An OSError that is about a connection, a time-out or a busy system is
temporary, and so is a transport error of httpx. Everything else is `UserCodeError` and never retried, for the same
code on the same data would fail again.
"""

import contextlib
import importlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from adutora.errors import AdutoraError, DataError, TemporaryError
from adutora.io.secrets import redact

_SHOWN_ERROR = 300  # characters; the log has the whole of it
_LINE = 65_536  # characters of a printed line in one log record
# OSErrors that say something about a path, which a second try would find again.
_PATH_ERRORS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


class UserCodeError(DataError):
    """The user's function failed. The traceback is in the stage's log."""

    reason: ClassVar[str] = "UserCode"


@contextlib.contextmanager
def guarded(
    function: str, folder: Path, log: logging.Logger, describe: Callable[[BaseException], str | None] | None = None
) -> Iterator[None]:
    """Say what an exception of the user's code means, and put its traceback into the log.

    `describe` says an exception of a library in one line, and None of any other.
    """
    try:
        yield
    except (AdutoraError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        line = describe(error) if describe else None
        log.error("%s failed\n%s", function, _traceback(error, line))
        message = redact(f"{function} {_where(error, folder)}: {line or _short(error)}")
        raise (TemporaryError if _is_temporary(error) else UserCodeError)(message) from error


def _is_temporary(error: BaseException) -> bool:
    httpx = sys.modules.get("httpx")
    if httpx is not None and isinstance(error, httpx.TransportError):
        return True
    return isinstance(error, OSError) and not isinstance(error, _PATH_ERRORS)


def _frames(error: BaseException) -> traceback.StackSummary:
    """The frames of the user's code: what lies below our own."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [n for n, frame in enumerate(frames) if _is_ours(frame.filename)]
    first = ours[-1] + 1 if ours else 0
    return traceback.StackSummary.from_list(frames[first:] or frames)


def _is_ours(filename: str) -> bool:
    path = filename.replace("\\", "/")
    return "/adutora/stages/" in path or path == "<frozen runpy>"


def _traceback(error: BaseException, line: str | None = None) -> str:
    lines = ["Traceback (most recent call last):\n", *_frames(error).format()]
    return "".join([*lines, *([line] if line else traceback.format_exception_only(error))]).rstrip()


def _where(error: BaseException, folder: Path) -> str:
    """Name the last line in a file of the user's; deeper frames are those of libraries."""
    own = [frame for frame in _frames(error) if Path(frame.filename).is_relative_to(folder)]
    return f"failed at {Path(own[-1].filename).relative_to(folder)}:{own[-1].lineno}" if own else "failed"


def _short(error: BaseException) -> str:
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    return text if len(text) <= _SHOWN_ERROR else text[: _SHOWN_ERROR - 1] + "…"


class _Lines:
    """A text stream that hands whole lines to a function."""

    encoding = "utf-8"

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take, self._rest, self._lock = take, "", threading.RLock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            if len(self._rest) > _LINE:
                lines, self._rest = [*lines, self._rest], ""
            for line in lines:
                self._take(line)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        if self._rest:
            self.write("\n")


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let modules be imported from `folder` first, without leaving compiled files there.

    At the end everything is as before: the modules from the folder are forgotten as well.
    """
    kept, before = sys.dont_write_bytecode, list(sys.path)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.dont_write_bytecode = kept
        sys.path[:] = before
        for name in [name for name, module in sys.modules.items() if is_under(module, folder)]:
            del sys.modules[name]


def is_under(module: ModuleType | None, folder: Path) -> bool:
    """Say whether a module was loaded from a folder."""
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(folder)


@contextlib.contextmanager
def printing_to(log: logging.Logger) -> Iterator[None]:
    """Let what the user's code prints become lines of the stage's log."""
    lines = _Lines(lambda line: log.info("%s", line))
    with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines):
        try:
            yield
        finally:
            lines.close()
