"""Validation of objects as the Kubernetes API gives them: the same checks and words as for files.

What is wrong is placed by its path in the object, such as `spec.stages[2].sql.query`, and in a text of SQL by line and
column as well. Nothing is read from disk. Of two pipelines that write one table the older is right.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from adutora.spec.base import API_VERSION, Spec
from adutora.spec.diagnostics import Diagnostic, errors
from adutora.spec.pipeline import Pipeline
from adutora.spec.project import EMBEDDED, Project
from adutora.spec.yamlfile import MAX_BYTES, MAX_DEPTH, Document, Json, Place, Where, dotted
from adutora.stages.publish.spec import Publish
from adutora.validate.cluster import check_for_pods
from adutora.validate.neighbours import PREFIX, TABLE, Age, Neighbours, Writer
from adutora.validate.projects import check_project
from adutora.validate.scope import Report, Scope
from adutora.validate.semantic import check_meaning
from adutora.validate.structural import Checked, check_structure

Object = Mapping[str, Any]
Kind = TypeVar("Kind", bound=Spec)
# Of `metadata` only this matters; the rest is the API server's, or for other programs.
_METADATA: Final = ("name", "namespace")
_ONLINE: Final = Publish.model_fields["connection"].default


@dataclass(frozen=True)
class ObjectDiagnostic(Diagnostic):
    """A finding in an object. `line` and `column` are those inside a text, from 1; 0 where they say nothing.

    `file` is empty for the Pipeline, and names the Project, such as `Project default`, for what is wrong with that.
    """

    @property
    def place(self) -> str:
        """`spec.stages[2].sql.query:3:14`."""
        inside = f":{self.line}:{self.column}" if self.line else ""
        return " ".join(part for part in (self.file, (self.path or "the object") + inside) if part)


@dataclass(frozen=True)
class Validated:
    """What validation found. `pipeline` is None where it has errors; `project` is the embedded one without one."""

    pipeline: Pipeline | None
    project: Project
    diagnostics: tuple[ObjectDiagnostic, ...]

    @property
    def ok(self) -> bool:
        """No errors; warnings do not count."""
        return self.pipeline is not None

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that are errors."""
        return errors(self.diagnostics)


@dataclass(frozen=True)
class ValidatedProject:
    """What validation of a Project found. `project` is None where it has errors. It may be used many times.

    `for_pods`: what only a laptop has was refused.
    """

    project: Project | None
    diagnostics: tuple[ObjectDiagnostic, ...]
    checked: Checked[Project]
    for_pods: bool = False


class Neighbourhood:
    """Pipelines by what they write. A caller that validates many keeps one, and puts and drops objects as they change.

    Objects are not judged: what cannot be read in them is passed over. For one thread at a time.
    """

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self.index = Neighbours()
        for each in objects:
            self.put(each)

    def put(self, pipeline: Object) -> None:
        """Note what a Pipeline writes, in place of what it wrote before."""
        metadata = _map(pipeline.get("metadata"))
        namespace, name = str(metadata.get("namespace") or "default"), str(metadata.get("name"))
        self.index.drop(f"{namespace}.{name}")
        for stage in map(_map, _list(_map(pipeline.get("spec")).get("stages"))):
            writer = Writer(f"{namespace}.{name}", str(stage.get("name")), age=_age(metadata))
            table, publish = _map(stage.get("output")).get("table"), _map(stage.get("publish"))
            if isinstance(table, str):
                self.index.claim((TABLE, namespace, table), writer)
            prefix, connection = publish.get("prefix"), publish.get("connection", _ONLINE)
            if isinstance(prefix, str) and isinstance(connection, str):
                self.index.claim((PREFIX, namespace, connection, prefix), writer)

    def drop(self, namespace: str, name: str) -> None:
        """Forget a Pipeline."""
        self.index.drop(f"{namespace}.{name}")


def validate_objects(
    pipeline: Object, project: Object | ValidatedProject | None, neighbours: Iterable[Object] | Neighbourhood = ()
) -> Validated:
    """Validate a Pipeline with the Project and the other Pipelines of its namespace. Nothing is raised for them.

    A neighbour that is younger gives way: it is no error that it writes the same table. The Pipeline may be among
    the neighbours itself. Errors of the Project are reported, too, and hold the Pipeline back.
    """
    around = neighbours if isinstance(neighbours, Neighbourhood) else Neighbourhood(neighbours)
    declared = validate_project(project) if isinstance(project, Mapping) else project
    document = _document(pipeline, "Pipeline")
    checked = _structure(document, Pipeline)
    found = list(checked.diagnostics)
    if checked.value is not None:
        namespace = checked.value.metadata.namespace or "default"
        scope = Scope(
            checked,
            checked.value,
            declared.checked if declared else None,
            around.index,
            home=namespace,
            age=_age(_map(pipeline.get("metadata"))),
            on_cluster=True,
            embedded_online=not (declared and declared.for_pods),
        )
        check_meaning(scope)
        found += scope.diagnostics
    diagnostics = _arranged(document, found) + (declared.diagnostics if declared else ())
    valid = checked.value if checked.value is not None and not errors(diagnostics) else None
    return Validated(valid, (declared.project if declared else None) or EMBEDDED, diagnostics)


