"""A file of tests, read and held against its pipeline: everything that is wrong is said at once, with its place."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from adutora.compile import references
from adutora.dagconfig import DagConfig, Json, StageConfig
from adutora.errors import ConfigError
from adutora.spec.base import Spec
from adutora.spec.diagnostics import Diagnostic, arranged, errors
from adutora.spec.nearest import did_you_mean
from adutora.spec.scalars import JsonValue, ResourceName, Text
from adutora.spec.yamlfile import Document, Where, load
from adutora.validate import ValidationFailed
from adutora.validate.structural import check_structure

TESTABLE: Final = ("sql", "clean", "python")  # stage types whose rows depend on their inputs alone
FORMATS: Final = ("csv", "jsonl", "log")
Row = dict[str, Any]


class Moment(Spec):
    """The run that the stage believes to be in."""

    id: Text = Field("test", description="`$(run.id)`")
    date: Text | None = Field(None, description="`$(run.date)`")
    scheduledAt: Text | None = Field(None, description="`$(run.scheduledAt)`, ISO 8601")
    intervalStart: Text | None = Field(None, description="`$(run.intervalStart)`")
    intervalEnd: Text | None = Field(None, description="`$(run.intervalEnd)`")


class Given(Spec):
    """What stands in one input: rows, or the text of a file."""

    rows: list[Row] | None = Field(None, description="Rows")
    columns: dict[str, str] | None = Field(None, description="With `rows`: Delta types of columns, by name")
    csv: str | None = Field(None, description="Text of a CSV file")
    jsonl: str | None = Field(None, description="Text of a file of JSON lines")
    log: str | None = Field(None, description="Text of a log file")

    ONE_OF: ClassVar[tuple[str, ...]] = ("rows", *FORMATS)

    @property
    def format(self) -> str | None:
        """Format of the text; None where rows are given."""
        return next((name for name in FORMATS if getattr(self, name) is not None), None)


class Expected(Spec):
    """What should come of it."""

    rows: list[Row] | None = Field(None, description="Rows of the output table, with the columns to look at")
    order: bool = Field(False, description="Their order counts")
    rejected: int | None = Field(None, ge=0, description="How many rows are set aside")
    error: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="The stage fails, and its message contains this"
    )


class Case(Spec):
    """One test of one stage."""

    name: Text = Field(description="What is tested, in words")
    stage: ResourceName = Field(description="The stage")
    params: dict[str, Any] = Field(default_factory=dict, description="Values of parameters; others have their default")
    run: Moment = Field(default_factory=Moment, description="The run's date and times")
    item: JsonValue | None = Field(None, description="`$(item)` of a fan-out")
    outputs: dict[str, Row] = Field(default_factory=dict, description="Outputs of other stages: stage, name, value")
    given: dict[str, Given] = Field(default_factory=dict, description="Inputs by table or name")
    expect: Expected = Field(description="What should come of it")


class CaseFile(Spec):
    """A file of tests."""

    tests: list[Case] = Field(min_length=1, max_length=1000, description="The tests")


@dataclass(frozen=True)
class Located:
    """A test and where it stands."""

    case: Case
    place: str


def tests_path(pipeline: Path) -> Path:
    """Return the tests of a pipeline file: `<pipeline>.tests.yaml`, else `tests.yaml` beside it. Raises ConfigError."""
    own = pipeline.with_name(f"{pipeline.stem}.tests.yaml")
    for path in (own, pipeline.with_name("tests.yaml")):
        if path.is_file():
            return path
    raise ConfigError(
        f"{pipeline} has no tests", hint=f"write {own.name} or tests.yaml beside it, or name a file with --tests"
    )


def load_cases(path: Path, config: DagConfig) -> list[Located]:
    """Read a file of tests for a pipeline. Raises ValidationFailed that names everything that is wrong."""
    file = load(path)
    diagnostics = list(file.diagnostics)
    found: list[Located] = []
    for document in map(_normal, file.documents):
        checked = check_structure(document, CaseFile)
        diagnostics += checked.diagnostics
        if checked.whole and checked.value is not None:
            diagnostics += _check_all(document, checked.value, config)
            found += [Located(case, _place(document, index)) for index, case in enumerate(checked.value.tests)]
    if errors(diagnostics) or not found:
        sources = {file.name: file.text.splitlines()}
        raise ValidationFailed(arranged(diagnostics) or [Diagnostic(str(path), 1, 1, "", "has no tests")], sources)
    return found


def _place(document: Document, index: int) -> str:
    return f"{document.file}:{document.places[('tests', index)].line + 1}"


def _normal(document: Document) -> Document:
    """Return the document with `tests:` over a bare list, and `rows:` over the bare rows of an input.

    The file goes to no cluster, so what YAML 1.1 would read differently does not matter.
    """
    value, places = document.value, document.places
    if isinstance(value, list):
        value, places = {"tests": value}, {("tests", *path): place for path, place in places.items()} | {(): places[()]}
    moved: dict[Where, Where] = {}
    tests = value.get("tests") if isinstance(value, dict) else None
    for index, case in enumerate(tests if isinstance(tests, list) else []):
        given = case.get("given") if isinstance(case, dict) else None
        if not isinstance(given, dict):
            continue
        for name, rows in given.items():
            if isinstance(rows, list):
                given[name] = {"rows": rows}
                moved[("tests", index, "given", name)] = ("tests", index, "given", name, "rows")
    depth = 4
    added = {moved[path[:depth]] + path[depth:]: place for path, place in places.items() if path[:depth] in moved}
    return Document(document.file, document.source, value, places | added)


def _check_all(document: Document, cases: CaseFile, config: DagConfig) -> Iterator[Diagnostic]:
    names: set[str] = set()
    for index, case in enumerate(cases.tests):
        path: Where = ("tests", index)
        if case.name in names:
            yield document.diagnostic((*path, "name"), f"another test is called {case.name!r}", "rename one of them")
        names.add(case.name)
        if case.stage not in config.names():
            message = f"{config.name} has no stage `{case.stage}`"
            yield document.diagnostic((*path, "stage"), message, did_you_mean(case.stage, config.names()))
            continue
        stage = config.stage(case.stage)
        if stage.type not in TESTABLE or stage.output is None or stage.block.get("engine", "duckdb") != "duckdb":
            able = [each.name for each in config.stages if each.type in TESTABLE and each.output]
            message = f"stage `{case.stage}` is of type {stage.type}, which cannot be tested so"
            if stage.type in TESTABLE and stage.output is None:
                message = f"stage `{case.stage}` writes no table"
            yield document.diagnostic((*path, "stage"), message, f"test one of {', '.join(able)}" if able else None)
            continue
        yield from _check_inputs(document, path, case, stage, config)
        yield from _check_values(document, path, case, stage, config)
        yield from _check_moment(document, (*path, "run"), case.run)


def _check_inputs(
    document: Document, path: Where, case: Case, stage: StageConfig, config: DagConfig
) -> Iterator[Diagnostic]:
    files = {str(item["name"]) for item in stage.inputs if "file" in item}
    needed = [*(str(item.get("table") or item["name"]) for item in stage.inputs), *_referenced(stage, config)]
    own = str((stage.output or {})["table"])
    for name, given in case.given.items():
        if name not in {*needed, own}:
            message = f"stage `{stage.name}` does not read `{name}`"
            yield document.diagnostic((*path, "given", name), message, did_you_mean(name, needed), at_key=True)
        elif given.columns is not None and given.rows is None:
            yield document.diagnostic((*path, "given", name, "columns"), "types go with `rows`, not with a file's text")
        elif given.rows is not None and not given.rows and not given.columns and not config.tables.get(name):
            hint = "add `columns: {name: type}`, or describe the table in the pipeline"
            yield document.diagnostic((*path, "given", name), f"`{name}` has no rows, so its columns are unknown", hint)
        elif given.format == "log" and name not in files:
            yield document.diagnostic((*path, "given", name), f"`{name}` is a table, not a log file", "give `rows`")
    for name in dict.fromkeys(needed):
        if name not in case.given and name != own:
            hint = f"add `{name}:` to `given`, with a list of rows"
            yield document.diagnostic((*path, "given"), f"stage `{stage.name}` reads `{name}`", hint)


def _check_values(
    document: Document, path: Where, case: Case, stage: StageConfig, config: DagConfig
) -> Iterator[Diagnostic]:
    known = [str(param["name"]) for param in config.params]
    for name in case.params:
        if name not in known:
            message = f"there is no parameter `{name}`"
            yield document.diagnostic((*path, "params", name), message, did_you_mean(name, known), at_key=True)
    required = {str(param["name"]) for param in config.params if param.get("default") is None}
    used = {(ref.root, *ref.path) for ref in references(_substituted(stage))}
    for root, *rest in sorted(used):
        if root == "run" and rest[0] != "id" and getattr(case.run, rest[0]) is None:
            message, hint = f"the stage uses $(run.{rest[0]})", f"add `run: {{{rest[0]}: …}}`"
        elif root == "params" and rest[0] in required - set(case.params):
            message, hint = f"the stage uses $(params.{rest[0]})", f"add `params: {{{rest[0]}: …}}`"
        elif root == "stages" and rest[2] not in case.outputs.get(rest[0], {}):
            message = f"the stage uses $({root}.{'.'.join(rest)})"
            hint = f"add `outputs: {{{rest[0]}: {{{rest[2]}: …}}}}`"
        else:
            continue
        yield document.diagnostic(path, message, hint)


def _check_moment(document: Document, path: Where, moment: Moment) -> Iterator[Diagnostic]:
    for name in ("date", "scheduledAt", "intervalStart", "intervalEnd"):
        text = getattr(moment, name)
        read, example = (dt.date, "2026-01-31") if name == "date" else (dt.datetime, "2026-01-31T06:00:00Z")
        try:
            if text is not None:
                read.fromisoformat(text)
        except ValueError:
            what = "date" if name == "date" else "time"
            yield document.diagnostic((*path, name), f"{text!r} is no {what}", f"write for example {example}")


def _substituted(stage: StageConfig) -> Json:
    """What of a stage is substituted while it runs; paths of files are replaced by the test's own."""
    inputs = [{key: value for key, value in item.items() if key != "file"} for item in stage.inputs]
    return {"block": stage.block, "inputs": inputs}


def _referenced(stage: StageConfig, config: DagConfig) -> list[str]:
    table = config.tables.get(str((stage.output or {}).get("table")), {})
    return [str(check["references"]["table"]) for check in table.get("checks", ()) if "references" in check]
