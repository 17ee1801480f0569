"""Validation: files in, every error out at once, each with its place and what would be right."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adutora.errors import ConfigError
from adutora.spec.diagnostics import Diagnostic, arranged, errors
from adutora.spec.pipeline import Pipeline
from adutora.spec.project import Project
from adutora.spec.yamlfile import Document
from adutora.validate.files import Collection, Found, collect, project_for
from adutora.validate.neighbours import Neighbours
from adutora.validate.projects import check_project
from adutora.validate.scope import Report, Scope, namespace_of
from adutora.validate.semantic import check_meaning


@dataclass(frozen=True)
class LoadedPipeline:
    """A pipeline without errors, and the project that holds for it.

    `project_path` is None where the embedded project holds. `source` has the position of every field.
    """

    pipeline: Pipeline
    project: Project
    project_path: Path | None
    path: Path
    source: Document
    warnings: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True)
class Validation:
    """What validation found. `sources` holds each file's lines, for excerpts."""

    files: tuple[Path, ...]
    pipelines: tuple[LoadedPipeline, ...]
    projects: tuple[Project, ...]
    diagnostics: tuple[Diagnostic, ...]
    sources: dict[str, list[str]]

    @property
    def ok(self) -> bool:
        """No errors; warnings do not count."""
        return not errors(self.diagnostics)


class ValidationFailed(ConfigError):  # noqa: N818 - it says what happened
    """A file has errors. `diagnostics` holds all of them, warnings too."""

    def __init__(self, diagnostics: Sequence[Diagnostic], sources: dict[str, list[str]] | None = None) -> None:
        bad = errors(diagnostics)
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        super().__init__(
            f"{bad[0].place}: {bad[0].message}{more}" if bad else "invalid", hint=bad[0].hint if bad else None
        )
        self.diagnostics = tuple(diagnostics)
        self.sources = sources or {}


def validate_files(paths: Iterable[str | Path]) -> Validation:
    """Validate files and folders together: each sees what the others write. Nothing is raised for what they hold."""
    collection = collect([Path(path) for path in paths])
    diagnostics = list(collection.diagnostics)
    neighbours = Neighbours()
    scopes = [_scope(each, collection, neighbours) for each in collection.of(Pipeline)]
    for _, _, scope in scopes:
        for _, key, writer in scope.writes():
            neighbours.claim(key, writer)
    pipelines = []
    for each, project, scope in scopes:
        check_meaning(scope)
        diagnostics += scope.diagnostics
        path = project.file.path if project else None
        pipelines.append(LoadedPipeline(each.value, scope.project, path, each.file.path, each.checked.document))
    for each in collection.of(Project):
        report = Report(each.checked)
        check_project(report, each.value)
        diagnostics += report.diagnostics
    diagnostics += _twins(collection)
    return Validation(
        tuple(collection.asked),
        tuple(pipelines),
        tuple(each.value for each in collection.of(Project)),
        arranged(diagnostics),
        {file.name: file.text.splitlines() for file in collection.files.values()},
    )


def _scope(each: Found, collection: Collection, neighbours: Neighbours) -> tuple[Found, Found | None, Scope]:
    project = project_for(each, collection)
    home = str(project.file.path.resolve() if project else each.file.path.resolve().parent)
    return each, project, Scope(each.checked, each.value, project.checked if project else None, neighbours, home=home)


def _twins(collection: Collection) -> list[Diagnostic]:
    """Report documents of one kind and namespace that have the same name."""
    out: list[Diagnostic] = []
    first: dict[tuple[str, str, str], Found] = {}
    for each in (found for found in collection.found if found.value is not None):
        name = each.value.metadata.name
        if ("metadata", "name") in each.checked.stand_ins or ("metadata",) in each.checked.stand_ins:
            continue
        other = first.setdefault((each.value.kind, namespace_of(each.value), name), each)
        if other is not each:
            place = f"{other.file.name}:{Report(other.checked).line(('metadata', 'name'))}"
            message = f"there is another {each.value.kind} `{name}`, in {place}"
            out.append(each.checked.document.diagnostic(("metadata", "name"), message, "rename one of them"))
    return out


def load_pipeline(path: str | Path, *, others: Iterable[str | Path] = (), name: str | None = None) -> LoadedPipeline:
    """Load the pipeline in the file at `path`; `name` picks one where the file has several.

    `others` are validated with it, so that it may read their tables. Raises ValidationFailed.
    """
    path = Path(path)
    result = validate_files([path, *others])
    if not result.ok:
        raise ValidationFailed(result.diagnostics, result.sources)
    mine = [each for each in result.pipelines if each.path == path and name in (None, each.pipeline.metadata.name)]
    if len(mine) != 1:
        names = [each.pipeline.metadata.name for each in result.pipelines if each.path == path]
        what = "has several pipelines" if names and name is None else f"has no pipeline {name or ''}".rstrip()
        hint = f"it has {', '.join(names)}; name one" if names else "a file to run holds one document `kind: Pipeline`"
        raise ValidationFailed([Diagnostic(str(path), 1, 1, "", what, hint)], result.sources)
    one = mine[0]
    return LoadedPipeline(one.pipeline, one.project, one.project_path, one.path, one.source, result.diagnostics)


__all__ = ["Found", "LoadedPipeline", "Validation", "ValidationFailed", "load_pipeline", "validate_files"]
