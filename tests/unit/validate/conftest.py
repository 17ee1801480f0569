"""A pipeline of some lines, and what is found in it."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from adutora.validate import Validation, validate_files

PIPELINE = "apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n"
PROJECT = "apiVersion: adutora.dev/v1alpha1\nkind: Project\nmetadata: {name: default}\nspec:\n"


class Check(Protocol):
    """Validate a pipeline of the lines under its `spec`, beside a Project of such lines if one is given."""

    def __call__(self, text: str, project: str | None = None) -> Validation: ...


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "pipeline.yaml", head: str = PIPELINE) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(head + textwrap.indent(textwrap.dedent(text).strip("\n") + "\n", "  "), encoding="utf-8")
        return path

    return write


@pytest.fixture
def check(write: Callable[..., Path]) -> Check:
    def check(text: str, project: str | None = None) -> Validation:
        if project is not None:
            write(project, "adutora.yaml", PROJECT)
        return validate_files([write(text)])

    return check


@pytest.fixture
def findings(check: Check) -> Callable[..., list[str]]:
    def findings(text: str, project: str | None = None) -> list[str]:
        """Findings as `severity path: message (hint)`, in the file's order."""
        return [
            f"{each.severity} {each.path}: {each.message}" + (f" ({each.hint})" if each.hint else "")
            for each in check(text, project).diagnostics
        ]

    return findings
