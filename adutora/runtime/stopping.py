"""SIGTERM as an exception, so that what a stage holds is let go. Light, for a pod must listen before it imports."""

import threading
from typing import Final

# Set once a stop was asked for: a library may turn the exception into one of its own, as DuckDB does.
ASKED: Final = threading.Event()


class Stopped(BaseException):
    """The process was told to stop."""


def stop(*_: object) -> None:
    """Handle a signal. Raises Stopped."""
    ASKED.set()
    raise Stopped
