"""What a semantic check sees of a pipeline, and how it reports."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from adutora.spec.base import Check
from adutora.spec.diagnostics import Code, Diagnostic, Severity
from adutora.spec.pipeline import Pipeline, PipelineSpec, Stage
from adutora.spec.project import EMBEDDED, EMBEDDED_ONLINE, Connection, Project
from adutora.spec.scalars import Duration
from adutora.spec.yamlfile import MAX_FINDINGS, Document, Where
from adutora.validate.fields import Text, texts
from adutora.validate.neighbours import Age, Key, Neighbours, Writer, keys_of
from adutora.validate.structural import Checked

STAGES: Where = ("spec", "stages")
TABLES: Where = ("spec", "tables")


def namespace_of(kind: Any) -> str:
    """Namespace of a Pipeline or Project; on a laptop `default`."""
    return kind.metadata.namespace or "default"


class TooManyError(Exception):
    """A document has so much wrong with it that going on helps nobody."""


class Report:
    """Findings of one document. Paths are those of the checked value, whose lists may be shorter than the file's."""

    def __init__(self, checked: Checked[Any]) -> None:
        self.checked = checked
        self.document: Document = checked.document
        self.diagnostics: list[Diagnostic] = []

    def error(
        self,
        path: Where,
        message: str,
        hint: str | None = None,
        *,
        at_key: bool = False,
        offset: int | None = None,
        code: Code | None = None,
    ) -> None:
        """Report what is wrong at `path`; `offset` counts characters into a text."""
        self._add("error", path, message, hint, at_key=at_key, offset=offset, code=code)

    def warning(
        self, path: Where, message: str, hint: str | None = None, *, at_key: bool = False, offset: int | None = None
    ) -> None:
        """Report what is probably not meant."""
        self._add("warning", path, message, hint, at_key=at_key, offset=offset)

    def _add(
        self,
        severity: Severity,
        path: Where,
        message: str,
        hint: str | None,
        *,
        at_key: bool,
        offset: int | None,
        code: Code | None = None,
    ) -> None:
        path = self.checked.original(path)
        if path in self.checked.stand_ins:
            return
        if len(self.diagnostics) >= MAX_FINDINGS:
            message = f"there are more than {MAX_FINDINGS} findings; mend these first"
            self.diagnostics.append(self.document.diagnostic((), message, severity=severity))
            raise TooManyError
        self.diagnostics.append(
            self.document.diagnostic(path, message, hint, severity=severity, at_key=at_key, offset=offset, code=code)
        )

    def gap(self, path: Where) -> bool:
        """Whether something at, above or below `path` was wrong already: no second complaint."""
        path = self.checked.original(path)
        holes = [*self.checked.cut, *self.checked.stand_ins, *self.checked.misspelt]
        return any(hole[: len(path)] == path or path[: len(hole)] == hole for hole in holes)

    def given(self, path: Where) -> bool:
        """Whether the user wrote something at `path`."""
        return self.checked.original(path) in self.document.places

    def line(self, path: Where) -> int:
        """Line of `path`, from 1."""
        place = self.document.places.get(self.checked.original(path))
        return place.line + 1 if place else 1

    def place(self, path: Where) -> str:
        """Where `path` stands, for messages: `line 5`."""
        return self.document.words(self.checked.original(path))


