"""Parameters: defaults that are values, and parameters that are used."""

import datetime as dt
from typing import Any

from adutora.spec.pipeline import Param
from adutora.spec.template import scan
from adutora.spec.yamlfile import Where
from adutora.validate.engine import Engine
from adutora.validate.fields import texts
from adutora.validate.scope import STAGES, Scope
from adutora.validate.wording import shown

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "date": str,
}


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


def value_error(param: Param, value: Any) -> tuple[str, str | None] | None:
    """Say why a value does not fit a parameter, and what would; None if it does."""
    fits: Any = isinstance(value, _TYPES[param.type]) and (param.type == "boolean" or not isinstance(value, bool))
    if not fits:
        article = "an" if param.type == "integer" else "a"
        return f"{shown(value)} is no {param.type}", f"the parameter `{param.name}` is {article} {param.type}"
    if param.type == "date" and not _is_date(value):
        return f"{shown(value)} is no date", 'write for example "2026-01-31"'
    if param.enum is not None and not any(value == each and type(value) is type(each) for each in param.enum):
        return f"{shown(value)} is none of the values of `enum`", f"one of {', '.join(map(shown, param.enum[:10]))}"
    if param.pattern is not None and param.type == "string" and not _matches(param.pattern, value):
        return f"{shown(value)} does not match the pattern {param.pattern}", "the whole text must match"
    return _out_of_bounds(param, value) if param.type in ("integer", "number") else None


def _out_of_bounds(param: Param, value: float) -> tuple[str, str | None] | None:
    if param.min is not None and value < param.min:
        return f"{value} is less than min {param.min}", None
    if param.max is not None and value > param.max:
        return f"{value} is more than max {param.max}", None
    return None


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and dt.date.fromisoformat(text) is not None
    except ValueError:
        return False


def _matches(pattern: str, text: str) -> bool:
    engine = Engine.shared()
    return engine.regex_error(pattern) is not None or engine.matches(pattern, text)


def _used(scope: Scope) -> set[str]:
    out: set[str] = set()
    for index, stage in enumerate(scope.spec.stages):
        for text in texts(stage, (*STAGES, index)):
            refs = scan(text.text).refs
            out |= {ref.path[0] for ref in refs if ref.root == "params" and ref.path}
    return out
