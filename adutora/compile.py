"""Pipeline + Project -> DagConfig. Pure: no file, no clock, no network; the same meaning gives the same bytes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from adutora.dagconfig import DagConfig, Json, StageConfig, canonical_json
from adutora.errors import ConfigError
from adutora.spec.base import BUILTIN, Check, Defaults, Resources
from adutora.spec.pipeline import Pipeline, Stage
from adutora.spec.project import EMBEDDED_ONLINE, Project
from adutora.spec.scalars import Cpu, Memory
from adutora.spec.template import Ref, TemplateError, parse

LAYERED = ("retries", "retryDelay", "timeout", "profile")


@dataclass
class Origins:
    """Where each effective value comes from: dotted path in the DagConfig -> words."""

    of: dict[str, str] = field(default_factory=dict)

    def note(self, path: str, origin: str) -> None:
        """Remember the origin of a value."""
        self.of[path] = origin


def compile_pipeline(pipeline: Pipeline, project: Project, origins: Origins | None = None) -> DagConfig:
    """Compile a validated pipeline. Raises ConfigError for a cycle, which validation reports with its place."""
    origins = origins or Origins()
    spec = pipeline.spec
    layers = [("Pipeline defaults", spec.defaults), ("Project defaults", project.spec.defaults), ("built-in", BUILTIN)]
    edges = {stage.name: stage_edges(stage, pipeline) for stage in spec.stages}
    ordered = _order(edges)
    stages = {stage.name: stage for stage in spec.stages}
    timezone, origin = _layered("timezone", None, layers)
    origins.note("timezone", origin)
    return DagConfig(
        name=pipeline.metadata.name,
        namespace=pipeline.metadata.namespace or "default",
        description=_prose(spec.description),
        owner=_prose(spec.owner),
        tags=tuple(sorted({_prose(tag) for tag in spec.tags})),
        suspend=spec.suspend,
        concurrency=spec.concurrency,
        timeout=None if spec.timeout is None else int(spec.timeout),
        timezone=timezone,
        triggers=tuple(sorted((trigger.canonical() for trigger in spec.triggers), key=canonical_json)),
        params=tuple(_worded(param.canonical()) for param in spec.params),
        notify=tuple(notify.canonical() for notify in [*project.spec.notify, *spec.notify]),
        tables={table.name: _worded(table.canonical()) for table in spec.tables},
        lake=_lake(project),
        files_root=project.spec.filesRoot,
        connections=_connections(pipeline, project),
        profiles=_profiles(pipeline, project, layers),
        stages=tuple(_stage(stages[name], edges[name], layers, origins, project) for name in ordered),
    )


def _prose(text: Any) -> Any:
    """Return a text for people as it is meant: `$$(` is how a file writes `$(`, and nothing is substituted there."""
    return text.replace("$$(", "$(") if isinstance(text, str) else text


def _worded(value: Any) -> Any:
    """Return a JSON value whose descriptions, titles and owners are as they are meant."""
    if isinstance(value, dict):
        return {k: _prose(v) if k in ("description", "title", "owner") else _worded(v) for k, v in value.items()}
    return [_worded(item) for item in value] if isinstance(value, list) else value


def _order(edges: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Topological order, names breaking ties, so that the order in the file does not matter."""
    sorter = TopologicalSorter({name: sorted(edges[name]) for name in sorted(edges)})
    order: list[str] = []
    try:
        sorter.prepare()
    except CycleError as error:
        raise ConfigError(f"stages wait for one another: {' -> '.join(error.args[1])}") from error
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(ready)
        sorter.done(*ready)
    return order


def stage_edges(stage: Stage, pipeline: Pipeline) -> dict[str, str]:
    """Return what a stage waits for: name of the other stage -> the reason in words."""
    writers = {other.output.table: other.name for other in pipeline.spec.stages if other.output}
    models = {other.train.model: other.name for other in pipeline.spec.stages if other.train}
    edges: dict[str, str] = {}

    def add(other: str | None, reason: str) -> None:
        if other is not None and other != stage.name:
            edges.setdefault(other, reason)

    for name in stage.dependsOn or []:
        add(name, "dependsOn")
    for item in stage.all_inputs:
        if item.table:
            add(writers.get(item.table), f"input {item.table}")
    for check in _checks(stage, pipeline):
        if check.references:
            add(writers.get(check.references.table), f"references {check.references.table}")
    if stage.evaluate:
        add(models.get(stage.evaluate.model), f"model {stage.evaluate.model}")
    for ref in references(stage.canonical()):
        if ref.root == "stages":
            add(ref.path[0], f"output {'.'.join(ref.path[2:])}")
    return edges


