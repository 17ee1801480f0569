"""Where each value of a DagConfig comes from: a line of a file, a layer of defaults, or the spec itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adutora.compile import Origins, compile_pipeline
from adutora.dagconfig import DagConfig, Json, canonical_json
from adutora.spec.base import Spec
from adutora.spec.yamlfile import Document, Where, load
from adutora.validate import LoadedPipeline

SECONDS = {"retryDelaySeconds": "retryDelay", "timeoutSeconds": "timeout"}
DEFAULT, NOT_SET, BUILT_IN = "default of the spec", "not set", "built-in"
_SPEC: Where = ("spec",)
_PIPELINE, _PROJECT = "Pipeline defaults", "Project defaults"


@dataclass(frozen=True)
class Effective:
    """A value that holds: its path in the DagConfig, with list items by name, and in words where it comes from."""

    path: str
    value: object
    origin: str


def explain(loaded: LoadedPipeline) -> list[Effective]:
    """Compile a pipeline and return every effective value with its origin, in order of the paths."""
    origins = Origins()
    config = compile_pipeline(loaded.pipeline, loaded.project, origins)
    return _Explainer(loaded, config, origins).run()


def project_document(loaded: LoadedPipeline) -> Document | None:
    """Return the document of the pipeline's Project with its positions; None for the embedded one."""
    if loaded.project_path is None:
        return None
    documents = [each for each in load(loaded.project_path).documents if _is_project(each.value)]
    named = [each for each in documents if each.value.get("metadata", {}).get("name") == loaded.project.metadata.name]
    return next(iter(named or documents), None)


def _is_project(value: Any) -> bool:
    return isinstance(value, dict) and value.get("kind") == "Project"


@dataclass(frozen=True)
class _Source:
    """A part of a file: `where` in `document`, and what to say of it before the place."""

    document: Document | None
    where: Where
    words: str = ""

    def __truediv__(self, step: str | int) -> "_Source":
        return _Source(self.document, (*self.where, step), self.words)

    def place(self) -> str | None:
        """`file:line`, None where nothing is written."""
        found = self.document.places.get(self.where) if self.document else None
        if self.document is None or found is None:
            return None
        line = found.line if found.key_line is None else found.key_line
        return f"{self.words} {self.document.file}:{line + 1}".strip()