class Scope(Report):
    """A pipeline that is checked, with its project and its neighbours."""

    def __init__(
        self,
        checked: Checked[Pipeline],
        pipeline: Pipeline,
        project: Checked[Project] | None,
        neighbours: Neighbours,
        *,
        home: str = "",
        age: Age | None = None,
        on_cluster: bool = False,
        embedded_online: bool = True,
    ) -> None:
        super().__init__(checked)
        self.pipeline = pipeline
        self.spec: PipelineSpec = pipeline.spec
        self.project: Project = (project.value if project else None) or EMBEDDED
        # False: no Project was found, so that what it would declare cannot be judged.
        self.project_found = project is not None
        self.project_document = project.document.value if project else {}
        self.neighbours = neighbours
        # Where connections are declared: one name in two homes is two stores.
        self.home = home
        # None: nothing is known of ages, so two writers of a table are both at fault.
        self.age = age
        self.on_cluster = on_cluster
        self.embedded_online = embedded_online

    def stages(self) -> Iterator[tuple[Where, Stage]]:
        """Every stage that has its type, with its path."""
        for index, stage in enumerate(self.spec.stages):
            path = (*STAGES, index)
            if self.checked.original(path) not in self.checked.damaged:
                yield path, stage

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """Every text of the spec."""
        return tuple(texts(self.spec, ("spec",)))

    @cached_property
    def stage_texts(self) -> tuple[tuple[Text, ...], ...]:
        """Every text of each stage."""
        out: list[list[Text]] = [[] for _ in self.spec.stages]
        for text in self.texts:
            if text.path[:2] == STAGES:
                out[int(text.path[2])].append(text)
        return tuple(map(tuple, out))

    def blocks(self, kind: str) -> Iterator[tuple[Where, Any]]:
        """Blocks of one stage type, with their paths."""
        for path, stage in self.stages():
            if stage.type == kind:
                yield (*path, kind), stage.block

    def checks(self) -> Iterator[tuple[Where, Check, str | None]]:
        """Every check: its path, itself, and the table that it is about, if that is clear."""
        for index, table in enumerate(self.spec.tables):
            for number, check in enumerate(table.checks):
                yield (*TABLES, index, "checks", number), check, table.name
        for path, stage in self.stages():
            if stage.quality:
                about = stage.all_inputs[0].table if stage.all_inputs else None
                for number, check in enumerate(stage.quality.checks):
                    yield (*path, "quality", "checks", number), check, about

    def writes(self) -> Iterator[tuple[Where, Key, Writer]]:
        """What the stages write: the path that says so, its key, and the stage as others see it."""
        for index, stage in enumerate(self.spec.stages):
            for key, below in keys_of(stage, self.namespace, self.home):
                path = (*STAGES, index, *below)
                yield path, key, Writer(self.full_name, stage.name, self.document.file, self.line(path), self.age)

    def undeclared(self, path: Where, what: str, hint: str | None) -> None:
        """Report what a Project would declare where there is none. Of files the Project may stand elsewhere."""
        if self.on_cluster:
            hint = hint or "apply a Project that declares it"
            self.error(path, f"{what} is not known: the namespace has no Project", hint)
        else:
            self.warning(path, f"{what} is not known: no adutora.yaml was found", hint)

    def gives_way_to(self, other: Writer) -> bool:
        """Whether the other is older, or the ages are not known."""
        return self.age is None or other.age is None or other.age < self.age

    @cached_property
    def full_name(self) -> str:
        """Namespace and name."""
        return f"{self.namespace}.{self.pipeline.metadata.name}"

    @cached_property
    def namespace(self) -> str:
        """The pipeline's namespace."""
        return namespace_of(self.pipeline)

    @cached_property
    def stage_names(self) -> list[str]:
        """Names of all stages, those that are not whole too."""
        return raw_names(self.document.value, "stages") or [stage.name for stage in self.spec.stages]

    @cached_property
    def param_names(self) -> list[str]:
        """Names of all parameters, those that are not whole too."""
        return raw_names(self.document.value, "params")

    @cached_property
    def table_names(self) -> list[str]:
        """Names of all tables that are described, those that are not whole too."""
        return raw_names(self.document.value, "tables")

    @cached_property
    def connections(self) -> dict[str, Connection]:
        """Connections by name; on a laptop `online` is always there."""
        declared = {each.name: each for each in self.project.spec.connections}
        if self.embedded_online:
            declared.setdefault(EMBEDDED_ONLINE.name, EMBEDDED_ONLINE)
        return declared


def some_time(report: Report, path: Where, length: Duration | None, why: str) -> None:
    """Report a time of no length, where that makes no sense."""
    if length is not None and length == 0:
        report.error(path, f"{length} is no time at all", why)


def raw_names(document: Any, field_name: str) -> list[str]:
    """Names in a list under `spec`, those of items too that were refused: nobody is blamed for naming them."""
    spec = document.get("spec") if isinstance(document, dict) else None
    items = spec.get(field_name) if isinstance(spec, dict) else None
    names = [item.get("name") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [name for name in names if isinstance(name, str)]