def references(value: object) -> Iterable[Ref]:
    """Yield the `$(…)` references in every text of a JSON value; what does not parse is validation's business."""
    if isinstance(value, str):
        try:
            yield from parse(value).refs
        except TemplateError:
            return
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from references(item)


def _checks(stage: Stage, pipeline: Pipeline) -> Iterable[Check]:
    if stage.quality:
        yield from stage.quality.checks
    if stage.output:
        for table in pipeline.spec.tables:
            if table.name == stage.output.table:
                yield from table.checks


def _layered(name: str, own: object, layers: list[tuple[str, Defaults | None]]) -> tuple[Any, str]:
    if own is not None:
        return own, "stage"
    for origin, layer in layers:
        if layer is not None and getattr(layer, name) is not None:
            return getattr(layer, name), origin
    return None, "not set"


def _resources(stage: Stage, layers: list[tuple[str, Defaults | None]], note: Callable[[str, str], None]) -> Json:
    """Merge the layers' resources field by field: CPU in thousandths of a core, the rest in bytes."""
    sources: list[tuple[str, Resources | None]] = [
        ("stage", stage.resources),
        *((origin, layer.resources if layer else None) for origin, layer in layers),
    ]
    merged: Json = {}
    for name in ("cpu", "memory", "maxMemory", "scratch"):
        for origin, resources in sources:
            value: Cpu | Memory | None = getattr(resources, name) if resources else None
            if value is not None:
                merged[name] = int(value)
                note(f"resources.{name}", origin)
                break
    return merged


def _stage(
    stage: Stage,
    edges: Mapping[str, str],
    layers: list[tuple[str, Defaults | None]],
    origins: Origins,
    project: Project,
) -> StageConfig:
    def note(path: str, origin: str) -> None:
        origins.note(f"stages.{stage.name}.{path}", origin)

    values = {}
    for name in LAYERED:
        values[name], origin = _layered(name, getattr(stage, name), layers)
        note({"retryDelay": "retryDelaySeconds", "timeout": "timeoutSeconds"}.get(name, name), origin)
    for other, reason in edges.items():
        note(f"dependsOn.{other}", reason)
    return StageConfig(
        name=stage.name,
        type=stage.type,
        block=stage.block.canonical(),
        description=_prose(stage.description),
        depends_on=tuple(sorted(edges)),
        when=stage.when.strip() if isinstance(stage.when, str) else stage.when,
        run_if=stage.runIf,
        cache=stage.cache,
        retries=values["retries"],
        retry_delay=int(values["retryDelay"]),
        timeout=int(values["timeout"]),
        profile=values["profile"],
        resources=_resources(stage, layers, note),
        for_each=stage.forEach.canonical() if stage.forEach else None,
        inputs=tuple(sorted((item.canonical() for item in stage.all_inputs), key=canonical_json)),
        output=stage.output.canonical() if stage.output else None,
        connections=_stage_connections(stage, project),
    )


def _lake(project: Project) -> Json:
    lake = project.spec.lake
    return {
        "root": lake.root,
        "connection": lake.connection,
        "layers": {layer.name: layer.root for layer in lake.layers},
    }


def _stage_connections(stage: Stage, project: Project) -> tuple[str, ...]:
    """Return the connections that a stage uses: those that it names, the online store, and the lake's."""
    used = set(_named_connections(stage.canonical()))
    if stage.publish:
        used.add(stage.publish.connection)
    if project.spec.lake.connection:
        used.add(project.spec.lake.connection)
    return tuple(sorted(used))


def _connections(pipeline: Pipeline, project: Project) -> dict[str, Json]:
    """Return the connections that this pipeline names; `online` is always there."""
    declared = {connection.name: connection for connection in project.spec.connections}
    declared.setdefault(EMBEDDED_ONLINE.name, EMBEDDED_ONLINE)
    used = set(_named_connections(pipeline.canonical()))
    used.update(notify.connection for notify in project.spec.notify)
    for stage in pipeline.spec.stages:
        used.update(_stage_connections(stage, project))
    return {name: declared[name].canonical() for name in sorted(used) if name in declared}


def _named_connections(value: object) -> Iterable[str]:
    """Yield what stands in fields named `connection` or `connections`."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "connection" and isinstance(item, str):
                yield item
            elif key == "connections" and isinstance(item, list):
                yield from (name for name in item if isinstance(name, str))
            else:
                yield from _named_connections(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named_connections(item)


def _profiles(pipeline: Pipeline, project: Project, layers: list[tuple[str, Defaults | None]]) -> dict[str, Json]:
    used = {stage.profile for stage in pipeline.spec.stages} | {layer.profile for _, layer in layers if layer}
    return {profile.name: profile.canonical() for profile in project.spec.profiles if profile.name in used}
