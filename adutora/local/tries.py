"""Tries of stages: what one is, what became of it, and when there is another."""

import random
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adutora.dagconfig import StageConfig
from adutora.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOFTWARE, EXIT_TEMPORARY, ConfigError
from adutora.local.processes import Ended
from adutora.local.state import StageState
from adutora.runtime.outcome import NEVER_RETRIED, Outcome
from adutora.runtime.substitution import Scope, expand_json

LONGEST_DELAY = 600.0  # seconds between two tries
MAX_ITEMS = 1000
_ENDED_BY = {
    "SIGKILL": "somebody killed it, or the machine ran out of memory: see resources.memory",
    "SIGSEGV": "a native library crashed; the log may say where",
    "SIGABRT": "a native library gave up; the log may say why",
}


@dataclass
class Try:
    """One try of a stage, or of an item of its fan-out, that runs or waits for its time."""

    stage: StageConfig
    item: Any = None
    index: int | None = None
    number: int = 0
    started: float = 0.0
    deadline: float = 0.0
    killed: float | None = None  # when it was asked to end
    timed_out: bool = False
    memory: int | None = None

    @property
    def id(self) -> str:
        """Id among the processes of this run."""
        return self.stage.name if self.index is None else f"{self.stage.name}[{self.index}]"

    @property
    def label(self) -> str:
        """What a message begins with: nothing but for an item."""
        return "" if self.index is None else f"item {self.index} "

    def begin(self, now: float) -> None:
        """Note that it starts."""
        self.started, self.deadline = now, now + self.stage.timeout
        self.killed, self.timed_out = None, False

    def again_in(self, outcome: Outcome) -> float | None:
        """Return in how many seconds to try again, with back-off and jitter; None if the failure stands.

        After a lack of memory the next try gets more.
        """
        if outcome.exit_code in NEVER_RETRIED or self.number > self.stage.retries:
            return None
        if outcome.reason == "OOMKilled":
            resources = self.stage.resources
            most = resources.get("maxMemory") or resources["memory"]
            self.memory = min(most, 2 * (self.memory or resources["memory"]))
        delay = min(LONGEST_DELAY, self.stage.retry_delay * 2 ** (self.number - 1))
        return float(delay * random.uniform(0.5, 1.0))  # noqa: S311


@dataclass
class FanOut:
    """Items of a fan-out that have not started, and outcomes of those that have ended."""

    waiting: list[tuple[int, Any]]
    running: int = 0
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    failed: Outcome | None = None

    def outcome(self) -> Outcome:
        """Return one outcome made of those of all items; where none failed but not all were done, an interruption."""
        outcomes = [self.outcomes[index] for index in sorted(self.outcomes)]
        whole = Outcome() if self.failed is None else self.failed
        for name in ("rows_in", "rows_out", "rows_rejected"):
            counts = [value for each in outcomes if (value := getattr(each, name)) is not None]
            setattr(whole, name, sum(counts) if counts else None)
        whole.tables = [table for each in outcomes for table in each.tables]
        whole.warnings = [warning for each in outcomes for warning in each.warnings]
        whole.peak_memory = max((each.peak_memory or 0 for each in outcomes), default=None)
        names = sorted({name for each in outcomes for name in each.outputs})
        whole.outputs = {name: [each.outputs.get(name) for each in outcomes] for name in names}
        if self.failed is None and (self.waiting or any(each.exit_code != EXIT_OK for each in outcomes)):
            whole.exit_code = EXIT_INTERRUPTED
        return whole


def items_of(stage: StageConfig, scope: Scope) -> list[Any] | None:
    """Return the items of a fan-out, None for a stage that is none. Raises ConfigError for what is no list."""
    if stage.for_each is None:
        return None
    values = expand_json(stage.for_each["values"], scope)
    if not isinstance(values, list):
        raise ConfigError(f"forEach.values of {stage.name!r} is {values!r}", hint="it must be a list")
    if len(values) > MAX_ITEMS:
        raise ConfigError(f"forEach.values of {stage.name!r} has {len(values):,} values", hint=f"at most {MAX_ITEMS:,}")
    return values


def outcome_of(one: Try, ended: Ended, path: Path, *, interrupted: bool) -> Outcome:
    """Return the outcome that a process left in `path`, or one that says why it left none."""
    try:
        outcome = Outcome.load(path)
    except (OSError, ValueError, TypeError):
        outcome = Outcome(exit_code=EXIT_SOFTWARE)
        name = signal.Signals(ended.signal).name if ended.signal else None
        outcome.error = f"its process was ended by {name}" if name else f"its process ended with code {ended.code}"
        outcome.reason = "Killed" if name else "NoOutcome"
        outcome.hint = _ENDED_BY.get(name or "", "its log may say why")
    outcome.peak_memory = max(ended.peak, outcome.peak_memory or 0)
    if one.timed_out and outcome.exit_code != EXIT_OK:
        outcome.exit_code, outcome.reason = EXIT_TEMPORARY, "Timeout"
        outcome.error = f"took longer than its timeout of {one.stage.timeout} s"
        outcome.hint = "raise timeout, or make it do less"
    elif outcome.exit_code == EXIT_INTERRUPTED and not interrupted:
        outcome.exit_code = EXIT_TEMPORARY
        outcome.error = "its process was told to stop"
    if ended.code == EXIT_OK and outcome.exit_code != EXIT_OK:
        outcome.exit_code = EXIT_SOFTWARE
    return outcome


def take_over(outcome: Outcome, state: StageState) -> None:
    """Put what an outcome says into the state of its stage."""
    for name in (
        "rows_in", "rows_out", "rows_rejected", "cached", "message", "error", "hint", "reason", "peak_memory",
        "outputs", "metrics", "tables", "warnings", "exit_code",
    ):  # fmt: skip
        setattr(state, name, getattr(outcome, name))
