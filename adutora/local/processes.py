"""The runner's side of the nursery: start tries, signal them, hear of their end."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from adutora.errors import AdutoraError


@dataclass(frozen=True)
class Ended:
    """A process that ended. `code` is its exit code, 128 + n if signal n ended it; `peak` in bytes."""

    id: str
    code: int
    signal: int
    peak: int


class Processes:
    """A nursery and what runs in it. Start it early: it imports while the pipeline is validated."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "adutora.runtime.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        self._orders, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._buffer = b""
        self.pids: dict[str, int] = {}

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._answers.fileno()

    def start(
        self, identity: str, task: Path, config: Path, log: Path, call: str = "adutora.runtime.entry:main"
    ) -> None:
        """Start a process that calls `module:function` with `task` and `config`: by default a try of a stage."""
        self._order({"start": identity, "task": str(task), "config": str(config), "log": str(log), "call": call})

    def signal(self, identity: str, number: int) -> None:
        """Signal the whole group of a try."""
        self._order({"signal": identity, "number": number})

    def ended(self) -> list[Ended]:
        """Return what has ended since the last call. Raises AdutoraError if the nursery itself died."""
        out: list[Ended] = []
        while True:
            try:
                data = os.read(self._answers.fileno(), 65_536)
            except BlockingIOError:
                return out
            if not data:
                raise AdutoraError(f"the process that starts stages ended with code {self._process.wait()}")
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for answer in map(json.loads, lines):
                if "started" in answer:
                    self.pids[answer["started"]] = answer["pid"]
                else:
                    out.append(Ended(answer["ended"], answer["code"], answer["signal"], answer["peak"]))

    def close(self) -> None:
        """Let the nursery go; it ends what still runs."""
        self._orders.close()
        self._process.wait()
        self._answers.close()

    def _order(self, order: dict[str, object]) -> None:
        try:
            self._orders.write(json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            raise AdutoraError("the process that starts stages has gone") from None
