"""A project to begin with: orders from a CSV file to daily sales. `adutora init` writes these files."""

import os
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from adutora.errors import ConfigError
from adutora.spec.yamlscalars import resolve, surprise

# Where a file goes -> its name among the files of this package.
FILES: Final = {
    "pipeline.yaml": "pipeline.yaml",
    "adutora.yaml": "adutora.yaml",
    "tests.yaml": "tests.yaml",
    "data/orders.csv": "data/orders.csv",
    "README.md": "README.md",
    ".gitignore": "gitignore",
}
_MAY_STAND: Final = frozenset({"README.md", ".gitignore"})  # a repository has them before it has a pipeline
_PLACEHOLDER: Final = "starter-project"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Made:
    """What was written, and which files stood there and were kept."""

    folder: Path
    name: str
    files: tuple[str, ...]
    kept: tuple[str, ...]


def make_project(folder: Path, name: str | None = None) -> Made:
    """Write a project into `folder`, which is made if it is not there; `name` is by default the folder's.

    Raises ConfigError, and writes nothing, for a name that cannot be, and where a file of the project stands already.
    """
    name = checked_name(folder, name)
    there = [path for path in FILES if os.path.lexists(folder / path)]
    taken = [path for path in there if path not in _MAY_STAND]
    if taken:
        raise ConfigError(f"{folder} has {', '.join(taken)} already; nothing was written", hint="name another folder")
    written = tuple(path for path in FILES if path not in there)
    try:
        for path in written:
            _write(folder / path, _text(FILES[path]).replace(_PLACEHOLDER, _spelled(name, path)))
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror or error}") from error
    return Made(folder, name, written, tuple(there))


def checked_name(folder: Path, name: str | None) -> str:
    """Return the project's name: as given, else made from the folder's. Raises ConfigError for one that cannot be."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:63].strip("-")
    wanted = words if name is None else name
    if not _NAME.fullmatch(wanted):
        hint = "lower-case letters, digits and `-`, with a letter or digit at both ends, at most 63"
        raise ConfigError(f"{wanted or str(folder)!r} is no name of a project; give one with --name", hint=hint)
    return wanted


def _spelled(name: str, path: str) -> str:
    """Return the name as a file spells it: YAML reads `2026` and `no` as a number and a boolean without quotes."""
    plain = surprise(name) is None and isinstance(_resolved(name), str)
    return name if plain or not path.endswith(".yaml") else f'"{name}"'


def _resolved(name: str) -> object:
    try:
        return resolve(name)
    except ValueError:
        return None


def _text(path: str) -> str:
    return resources.files("adutora.starter").joinpath(*path.split("/")).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
