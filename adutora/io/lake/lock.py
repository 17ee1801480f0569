"""One writer a table at a time, on local disk. The lock is the process's: any death releases it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adutora.errors import TemporaryError
from adutora.io.lake.failures import translated

WAIT = 600.0  # seconds that a writer waits for another one
_STEP = 0.02


@contextmanager
def table_lock(path: Path | None, table: str, wait: float = WAIT) -> Iterator[None]:
    """Hold the lock of a table; `path` None means there is none to take.

    Raises TemporaryError if another process holds it for longer than `wait` seconds.
    """
    if path is None:
        yield
        return
    with translated(f"lock of {table}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _acquire(handle, table, wait)
        yield
    finally:
        os.close(handle)


def _acquire(handle: int, table: str, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TemporaryError(
                    f"table {table}: another process has been writing it for {wait:.0f} s",
                    hint="wait for the other run, or stop it",
                ) from None
            time.sleep(_STEP)
