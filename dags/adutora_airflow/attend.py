"""Attends one pod from its making to its end: what hinders it, its log, and how it ended."""

import os
import time
from dataclasses import replace
from typing import Any

from adutora.dagconfig import Json, StageConfig
from adutora.errors import EXIT_TEMPORARY
from adutora_airflow.ending import Ending, ended, ending, started, trouble
from adutora_airflow.pods import LogFollower, Pods

STARTUP_ENV = "ADUTORA_STARTUP_TIMEOUT"
STARTUP = 600.0  # seconds until the stage's container runs: a node may have to be added first
DEFER_ENV = "ADUTORA_DEFER_AFTER"
DEFER_AFTER = 60.0  # seconds that a wait holds a worker slot before the triggerer takes it over
DRAIN = 10.0  # seconds for the last lines of a log
GONE = Ending(EXIT_TEMPORARY, "Evicted", "its pod was deleted by somebody else", disrupted=True)
_WAITING = Ending(EXIT_TEMPORARY, "NotStarted", "the node has not started it")


class TooLong(Exception):  # noqa: N818 - not an error: the wait goes on elsewhere
    """The pod runs for so long that no worker should wait for it. `since` is the time of the last line shown."""

    def __init__(self, since: str) -> None:
        super().__init__(since)
        self.since = since


class Attendance:
    """The wait for one pod. With `show_log` its lines are passed on to `log`, those after the time `since`."""

    def __init__(
        self, pods: Pods, name: str, stage: StageConfig, log: Any, *, show_log: bool = True, since: str = ""
    ) -> None:
        self._pods, self._name, self._stage, self._log = pods, name, stage, log
        self._begun = time.monotonic()
        self._startup = self._begun + _seconds(STARTUP_ENV, STARTUP)
        self._hand_over = self._begun + _seconds(DEFER_ENV, DEFER_AFTER)
        self._show_log, self._follower = show_log, LogFollower(pods, name, log, since)
        self._started, self._told = False, ""

    def wait(self) -> Ending:
        """Return how the pod ended. Raises TooLong."""
        for pod in self._pods.changes(self._name, self._due):
            end = GONE if pod is None else self._look(pod)
            if end is not None:
                return end
        raise AssertionError

    def _due(self) -> float:
        return self._hand_over if self._started else self._startup

    def _look(self, pod: Json) -> Ending | None:
        if not self._started and started(pod):
            self._started = True
            if self._show_log:
                self._follower.start()
        if ended(pod):
            if self._started and self._show_log:
                self._follower.finish(DRAIN)
            return ending(pod, self._stage)
        if not self._started:
            return self._not_started(pod)
        if time.monotonic() >= self._hand_over:
            raise TooLong(self._follower.last)
        return None

    def _not_started(self, pod: Json) -> Ending | None:
        """Tell what keeps a pod from starting, once, and give up in time."""
        end, patience = trouble(pod) or (_WAITING, STARTUP)
        if end is not _WAITING and end.error != self._told:
            self._told = end.error or ""
            self._log.warning("Its pod cannot start: %s", end.error)
        now = time.monotonic()
        if now < self._startup and now - self._begun <= patience:
            return None
        return replace(end, error=f"its pod did not start within {now - self._begun:.0f} s: {end.error}")


def _seconds(name: str, default: float) -> float:
    return float(os.environ.get(name) or default)