class _Explainer:
    def __init__(self, loaded: LoadedPipeline, config: DagConfig, origins: Origins) -> None:
        self.loaded, self.config, self.origins = loaded, config, origins
        self.spec = loaded.pipeline.spec
        self.file = _Source(loaded.source, _SPEC)
        self.project = _Source(project_document(loaded), _SPEC, "Project")
        self.out: list[Effective] = []

    def run(self) -> list[Effective]:
        """Go through the DagConfig part by part."""
        body = self.config.body()
        for name in ("format", "name", "namespace", "timezone"):
            self.add(name, body[name], self._head(name))
        for name in ("description", "owner", "tags", "suspend", "concurrency", "timeoutSeconds"):
            self.leaf(name, body[name], self.file / SECONDS.get(name, name))
        for path, value, source in self._parts(body):
            self.walk(path, value, source)
        for name in ("triggers", "params", "notify", "tables", "connections", "profiles"):
            self._empty(name, body[name])
        self._empty("lake.layers", body["lake"]["layers"])
        for stage in body["stages"]:
            self._stage(stage)
        return sorted(self.out, key=lambda each: each.path)

    def _head(self, name: str) -> str:
        if name == "format":
            return "this version of adutora"
        if name == "timezone":
            return self._layer("timezone", self.origins.of["timezone"], ("timezone",))
        return _Source(self.loaded.source, ("metadata", name)).place() or DEFAULT

    def _parts(self, body: Json) -> Iterator[tuple[str, Any, _Source]]:
        """Yield the parts beside stages, with where they are written."""
        project, spec = self.loaded.project.spec, self.spec
        triggers = spec.triggers
        for label, value in enumerate(body["triggers"]):
            yield f"triggers.{label}", value, self.file / "triggers" / _index(value, triggers)
        for index, value in enumerate(body["params"]):
            yield f"params.{value['name']}", value, self.file / "params" / index
        for index, value in enumerate(body["notify"]):
            theirs = index < len(project.notify)
            source = self.project / "notify" / index if theirs else self.file / "notify" / (index - len(project.notify))
            yield f"notify.{index}", value, source
        for index, table in enumerate(spec.tables):
            yield f"tables.{table.name}", body["tables"][table.name], self.file / "tables" / index
        for field in ("connections", "profiles"):
            positions = {each.name: index for index, each in enumerate(getattr(project, field))}
            for name, value in body[field].items():
                source = self.project / field / positions[name] if name in positions else _Source(None, ())
                yield f"{field}.{name}", value, source
        for name in ("root", "connection"):
            yield f"lake.{name}", body["lake"][name], self.project / "lake" / name
        yield "filesRoot", body["filesRoot"], self.project / "filesRoot"
        roots = {layer.name: index for index, layer in enumerate(project.lake.layers)}
        for name, value in body["lake"]["layers"].items():
            yield f"lake.layers.{name}", value, self.project / "lake" / "layers" / roots[name] / "root"

    # Stages

    def _stage(self, stage: Json) -> None:
        position = next(index for index, each in enumerate(self.spec.stages) if each.name == stage["name"])
        model, source, path = self.spec.stages[position], self.file / "stages" / position, f"stages.{stage['name']}"
        kind = str(stage["type"])
        self.leaf(f"{path}.type", kind, source / kind)
        self.walk(f"{path}.block", stage["block"], source / kind)
        for name in ("name", "description", "when", "runIf", "cache"):
            self.leaf(f"{path}.{name}", stage[name], source / name)
        for name in ("forEach", "output"):
            self.walk(f"{path}.{name}", stage[name], source / name)
        for index, item in enumerate(stage["inputs"]):
            label = item.get("table") or item.get("name") or str(index)
            written = source / "input" if model.input else source / "inputs" / _index(item, model.inputs or [])
            self.walk(f"{path}.inputs.{label}", item, written)
        self._empty(f"{path}.inputs", stage["inputs"])
        self._edges(path, stage, source)
        self.add(f"{path}.connections", stage["connections"], "named by the stage, and the lake's own")
        for name in ("retries", "retryDelaySeconds", "timeoutSeconds", "profile"):
            self._layered(f"{path}.{name}", stage[name], (SECONDS.get(name, name),), source)
        for name, value in stage["resources"].items():
            self._layered(f"{path}.resources.{name}", value, ("resources", name), source)

    def _edges(self, path: str, stage: Json, source: _Source) -> None:
        for other in stage["dependsOn"]:
            reason = self.origins.of[f"{path}.dependsOn.{other}"]
            if reason == "dependsOn":
                reason = self._written(source, ("dependsOn",), reason)
            self.add(f"{path}.dependsOn.{other}", other, reason)
        if not stage["dependsOn"]:
            self.add(f"{path}.dependsOn", [], "no input, reference, model or output names another stage")

    def _layered(self, path: str, value: object, field: tuple[str, ...], stage: _Source) -> None:
        origin = self.origins.of.get(path, NOT_SET)
        if origin == "stage":
            self.add(path, value, self._written(stage, field, "stage"))
        else:
            self.add(path, value, self._layer(field[0], origin, field))

    def _layer(self, name: str, origin: str, field: tuple[str, ...]) -> str:
        source = {_PIPELINE: self.file, _PROJECT: self.project}.get(origin)
        return origin if source is None else self._written(source / "defaults", field, origin)

    def _written(self, source: _Source, field: tuple[str, ...], words: str) -> str:
        where = _Source(source.document, (*source.where, *field), words)
        return where.place() or words

    # Values

    def walk(self, path: str, value: object, source: _Source) -> None:
        """Add a value and all below it; a list of plain values is one value."""
        if isinstance(value, dict) and value:
            for key in sorted(value):
                self.walk(f"{path}.{key}", value[key], source / key)
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            for index, item in enumerate(value):
                self.walk(f"{path}.{_label(item, index)}", item, source / index)
        else:
            self.leaf(path, value, source)

    def _empty(self, path: str, value: object) -> None:
        if value in ([], {}):
            self.add(path, value, NOT_SET)

    def leaf(self, path: str, value: object, source: _Source) -> None:
        """Add one value by its place in a file."""
        self.add(path, value, source.place() or (NOT_SET if value in (None, [], {}) else DEFAULT))

    def add(self, path: str, value: object, origin: str) -> None:
        """Add one value."""
        self.out.append(Effective(path, value, origin))


def _index(value: Mapping[str, Any], models: Sequence[Spec]) -> int:
    """Position in the file of an item that stands in another order in the DagConfig."""
    text = canonical_json(value)
    return next(index for index, model in enumerate(models) if canonical_json(model.canonical()) == text)


def _label(item: object, index: int) -> str:
    """Name of a list item in a path."""
    if isinstance(item, dict):
        for key in ("name", "table"):
            if isinstance(item.get(key), str):
                return str(item[key])
    return str(index)


__all__ = ["Effective", "explain", "project_document"]
