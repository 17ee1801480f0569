"""Waiting with a deadline and a reason."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    condition: Callable[[], object], complaint: str, dead: Callable[[], str] = lambda: "", seconds: float = 180
) -> None:
    """Wait until the condition holds. Errors: SystemExit with the complaint; at once when `dead` names who ended."""
    deadline = time.monotonic() + seconds
    while not condition():
        if gone := dead():
            raise SystemExit(f"{complaint}: {gone} ended; its log tells why")
        if time.monotonic() > deadline:
            raise SystemExit(f"{complaint} in {seconds:.0f} s")
        time.sleep(0.05)