def validate_project(project: Object, *, for_pods: bool = False) -> ValidatedProject:
    """Validate a Project by itself. With `for_pods` what no pod can use is an error: folders beside a file, SQLite."""
    name = _map(project.get("metadata")).get("name")
    document = _document(project, "Project", f"Project {name}")
    checked = _structure(document, Project)
    found = list(checked.diagnostics)
    if checked.value is not None:
        report = Report(checked)
        check_project(report, checked.value)
        if for_pods:
            check_for_pods(report, checked.value)
        found += report.diagnostics
    valid = checked.value if not errors(found) else None
    return ValidatedProject(valid, _arranged(document, found), checked, for_pods)


class _ObjectDocument(Document):
    """An object's value. Lines of its places only count the parts, in the object's order."""

    def diagnostic(self, path: Where, message: str, hint: str | None = None, **more: Any) -> Diagnostic:
        """Return a finding at `path`; `offset` points into a text value."""
        offset, line, column = more.get("offset"), 0, 0
        text = self._text(path)
        if offset is not None and text is not None:
            line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
        severity, code = more.get("severity", "error"), more.get("code")
        return ObjectDiagnostic(self.file, line, column, dotted(path), message, hint, severity, code)

    def words(self, path: Where) -> str:
        """Return the path itself."""
        return dotted(path)

    def _text(self, path: Where) -> str | None:
        value = self.value
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value if isinstance(value, str) else None


def _structure(document: Document, kind: type[Kind]) -> Checked[Kind]:
    out = _Reader(document).read()
    return Checked(document, diagnostics=[out]) if out else check_structure(document, kind)


def _document(value: Object, kind: str, file: str = "") -> Document:
    """Return the parts of an object that a user wrote, unread."""
    metadata = _map(value.get("metadata"))
    mine = {
        "apiVersion": value.get("apiVersion", API_VERSION),
        "kind": value.get("kind", kind),
        "metadata": {name: metadata[name] for name in _METADATA if name in metadata},
    }
    return _ObjectDocument(file, "", mine | ({"spec": value["spec"]} if "spec" in value else {}))


class _TooLargeError(Exception):
    """The object is not one that a file could hold."""


class _Reader:
    """Copies an object into plain lists and maps, and counts: no more is taken than a file could hold."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.size = 0

    def read(self) -> Diagnostic | None:
        """Fill the document's places. Return what is wrong where the object is too large or too deep."""
        try:
            self.document.value = self._copy(self.document.value, ())
        except _TooLargeError as error:
            self.document.value = {}
            return self.document.diagnostic((), *error.args, code="TooLarge")
        return None

    def _copy(self, value: Any, path: Where) -> Json:
        places = self.document.places
        places[path] = Place(len(places), 0, len(places), len(places))
        if len(path) > MAX_DEPTH:
            raise _TooLargeError(f"is nested more than {MAX_DEPTH} levels deep", "no field is so deep")
        self._count(value if isinstance(value, str) else "")
        if isinstance(value, Mapping):
            for key in value:
                self._count(key)
            return {key: self._copy(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._copy(item, (*path, number)) for number, item in enumerate(value)]
        return value

    def _count(self, text: str) -> None:
        # The least that any YAML needs for a text or value and what parts it from the next, so that no object is
        # refused whose file is not.
        self.size += 1 + (len(text) if text.isascii() else len(text.encode(errors="replace")))
        if self.size > MAX_BYTES:
            hint = "split the pipeline; data belongs in files of its own"
            raise _TooLargeError(f"is larger than {MAX_BYTES // 1024} KiB", hint)


def _arranged(document: Document, found: Iterable[Diagnostic]) -> tuple[ObjectDiagnostic, ...]:
    """Return each finding once, in the order of the object's parts."""
    order = {dotted(path): number for number, path in enumerate(document.places)}
    each = dict.fromkeys(one for one in found if isinstance(one, ObjectDiagnostic))
    return tuple(sorted(each, key=lambda one: (order.get(one.path, -1), one.line, one.column, one.severity)))


def _age(metadata: Object) -> Age:
    """When the object was made; one that is not made yet is the youngest."""
    return str(metadata.get("creationTimestamp") or "~"), str(metadata.get("name"))


def _map(value: Any) -> Object:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
