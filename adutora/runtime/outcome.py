"""What a stage leaves behind: rows, tables, metrics, small outputs, or an error."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adutora.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK, EXIT_SOFTWARE, EXIT_TEMPORARY, AdutoraError
from adutora.io.secrets import redact

NEVER_RETRIED = frozenset({EXIT_OK, EXIT_DATA, EXIT_CONFIG})


@dataclass
class Outcome:
    """Outcome of one try. `None` for rows means that the stage does not count them."""

    rows_in: int | None = None
    rows_out: int | None = None
    rows_rejected: int | None = None
    cached: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tables: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    message: str | None = None
    exit_code: int = EXIT_OK
    error: str | None = None
    hint: str | None = None
    reason: str | None = None
    peak_memory: int | None = None  # bytes

    def fail(self, error: BaseException) -> None:
        """Take an error in: its message, its hint and the exit code that says what happens next."""
        if isinstance(error, AdutoraError):
            self.exit_code, self.error = error.exit_code, error.message
            self.hint, self.reason = error.hint, error.reason
        elif isinstance(error, ConnectionError | TimeoutError | OSError):
            self.exit_code, self.error, self.reason = EXIT_TEMPORARY, _text(error), type(error).__name__
        elif isinstance(error, MemoryError):
            said = f"out of memory: {error}" if str(error) else "out of memory"
            self.exit_code, self.error, self.reason = EXIT_SOFTWARE, said, "OOMKilled"
        else:
            self.exit_code, self.error, self.reason = EXIT_SOFTWARE, _text(error), "InternalError"

    def redact(self, mask: Callable[[str], str]) -> None:
        """Mask secret values in what people will read."""
        self.error = self.error and mask(self.error)
        self.hint = self.hint and mask(self.hint)
        self.message = self.message and mask(self.message)
        self.warnings = [mask(warning) for warning in self.warnings]

    def save(self, path: Path) -> None:
        """Write the outcome so that it is there whole or not at all."""
        temporary = path.with_suffix(".part")
        with temporary.open("w") as file:
            json.dump(asdict(self), file, default=str)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Outcome":
        """Read an outcome. Raises OSError where there is none, ValueError where it is no outcome."""
        return cls(**json.loads(path.read_text()))


def mask(outcome: Outcome) -> None:
    """Mask secret values in texts and in outputs, which are seen by who may not see secrets."""
    outcome.redact(redact)
    clean = _masked(outcome.outputs)
    if clean != outcome.outputs:
        outcome.outputs = clean
        outcome.warnings.append("an output held the value of a secret, and is masked: outputs are never secret")


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _masked(item) for name, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
