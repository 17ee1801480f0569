"""Progress of a run, a line for each thing that happens."""

import time
from typing import TextIO

from adutora.dagconfig import DagConfig
from adutora.local.state import RunState, StageState

_MARKS = {"succeeded": "✓", "failed": "✗", "skipped": "-", "stopped": "■", "running": "▸", "waiting": " "}
_COLORS = {"succeeded": "32", "failed": "31", "skipped": "2", "stopped": "33", "running": "36"}


class LineProgress:
    """Lines on a stream; on a terminal also one line at the bottom that says what is running."""

    def __init__(self, stream: TextIO, config: DagConfig, state: RunState) -> None:
        self._stream, self._state = stream, state
        self._live = stream.isatty()
        self._width = max((len(name) for name in config.names()), default=8)
        self._begun = time.monotonic()
        self._running: dict[str, float] = {}

    def begin(self, config: DagConfig) -> None:
        """Say which run begins."""
        count = len(self._state.selected)
        if not count:
            self.note(f"run {self._state.id} of {config.dag_id} has succeeded: nothing to do")
            return
        self.note(f"run {self._state.id} of {config.dag_id}, {count} stage{'s' if count != 1 else ''}")

    def note(self, text: str) -> None:
        """Say something about the whole run."""
        self._line(text)

    def stage(self, state: StageState, text: str) -> None:
        """Say what happened to a stage."""
        if state.status == "running":
            self._running.setdefault(state.name, time.monotonic())
        else:
            self._running.pop(state.name, None)
        mark = _MARKS[state.status]
        if self._live:
            mark = f"\x1b[{_COLORS.get(state.status, '0')}m{mark}\x1b[0m"
        self._line(
            f"{time.monotonic() - self._begun:7.1f} s  {mark} {state.name:<{self._width}}  {text}{_figures(state)}"
        )
        for warning in state.warnings if state.status == "succeeded" else []:
            self._line(f"{'':>10}  ! {state.name:<{self._width}}  {warning}")

    def tick(self, state: RunState) -> None:
        """Refresh the bottom line of a terminal."""
        if self._live and self._running:
            now = time.monotonic()
            names = ", ".join(f"{name} {now - begun:.0f} s" for name, begun in self._running.items())
            done = sum(stage.status in ("succeeded", "failed", "skipped") for stage in state.stages)
            self._stream.write(f"\r\x1b[K  {done}/{len(state.stages)} done, running: {names}"[:200])
            self._stream.flush()

    def end(self) -> None:
        """Clear the bottom line."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}\n" if self._live else f"{text}\n")
        self._stream.flush()


def _figures(state: StageState) -> str:
    """Return the rows of a stage that is done."""
    if state.status != "succeeded":
        return ""
    parts = [
        f"{value:,} {word}"
        for value, word in ((state.rows_in, "in"), (state.rows_out, "out"), (state.rows_rejected or None, "rejected"))
        if value is not None
    ]
    return f": {', '.join(parts)}" if parts else ""
