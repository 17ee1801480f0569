"""`$(…)`: it leads somewhere, and stands where it may."""

from typing import Final

from adutora.spec.nearest import did_you_mean
from adutora.spec.pipeline import Stage
from adutora.spec.template import RUN_VALUES, TRIGGER_VALUES, Ref, TemplateError, misfit, parse_when, scan
from adutora.spec.yamlfile import Where
from adutora.validate.fields import Text
from adutora.validate.scope import STAGES, Report, Scope
from adutora.validate.types import RULES

# For people, and shown to them as written.
_PROSE: Final = frozenset({"description", "title", "owner", "runbook"})
# Passed on as written; `$(` means something else there.
_VERBATIM: Final = frozenset({"command", "args", "regex", "pattern"})
_SQL: Final = frozenset({"sql", "where", "deleteWhere"})


def check_references(scope: Scope) -> None:
    """Report `$(…)` that cannot be read, leads nowhere, or may not stand where it does."""
    for text in scope.texts:
        if "$(" not in text.text:
            continue
        if text.substituted:
            _substituted(scope, text, scope.spec.stages[int(text.path[2])])
        else:
            refuse(scope, text)
    for index, stage in enumerate(scope.spec.stages):
        path = (*STAGES, index)
        _lists(scope, path, stage)
        if isinstance(stage.when, str):
            _when(scope, (*path, "when"), stage)


def _substituted(scope: Scope, text: Text, stage: Stage) -> None:
    """Report what cannot be read or leads nowhere, in a text of a stage: fields are substituted nowhere else."""
    found = scan(text.text)
    for error in found.errors:
        scope.error(text.path, error.message, error.hint, offset=error.offset)
    for ref in found.refs:
        _leads(scope, text, ref, stage)


def refuse(report: Report, text: Text) -> None:
    """Report each `$(…)` in a text that is not substituted."""
    field = next(step for step in reversed(text.path) if isinstance(step, str))
    verbatim = field in _VERBATIM
    for part in scan(text.text).parts:
        if isinstance(part, str) or (verbatim and (isinstance(part, TemplateError) or misfit(part) is not None)):
            continue
        shown = part if isinstance(part, Ref) else text.text[part.start : min(part.end, part.start + 40)]
        report.error(text.path, f"{shown} may not stand here", _hint(text.path, field), offset=part.start)


def _hint(path: Where, field: str) -> str:
    if field in _PROSE:
        return f"nothing is put into a {field}; write $$( for a literal $("
    if field in _SQL:
        return "only the `query` of a stage binds values"
    return "values come in by `env`" if "container" in path else "write the value itself"


Wrong = tuple[str, str | None] | None


def _leads(scope: Scope, text: Text, ref: Ref, stage: Stage) -> None:
    """Report a reference that leads nowhere."""
    wrong: Wrong = misfit(ref)
    if wrong is None:
        wrong = {
            "params": _param,
            "run": _run,
            "trigger": _trigger,
            "stages": _output,
            "item": _item,
        }[ref.root](scope, ref, stage, text.path)
    if wrong:
        scope.error(text.path, *wrong, offset=ref.start)


def _param(scope: Scope, ref: Ref, stage: Stage, path: Where) -> Wrong:
    if ref.path[0] in scope.param_names or (scope.gap(("spec", "params")) and not scope.param_names):
        return None
    hint = did_you_mean(ref.path[0], scope.param_names) or f"add it to `params`: {{name: {ref.path[0]}}}"
    return f"there is no parameter `{ref.path[0]}`", hint


def _run(scope: Scope, ref: Ref, stage: Stage, path: Where) -> Wrong:
    if ref.path[0] in RUN_VALUES:
        return None
    return f"a run has no `{ref.path[0]}`", did_you_mean(ref.path[0], RUN_VALUES)


def _trigger(scope: Scope, ref: Ref, stage: Stage, path: Where) -> Wrong:
    if ref.path[0] in TRIGGER_VALUES:
        return None
    return f"a trigger has no `{ref.path[0]}`", did_you_mean(ref.path[0], TRIGGER_VALUES)


def _item(scope: Scope, ref: Ref, stage: Stage, path: Where) -> Wrong:
    if stage.forEach is None:
        return "$(item) has a value only in a stage with `forEach`", "add `forEach`, or name another value"
    if path[3:4] in (("forEach",), ("when",)):
        return f"$(item) has no value in `{path[3]}`", "it is one of the values, inside the stage's own block"
    return None


def _output(scope: Scope, ref: Ref, stage: Stage, path: Where) -> Wrong:
    name, key = ref.path[0], ref.path[2]
    if name not in scope.stage_names:
        others = [each for each in scope.stage_names if each != stage.name]
        return f"there is no stage `{name}`", did_you_mean(name, others)
    for place, other in scope.stages():
        if other.name != name:
            continue
        rule = RULES[other.type]
        if rule.outputs == "none":
            return (
                f"the stage `{name}` gives no outputs: it is `{other.type}`",
                "http, python and container give outputs",
            )
        if other.type == "python" and other.output is not None:
            return (
                f"the stage `{name}` gives no outputs: its function returns the rows of {other.output.table}",
                "a function gives outputs, a dict of small values, in a stage without `output`",
            )
        declared = list((other.http.outputs or {}) if other.http else {})
        if rule.outputs == "declared" and key not in declared and not scope.gap((*place, "http", "outputs")):
            hint = did_you_mean(key, declared) or f"add it there: `outputs: {{{key}: $.{key}}}`"
            return f"the stage `{name}` has no output `{key}`", hint
    return None


def _lists(scope: Scope, path: Where, stage: Stage) -> None:
    """Report `forEach.values` of which it is clear that it gives no list."""
    if stage.forEach is None or not isinstance(stage.forEach.values, str):
        return
    place = (*path, "forEach", "values")
    parts = scan(stage.forEach.values).parts
    lone = parts[0] if len(parts) == 1 else None
    if isinstance(lone, TemplateError):
        return
    if not isinstance(lone, Ref):
        scope.error(place, "is text, not a list", "write [a, b], or one $(…) that gives a list")
    elif lone.root in ("params", "run", "trigger"):
        scope.error(place, f"{lone} is one value, not a list", "name an output of a stage: $(stages.name.outputs.key)")


def _when(scope: Scope, path: Where, stage: Stage) -> None:
    """Report a condition that is none, or whose value is no truth."""
    try:
        when = parse_when(str(stage.when))
    except TemplateError as error:
        if error.message.startswith("is no condition"):
            scope.error(path, error.message, error.hint, offset=error.offset)
        return
    types = {param.name: param.type for param in scope.spec.params}
    if when.op is None:
        name = when.ref.path[0] if when.ref.path else ""
        kind = types.get(name, "boolean") if when.ref.root == "params" else "string"
        if kind != "boolean" and when.ref.root in ("params", "run", "trigger"):
            scope.error(path, f"{when.ref} is a {kind}, neither true nor false", f"compare it: {when.ref} == 'value'")
