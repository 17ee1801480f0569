"""Podman or Docker, whichever works here: finding it, pulling, cleaning up."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from adutora.errors import AdutoraError, ConfigError, TemporaryError
from adutora.io.secrets import redact

ENGINES = ("podman", "docker")
_PATIENCE = 30  # seconds for a question to the engine
_REFUSED = (
    "not found",
    "manifest unknown",
    "denied",
    "unauthorized",
    "invalid reference",
    "does not exist",
    "no such image",
)


@dataclass(frozen=True)
class Engine:
    """A container engine that answers."""

    name: str
    path: str

    def ask(self, *arguments: str, timeout: float | None = _PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run a short command of the engine. Raises TemporaryError if it does not answer in time."""
        try:
            return subprocess.run(
                [self.path, *arguments],
                capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise TemporaryError(f"{self.name} {arguments[0]} did not answer within {timeout:g}s") from None

    def need_image(self, image: str) -> None:
        """Pull an image that is not here. Raises ConfigError if it does not exist or is denied, else TemporaryError."""
        if self.ask("image", "inspect", "--", image).returncode == 0:
            return
        pulled = self.ask("pull", "--", image, timeout=None)
        if pulled.returncode != 0:
            said = last_lines(pulled.stderr)
            refused = any(sign in said.lower() for sign in _REFUSED)
            error: type[AdutoraError] = ConfigError if refused else TemporaryError
            raise error(f"image {image} cannot be pulled by {self.name}: {said}")

    def remove(self, labels: Mapping[str, str]) -> None:
        """Remove containers that carry all of `labels`: what an earlier try that was killed left behind."""
        filters = [part for name, value in labels.items() for part in ("--filter", f"label={name}={value}")]
        left = self.ask("ps", "--all", "--quiet", *filters).stdout.split()
        if left:
            self.ask("rm", "--force", *left)


def find_engine() -> Engine:
    """Return the first engine that works. Raises ConfigError that says what to install where none does."""
    failures = []
    for name in ENGINES:
        path = shutil.which(name)
        if path is None:
            failures.append(f"{name} is not installed")
            continue
        engine = Engine(name, path)
        answer = engine.ask("info")
        if answer.returncode == 0:
            return engine
        failures.append(f"{name} does not work: {last_lines(answer.stderr or answer.stdout)}")
    raise ConfigError(
        f"a container stage needs podman or docker: {'; '.join(failures)}",
        hint="install Podman (podman.io) or start Docker; on a cluster neither is needed",
    )


def last_lines(text: str, limit: int = 400) -> str:
    """Return the end of what a program said, on one line, without secrets."""
    shown = redact(" ".join(text.split()))
    return shown if len(shown) <= limit else "…" + shown[1 - limit :]
