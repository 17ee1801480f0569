"""Parameters of a run: from `-p name=value` and defaults to values of their types."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from adutora.dagconfig import Json
from adutora.errors import ConfigError
from adutora.runtime.params import matches
from adutora.spec.nearest import did_you_mean
from adutora.spec.values import check_values, value_error, worded

_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})


def parse_params(declared: Iterable[Json], given: Iterable[str]) -> tuple[Json, list[str]]:
    """Return the values of all parameters, and the names of those that were given.

    `given` holds texts `name=value`. Raises ConfigError that names every value that does not fit.
    """
    known = {param["name"]: param for param in declared}
    texts: dict[str, str] = {}
    problems: list[str] = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            problems.append(f"-p {text!r} is not name=value")
        elif name not in known:
            hint = did_you_mean(name, known)
            problems.append(f"there is no parameter {name!r}" + (f"; {hint}" if hint else ""))
        else:
            texts[name] = value
    values: Json = {}
    for name, param in known.items():
        try:
            values[name] = _value(param, texts.get(name))
        except ValueError as error:
            problems.append(f"parameter {name}: {error}")
    if problems:
        raise ConfigError("; ".join(problems))
    return values, sorted(texts)


def check_params(declared: Iterable[Json], values: Mapping[str, Any]) -> None:
    """Check that values of an older run still fit the declarations. Raises ConfigError."""
    known = {param["name"]: param for param in declared}
    if missing := sorted(set(known) - set(values)):
        raise ConfigError(f"the run was begun without parameter {', '.join(missing)}", hint="begin a new run")
    check_values(known.values(), values, matches)


def _value(param: Json, text: str | None) -> Any:
    if text is None:
        if "default" not in param:
            raise ValueError(f"needs a value; give it with -p {param['name']}=…")
        return param["default"]
    value = _READ[param.get("type", "string")](text)
    misfit = value_error(param, value, matches)
    if misfit:
        raise ValueError(worded(misfit))
    return value


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError(f"{text!r} is neither true nor false")


def _integer(text: str) -> int:
    if not re.fullmatch(r"[-+]?[0-9]{1,18}", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


_READ: dict[str, Callable[[str], Any]] = {
    "string": str,
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "date": str,
}
