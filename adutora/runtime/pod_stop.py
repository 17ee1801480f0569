"""The last word of a pod that is told to stop while a library's code runs.

Python raises what a signal asks for only between two of its own instructions, and a query of DuckDB may take an hour.
A commit is there whole or not at all, so the process may end at any moment; it only has to say why.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping

from adutora.errors import EXIT_INTERRUPTED
from adutora.runtime.outcome import Outcome
from adutora.runtime.pod_report import leave, short

PATIENCE = 5.0  # seconds for the stage to end by itself; a pod's grace is longer


def stopped() -> Outcome:
    """Return the outcome of a stage that was told to stop."""
    return Outcome(exit_code=EXIT_INTERRUPTED, reason="Stopped", error="it was told to stop")


def watch(env: Mapping[str, str], log: logging.Logger) -> threading.Event:
    """End this process some seconds after SIGTERM, with a termination message, unless the event returned is set."""
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    told = threading.Event()
    threading.Thread(target=_wait, args=(awake, told, env, log), daemon=True).start()
    return told


def _wait(awake: int, told: threading.Event, env: Mapping[str, str], log: logging.Logger) -> None:
    while os.read(awake, 1) != bytes([signal.SIGTERM]):
        pass
    if told.wait(PATIENCE):
        return
    log.error("told to stop, and a library does not return: ended")
    leave(short(stopped()), env, log)
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)
