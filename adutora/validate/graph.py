"""The graph of stages: who waits for whom and why, and cycles in it."""

from collections.abc import Iterable
from dataclasses import dataclass

from adutora.spec.nearest import did_you_mean
from adutora.spec.pipeline import Stage
from adutora.spec.template import scan
from adutora.spec.yamlfile import Where
from adutora.validate.fields import Text
from adutora.validate.scope import STAGES, Scope

MAX_CYCLES = 20


@dataclass(frozen=True)
class Edge:
    """`stage` waits for `upstream`; `path` is where the file says so."""

    upstream: str
    stage: str
    reason: str
    path: Where


def edges(scope: Scope) -> list[Edge]:
    """Edges from declared inputs, references, models, outputs and `dependsOn`, in the file's order."""
    writers = {stage.output.table: stage.name for stage in scope.spec.stages if stage.output}
    models = {stage.train.model: stage.name for stage in scope.spec.stages if stage.train}
    out: list[Edge] = []
    for index, stage in enumerate(scope.spec.stages):
        path = (*STAGES, index)
        for number, name in enumerate(stage.dependsOn or []):
            out.append(Edge(name, stage.name, "dependsOn", (*path, "dependsOn", number)))
        places = [(*path, "input")] if stage.input else [(*path, "inputs", n) for n in range(len(stage.inputs or []))]
        for place, item in zip(places, stage.all_inputs, strict=True):
            if item.table in writers and not item.external:
                out.append(Edge(writers[item.table], stage.name, f"reads {item.table}", (*place, "table")))
        if stage.evaluate and stage.evaluate.model in models:
            model = stage.evaluate.model
            out.append(Edge(models[model], stage.name, f"model {model}", (*path, "evaluate", "model")))
        out += _output_edges(stage, scope.stage_texts[index])
    return out + _reference_edges(scope, writers)


def _output_edges(stage: Stage, texts: Iterable[Text]) -> list[Edge]:
    out = []
    for text in texts:
        for ref in scan(text.text).refs if text.substituted else ():
            if ref.root == "stages" and ref.path:
                out.append(Edge(ref.path[0], stage.name, f"uses {ref}", text.path))
    return out


def _reference_edges(scope: Scope, writers: dict[str, str]) -> list[Edge]:
    """Edges from `references` of checks: the other table must stand first. A table may refer to itself."""
    out = []
    for path, check, table in scope.checks():
        if check.references is None or check.references.table not in writers:
            continue
        quality = path[1] == "stages"
        stage = scope.spec.stages[int(path[2])].name if quality else writers.get(table or "")
        upstream = writers[check.references.table]
        if stage is not None and stage != upstream:
            reason = f"checks against {check.references.table}"
            out.append(Edge(upstream, stage, reason, (*path, "references", "table")))
    return out


def check_graph(scope: Scope) -> None:
    """Report stages that are not there, and cycles."""
    names = scope.stage_names
    for index, stage in enumerate(scope.spec.stages):
        for number, name in enumerate(stage.dependsOn or []):
            path = (*STAGES, index, "dependsOn", number)
            if name not in names:
                hint = did_you_mean(name, [each for each in names if each != stage.name])
                scope.error(path, f"there is no stage `{name}`", hint)
    for number, trigger in enumerate(scope.spec.triggers):
        if trigger.files and trigger.files.stage not in names:
            hint = did_you_mean(trigger.files.stage, names)
            path = ("spec", "triggers", number, "files", "stage")
            scope.error(path, f"there is no stage `{trigger.files.stage}`", hint)
    found = edges(scope)
    _cycles(scope, found)
    _never_run(scope, found)


def _cycles(scope: Scope, found: Iterable[Edge]) -> None:
    """Report each cycle once, at the edge that closes it."""
    following: dict[str, dict[str, None]] = {}
    for edge in found:
        following.setdefault(edge.upstream, {})[edge.stage] = None
    reached = {name: set(_search(name, following)) for name in following}
    told: set[frozenset[str]] = set()
    for edge in found:
        if edge.upstream not in reached.get(edge.stage, ()) or len(told) >= MAX_CYCLES:
            continue
        way = _way(edge.stage, edge.upstream, following)
        if frozenset(way) in told:
            continue
        told.add(frozenset(way))
        if len(way) == 1:
            scope.error(edge.path, f"the stage `{edge.stage}` waits for itself: it {_verb(edge)}", "break the circle")
            continue
        circle = " -> ".join([*way, way[0]])
        scope.error(edge.path, f"stages wait for one another: {circle}", f"here `{edge.stage}` {_verb(edge)}")


def _verb(edge: Edge) -> str:
    return f"names `{edge.upstream}` in dependsOn" if edge.reason == "dependsOn" else edge.reason


def _search(start: str, following: dict[str, dict[str, None]]) -> dict[str, str | None]:
    """Every stage that can be reached from `start`, nearest first, with the stage before it on a shortest way."""
    before: dict[str, str | None] = {start: None}
    queue = [start]
    for name in queue:
        for after in following.get(name, ()):
            if after not in before:
                before[after] = name
                queue.append(after)
    return before


def _way(start: str, end: str, following: dict[str, dict[str, None]]) -> list[str]:
    """Return the shortest way of stages from `start` down to `end`, which can be reached."""
    before = _search(start, following)
    way: list[str] = []
    step: str | None = end
    while step is not None:
        way.append(step)
        step = before[step]
    return way[::-1]


def _never_run(scope: Scope, found: Iterable[Edge]) -> None:
    """Report `runIf` where there is nothing to wait for."""
    waiting = {edge.stage for edge in found}
    for path, stage in scope.stages():
        if stage.runIf == "failed" and stage.name not in waiting and not scope.gap((*path, "dependsOn")):
            hint = "say in `dependsOn` of which stages"
            scope.error((*path, "runIf"), "depends on no stage, so that none can fail", hint)
