"""Whether a value fits a parameter's declaration: for the validator, for `-p`, and for a run that Airflow started.

Declarations are plain JSON, as a DagConfig has them. Patterns are RE2, which is linear in the text; who judges one is
told by the caller, for this module is light.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adutora.errors import ConfigError

Matches = Callable[[str, str], bool]  # whether a pattern matches the whole of a text
Misfit = tuple[str, str | None]  # what is wrong, and what would be right
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "date": str,
}


def check_values(declared: Iterable[Mapping[str, Any]], values: Mapping[str, Any], matches: Matches) -> None:
    """Check the values of a run's parameters. Raises ConfigError that names each that is missing or does not fit."""
    problems = []
    for param in declared:
        value = values.get(param["name"])
        wrong = ("has no value", None) if value is None else value_error(param, value, matches)
        if wrong:
            problems.append(f"parameter {param['name']}: {worded(wrong)}")
    if problems:
        raise ConfigError("; ".join(problems), hint="start a new run with values that fit")


def worded(wrong: Misfit) -> str:
    """Say what is wrong, and what would be right."""
    message, hint = wrong
    return f"{message} ({hint})" if hint else message


def value_error(param: Mapping[str, Any], value: Any, matches: Matches) -> Misfit | None:
    """Say why a value does not fit a parameter, and what would; None if it does."""
    kind = param.get("type", "string")
    fits: Any = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        article = "an" if kind == "integer" else "a"
        return f"{shown(value)} is no {kind}", f"the parameter `{param['name']}` is {article} {kind}"
    if kind == "date" and not _is_date(value):
        return f"{shown(value)} is no date", 'write for example "2026-01-31"'
    allowed, pattern = param.get("enum"), param.get("pattern")
    if allowed is not None and not any(value == each and type(value) is type(each) for each in allowed):
        return f"{shown(value)} is none of the values of `enum`", f"one of {', '.join(map(shown, allowed[:10]))}"
    if pattern is not None and kind == "string" and not matches(pattern, value):
        return f"{shown(value)} does not match the pattern {pattern}", "the whole text must match"
    return _out_of_bounds(param, value) if kind in ("integer", "number") else None


def _out_of_bounds(param: Mapping[str, Any], value: float) -> Misfit | None:
    least, most = param.get("min"), param.get("max")
    if least is not None and value < least:
        return f"{value} is less than min {least}", None
    if most is not None and value > most:
        return f"{value} is more than max {most}", None
    return None


def _is_date(text: str) -> bool:
    try:
        return len(text) == 10 and dt.date.fromisoformat(text) is not None
    except ValueError:
        return False


def shown(value: Any, written: str | None = None) -> str:
    """A value as the user may know it again: short, and with its type in words; a number as it is `written`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a map of fields"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else written or json.dumps(value)
    text = text if len(text) <= 60 else text[:57] + "…"
    return text if isinstance(value, str) else f"the number {text}"
