"""Files to checked documents: which kinds they hold, and which Project holds for which Pipeline."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from adutora.spec.base import API_VERSION, Spec
from adutora.spec.diagnostics import Diagnostic
from adutora.spec.model_service import ModelService
from adutora.spec.nearest import nearest
from adutora.spec.pipeline import Pipeline
from adutora.spec.project import Project
from adutora.spec.yamlfile import MAX_BYTES, Document, YamlFile, load
from adutora.validate.scope import namespace_of
from adutora.validate.structural import Checked, check_structure

KINDS: Final[dict[str, type[Spec]]] = {"Pipeline": Pipeline, "Project": Project, "ModelService": ModelService}
PROJECT_FILES: Final = ("adutora.yaml", "adutora.yml")
_OURS = re.compile(rb"^apiVersion:\s*[\"']?adutora\.dev/", re.MULTILINE)


@dataclass
class Found:
    """A checked document and the file that it stands in."""

    file: YamlFile
    checked: Checked[Any]

    @property
    def value(self) -> Any:
        """The Pipeline, Project or ModelService; None if nothing could be made of it."""
        return self.checked.value


@dataclass
class Collection:
    """Everything that was read. `asked` are the files that the caller named."""

    files: dict[Path, YamlFile] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    asked: list[Path] = field(default_factory=list)

    def of(self, kind: type[Spec]) -> list[Found]:
        """Documents of a kind of which something could be made."""
        return [each for each in self.found if isinstance(each.value, kind)]


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as they are; of folders the YAML files below that are ours, in order of their names."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for file in sorted(path.rglob("*")):
            hidden = any(step.startswith(".") or step == "node_modules" for step in file.relative_to(path).parts)
            if not hidden and file.suffix in (".yaml", ".yml") and _is_ours(file):
                yield file


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _OURS.search(stream.read(MAX_BYTES)) is not None
    except OSError:
        return False


def collect(paths: Sequence[Path]) -> Collection:
    """Read and check the structure of `paths` and of each `adutora.yaml` that holds for them."""
    out = Collection()
    for path in expand(paths):
        if path.resolve() not in out.files:
            out.asked.append(path)
            _add(out, path)
    for path in list(out.asked):
        project = find_project(path)
        if project is not None and project.resolve() not in out.files:
            _add(out, project)
    return out


def find_project(path: Path) -> Path | None:
    """Return the `adutora.yaml` beside the file at `path`, or in the nearest folder above it."""
    folder = path.resolve().parent
    for place in (folder, *folder.parents):
        for name in PROJECT_FILES:
            if (place / name).is_file():
                return _shown(place / name)
    return None


def _shown(path: Path) -> Path:
    """Path as a user would write it: relative to the working folder where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _add(out: Collection, path: Path) -> None:
    file = load(path)
    out.files[path.resolve()] = file
    out.diagnostics += file.diagnostics
    ours = 0
    for document in file.documents:
        kind = _kind(document, out.diagnostics)
        if kind is not None:
            checked = check_structure(document, kind)
            out.found.append(Found(file, checked))
            out.diagnostics += checked.diagnostics
            ours += 1
    if file.documents and not ours and not any(each.file == file.name for each in out.diagnostics):
        message = f"has no document of {API_VERSION}"
        out.diagnostics.append(Diagnostic(file.name, 1, 1, "", message, "begin with `apiVersion` and `kind: Pipeline`"))


def _kind(document: Document, diagnostics: list[Diagnostic]) -> type[Spec] | None:
    """Return the model of a document, or None with a finding. Documents of other products are passed over."""
    value = document.value
    if not isinstance(value, dict):
        diagnostics.append(
            document.diagnostic((), "is no document of fields", f"begin with `apiVersion: {API_VERSION}`")
        )
        return None
    version, kind = value.get("apiVersion"), value.get("kind")
    near = nearest(kind, KINDS) if isinstance(kind, str) else None
    if isinstance(version, str) and not _ours(version, kind, near):
        if not isinstance(kind, str):
            _text_missing(document, "kind", diagnostics)
        return None
    if not isinstance(version, str):
        _text_missing(document, "apiVersion", diagnostics)
    elif version != API_VERSION:
        message = f"{version} is no version that is known"
        diagnostics.append(document.diagnostic(("apiVersion",), message, f"write {API_VERSION}"))
    if not isinstance(kind, str):
        _text_missing(document, "kind", diagnostics)
        near = "Project" if document.file.endswith(PROJECT_FILES) else "Pipeline"
    elif kind not in KINDS:
        hint = f"did you mean {near}?" if near else f"one of {', '.join(KINDS)}"
        diagnostics.append(document.diagnostic(("kind",), f"unknown kind {kind}", hint))
    # Told here, with words that fit.
    document.refused |= {("apiVersion",), ("kind",)}
    return KINDS[near] if near else None


def _ours(version: str, kind: object, near: str | None) -> bool:
    """Whether a document of this version is meant for us: by its group, or by its kind alone."""
    group = version.partition("/")[0]
    if nearest(group, [API_VERSION.partition("/")[0]]) or "adutora" in group or kind in KINDS:
        return True
    return near is not None and "." not in group


def _text_missing(document: Document, name: str, diagnostics: list[Diagnostic]) -> None:
    given = name in document.value
    what = "must be text" if given else "is missing"
    right = {"apiVersion": f"apiVersion: {API_VERSION}", "kind": "kind: Pipeline"}[name]
    diagnostics.append(document.diagnostic((name,) if given else (), f"`{name}` {what}", right))


def project_for(pipeline: Found, collection: Collection) -> Found | None:
    """Return the Project that holds for a Pipeline.

    In order: in the same file, in the nearest folder at or above the pipeline's, the only one among the files.
    """
    namespace = namespace_of(pipeline.value)
    projects = collection.of(Project)
    mine = [each for each in projects if namespace_of(each.value) == namespace] or projects
    same = [each for each in mine if each.file is pipeline.file]
    if same:
        return same[0]
    folder = pipeline.file.path.resolve().parent
    above: dict[int, list[Found]] = defaultdict(list)
    for each in mine:
        home = each.file.path.resolve().parent
        if folder.is_relative_to(home):
            above[len(home.parts)].append(each)
    if above:
        return above[max(above)][0]
    return mine[0] if len(mine) == 1 else None


__all__ = ["Collection", "Found", "collect", "expand", "find_project", "project_for"]
