"""Errors, named for what happens next. The exit codes are those of sysexits.h."""

from typing import ClassVar

EXIT_OK = 0
EXIT_FAILED = 1  # a run in which a stage failed
EXIT_USAGE = 2  # the command line itself
EXIT_DATA = 65
EXIT_SOFTWARE = 70
EXIT_TEMPORARY = 75
EXIT_CONFIG = 78
EXIT_INTERRUPTED = 130


class AdutoraError(Exception):
    """Base of every error that a user is meant to read.

    `hint` says what would be right. `exit_code` decides whether a stage is tried again.
    """

    exit_code: ClassVar[int] = EXIT_SOFTWARE
    reason: ClassVar[str] = "Error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(AdutoraError):
    """The pipeline, project or connection is wrong: the same try would fail again. Never retried."""

    exit_code = EXIT_CONFIG
    reason = "BadConfig"


class DataError(AdutoraError):
    """The data is wrong or a gate failed: the same try would fail again. Never retried."""

    exit_code = EXIT_DATA
    reason = "BadData"


class TemporaryError(AdutoraError):
    """Something outside did not answer: the same try may succeed later. Retried with back-off."""

    exit_code = EXIT_TEMPORARY
    reason = "Temporary"
