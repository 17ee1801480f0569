"""Parameters: defaults that are values, and parameters that are used."""

from typing import Any

from adutora.spec import values
from adutora.spec.pipeline import Param
from adutora.spec.template import scan
from adutora.spec.yamlfile import Where
from adutora.validate.engine import Engine
from adutora.validate.scope import Scope


def check_params(scope: Scope) -> None:
    """Report parameters whose own values do not fit them, and those that nothing uses."""
    used = _used(scope)
    for number, param in enumerate(scope.spec.params):
        path = ("spec", "params", number)
        _rules(scope, path, param)
        for index, value in enumerate(param.enum or []):
            wrong = value_error(param.model_copy(update={"enum": None}), value)
            if wrong:
                scope.error((*path, "enum", index), *wrong)
        if param.default is not None and not scope.gap((*path, "type")):
            wrong = value_error(param, param.default)
            if wrong:
                scope.error((*path, "default"), *wrong)
        if param.name not in used and scope.checked.whole:
            scope.warning((*path, "name"), f"nothing uses the parameter `{param.name}`", f"use $(params.{param.name})")


def _rules(scope: Scope, path: Where, param: Param) -> None:
    if param.pattern is not None:
        if param.type != "string":
            message = f"`pattern` is for a string; this is {param.type}"
            scope.error((*path, "pattern"), message, "leave it out", at_key=True)
        else:
            wrong = Engine.shared().regex_error(param.pattern)
            if wrong:
                scope.error((*path, "pattern"), f"is no regular expression (RE2): {wrong}")
    for name in ("min", "max"):
        if getattr(param, name) is not None and param.type not in ("integer", "number"):
            message = f"`{name}` is for a number; this is a {param.type}"
            scope.error((*path, name), message, "leave it out", at_key=True)
    if param.min is not None and param.max is not None and param.min > param.max:
        scope.error((*path, "min"), f"min {param.min} is more than max {param.max}", "exchange them")


def value_error(param: Param, value: Any) -> values.Misfit | None:
    """Say why a value does not fit a parameter, and what would; None if it does."""
    return values.value_error(param.canonical(), value, matches)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches; what is no pattern at all matches everything, and is told elsewhere."""
    engine = Engine.shared()
    return engine.regex_error(pattern) is not None or engine.matches(pattern, text)


def _used(scope: Scope) -> set[str]:
    out: set[str] = set()
    for each in scope.stage_texts:
        for text in each:
            refs = scan(text.text).refs
            out |= {ref.path[0] for ref in refs if ref.root == "params" and ref.path}
    return out
