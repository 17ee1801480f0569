"""Java, which Spark runs on: where it is, and whether it is new enough."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Final

from adutora.errors import ConfigError

OLDEST: Final = 17
_HINT: Final = (
    "install Java 17 or 21, for example Debian's openjdk-17-jre-headless, or `brew install openjdk@17` on macOS, "
    "and set JAVA_HOME where it is not on PATH"
)


def check_pyspark() -> None:
    """Raises ConfigError that says what to install where PySpark is not there."""
    if util.find_spec("pyspark") is None:
        raise ConfigError("PySpark is not installed", hint='pip install "adutora[spark]"')


def check_java(env: Mapping[str, str] = os.environ) -> None:
    """Raises ConfigError that says what to install where there is no Java, or one too old."""
    home = env.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=env.get("PATH"))
    if program is None or not Path(program).exists():
        where = f"in JAVA_HOME={home}" if home else "on PATH"
        raise ConfigError(f"Spark needs Java, and there is none {where}", hint=_HINT)
    version = _version(Path(program))
    if version is None:
        raise ConfigError(f"Spark needs Java, and {program} does not say its version", hint=_HINT)
    if version < OLDEST:
        raise ConfigError(f"Spark needs Java {OLDEST} or newer, and {program} is Java {version}", hint=_HINT)


def _version(program: Path) -> int | None:
    """Return the major version: from the file beside Java, for starting it takes as long as a small query."""
    release = program.resolve().parents[1] / "release"
    text = release.read_text(errors="replace") if release.is_file() else ""
    found = re.search(r'JAVA_VERSION="([^"]+)"', text) or re.search(r'version "([^"]+)"', _told(program))
    if found is None:
        return None
    numbers = re.findall(r"\d+", found[1])
    return int(numbers[1] if numbers[0] == "1" else numbers[0]) if numbers else None


def _told(program: Path) -> str:
    try:
        done = subprocess.run([str(program), "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout
