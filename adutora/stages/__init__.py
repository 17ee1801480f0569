"""One room per stage type: `spec.py` is what a user writes, `run.py` what it does. `TABLE` lists them."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from adutora.spec.base import Spec


class StageType(NamedTuple):
    """Where a type's model and runner are: `module:name`, imported when needed."""

    spec: str
    run: str | None  # None: known to the spec, not runnable in this version


TABLE: Final[dict[str, StageType]] = {
    "ingest": StageType("adutora.stages.ingest.spec:Ingest", "adutora.stages.ingest.run:run"),
    "sql": StageType("adutora.stages.sql.spec:Sql", "adutora.stages.sql.run:run"),
    "spark": StageType("adutora.stages.spark.spec:Spark", "adutora.stages.spark.run:run"),
    "clean": StageType("adutora.stages.clean.spec:Clean", "adutora.stages.clean.run:run"),
    "python": StageType("adutora.stages.python.spec:Python", "adutora.stages.python.run:run"),
    "quality": StageType("adutora.stages.quality.spec:Quality", "adutora.stages.quality.run:run"),
    "publish": StageType("adutora.stages.publish.spec:Publish", "adutora.stages.publish.run:run"),
    "probe": StageType("adutora.stages.probe.spec:Probe", "adutora.stages.probe.run:run"),
    "http": StageType("adutora.stages.http.spec:Http", "adutora.stages.http.run:run"),
    "train": StageType("adutora.stages.train.spec:Train", None),
    "evaluate": StageType("adutora.stages.evaluate.spec:Evaluate", None),
    "container": StageType("adutora.stages.container.spec:Container", "adutora.stages.container.run:run"),
}


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def spec_model(stage_type: str) -> "type[Spec]":
    """Return the model of a type's block."""
    model: type[Spec] = _load(TABLE[stage_type].spec)
    return model


def runner(stage_type: str) -> Callable[[Any, Any], None]:
    """Return the function that runs a type: `run(spec, ctx)`."""
    target = TABLE[stage_type].run
    if target is None:
        raise LookupError(stage_type)
    run: Callable[[Any, Any], None] = _load(target)
    return run


def why_not_runnable(stage_type: str, block: dict[str, Any]) -> str | None:
    """Say which part of a block this version cannot run, or None where it can."""
    if TABLE[stage_type].run is None:
        return stage_type
    if stage_type == "ingest" and "files" not in block:
        return f"ingest.{next(iter(block), '')}"
    return None
