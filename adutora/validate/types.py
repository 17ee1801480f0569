"""Stage types: what each reads and writes."""

from dataclasses import dataclass
from typing import Final, Literal

from adutora.spec.nearest import did_you_mean
from adutora.spec.pipeline import Stage
from adutora.spec.yamlfile import Where
from adutora.validate.scope import Scope


@dataclass(frozen=True)
class Rule:
    """`inputs`: none, one (table or file), one table, or any number. `output`: may, must or must not be there."""

    inputs: Literal["none", "one", "table", "any"]
    output: Literal["required", "optional", "none"]
    outputs: Literal["declared", "any", "none"] = "none"
    runs: bool = True


RULES: Final[dict[str, Rule]] = {
    "ingest": Rule("none", "required"),
    "sql": Rule("any", "required"),
    "spark": Rule("any", "optional", outputs="any"),
    "clean": Rule("one", "required"),
    "python": Rule("any", "optional", outputs="any"),
    "quality": Rule("table", "none"),
    "publish": Rule("table", "none"),
    "probe": Rule("none", "none"),
    "http": Rule("none", "none", outputs="declared"),
    "train": Rule("table", "none", runs=False),
    "evaluate": Rule("none", "none", runs=False),
    "container": Rule("any", "optional", outputs="any"),
}


def check_types(scope: Scope) -> None:
    """Report inputs and outputs that a stage's type does not have, and types that do not run yet."""
    for path, stage in scope.stages():
        _inputs(scope, path, stage, RULES[stage.type])
        _output(scope, path, stage, RULES[stage.type])
        _runs(scope, path, stage)
        _fan_out(scope, path, stage)
        if stage.evaluate:
            _evaluate(scope, (*path, "evaluate", "model"), stage.evaluate.model)
        if stage.quality:
            for number, check in enumerate(stage.quality.checks):
                if check.onFail == "quarantine":
                    place = (*path, "quality", "checks", number, "onFail")
                    scope.error(place, "`quality` writes nothing, so it cannot quarantine", "write fail or warn")


def _inputs(scope: Scope, path: Where, stage: Stage, rule: Rule) -> None:
    given = "inputs" if stage.inputs else "input"
    if scope.gap((*path, "input")) or scope.gap((*path, "inputs")):
        return
    count = len(stage.all_inputs)
    if rule.inputs == "none" and count:
        scope.error((*path, given), f"`{stage.type}` reads no input", "leave it out", at_key=True)
    if rule.inputs not in ("one", "table"):
        return
    if count == 0:
        scope.error(path, f"`{stage.type}` needs an input", "write for example `input: {table: silver.orders}`")
    elif count > 1:
        hint = "write `input`; join tables in a `sql` stage before"
        scope.error((*path, given), f"`{stage.type}` reads one input, not {count}", hint, at_key=True)
    elif rule.inputs == "table" and stage.all_inputs[0].file is not None:
        hint = "write it to a table first, with `ingest` or `sql`"
        scope.error((*path, given), f"`{stage.type}` reads a table, not a file", hint, at_key=True)


def _output(scope: Scope, path: Where, stage: Stage, rule: Rule) -> None:
    if scope.gap((*path, "output")):
        return
    if rule.output == "required" and stage.output is None:
        scope.error(path, f"`{stage.type}` needs an `output`", "write for example `output: {table: silver.orders}`")
    elif rule.output == "none" and stage.output is not None:
        scope.error((*path, "output"), f"`{stage.type}` writes no table", "leave it out", at_key=True)


def _runs(scope: Scope, path: Where, stage: Stage) -> None:
    """Warn of what the spec knows and `adutora run` does not do yet."""
    what: str | None = None if RULES[stage.type].runs else stage.type
    place = (*path, stage.type)
    if stage.ingest and not stage.ingest.files:
        block = "http" if stage.ingest.http else "database"
        what, place = f"ingest.{block}", (*place, block)
    if what:
        scope.warning(place, f"{what} is not runnable by `adutora run` in this version", at_key=True)


def _fan_out(scope: Scope, path: Where, stage: Stage) -> None:
    if stage.forEach is None:
        return
    if stage.output and stage.output.mode == "overwrite" and not scope.gap((*path, "output", "mode")):
        place = (*path, "output", "mode") if scope.given((*path, "output", "mode")) else (*path, "output")
        message = "with `forEach` each value would overwrite what the others wrote"
        scope.error(place, message, "write `mode: append` or `mode: merge`")
    values = stage.forEach.values
    if isinstance(values, list) and not values:
        scope.warning((*path, "forEach", "values"), "the list is empty: the stage does nothing")
    elif isinstance(values, list) and len(values) > 1000:
        scope.error((*path, "forEach", "values"), f"has {len(values)} values", "write at most 1000")
    elif not isinstance(values, list | str):
        scope.error((*path, "forEach", "values"), "must be a list, or `$(…)` that gives one")


def _evaluate(scope: Scope, path: Where, model: str) -> None:
    models = [block.model for _, block in scope.blocks("train")]
    if model not in models and not scope.checked.damaged:
        hint = did_you_mean(model, models) or "add a `train` stage with this model"
        scope.error(path, f"no stage trains the model `{model}`", hint)
