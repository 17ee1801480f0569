"""A pipeline of some lines, and what is found in it."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from adutora.spec.diagnostics import Diagnostic
from adutora.spec.yamlfile import load
from adutora.validate import Validation, validate_files
from adutora.validate.objects import validate_objects

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
        """Findings as `severity path: message (hint)`, in the file's order. Objects of this text have the same."""
        result = check(text, project)
        same_in_objects(result)
        return [
            f"{each.severity} {each.path}: {each.message}" + (f" ({each.hint})" if each.hint else "")
            for each in result.diagnostics
        ]

    return findings


def same_in_objects(result: Validation) -> None:
    """See that the documents of the files, as the API server would give them, have the same findings."""
    files = [load(Path(name)) for name in result.sources]
    if any(file.diagnostics or any(each.surprises for each in file.documents) for file in files):
        return  # of YAML; the API server would have read something else
    values = [document.value for file in files for document in file.documents]
    objects = {value.get("kind"): value for value in values if isinstance(value, dict)}
    if "Pipeline" in objects:
        found = validate_objects(objects["Pipeline"], objects.get("Project"))
        assert sorted(map(_plain, found.diagnostics)) == sorted(map(_plain, result.diagnostics))
        assert found.ok == result.ok or any("namespace has no Project" in each.message for each in found.diagnostics)


def _plain(each: Diagnostic) -> tuple[str, ...]:
    """Return a finding without what only a file has: names and lines of files, and a Project that was not looked for."""
    message = re.sub(
        r" \(/[^)]*:[0-9]+\)|(?<=here and in )\S+( [0-9]+)?|: (no adutora.yaml|the namespace).*", "", each.message
    )
    if "the number" in message or "must be text" in message:  # a file's finding spells the value as it was written
        return (each.path, each.severity)
    return (each.path, message) if "is not known" in message else (each.path, message, each.hint or "", each.severity)
