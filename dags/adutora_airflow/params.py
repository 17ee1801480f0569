"""Parameters as Airflow's trigger form: in their order, and checked by Airflow itself.

A stage checks them once more, by RE2. Where a user's own image runs there is nothing of ours that could: the task does.
"""

import json
import re
import subprocess
import sys
import warnings
from typing import Any

from airflow.sdk import Param

from adutora.dagconfig import DagConfig, Json
from adutora.errors import ConfigError
from adutora.spec.values import check_values

_TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "date": "string"}
_SCHEMA = {"title": "title", "description": "description", "enum": "enum", "min": "minimum", "max": "maximum"}

_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[a-zA-Z:=!<P]*|\{[0-9,]+\}|.", re.DOTALL)
SLOW = 5  # seconds for a pattern that may take forever
_PROGRAM = "import json, re, sys; pattern, text = json.load(sys.stdin); sys.exit(re.fullmatch(pattern, text) is None)"
_MOST = 2  # repetitions without end in a pattern: each multiplies the time by a text's length


def is_quick(pattern: str) -> bool:
    """Return whether Python's `re`, by which Airflow checks, matches it in time; RE2, by which we do, always does.

    Said of fewer patterns than could be: no repetition holds a repetition or a choice, and there are few of them. For
    the others, and for those that only RE2 knows or reads in its own way, the form takes any text.
    """
    if not _known_to_python(pattern):
        return False
    depths: list[bool] = [False]  # for each group that is open: does it hold a repetition or a choice?
    closed, count = False, 0
    for piece in _PIECE.findall(pattern):
        if piece.startswith("("):
            depths.append(False)
        elif piece == ")" and len(depths) > 1:
            closed = depths.pop()
            depths[-1] = depths[-1] or closed
            continue
        elif piece in "*+?|" or (piece.startswith("{") and len(piece) > 1):
            if closed and piece not in "?|":
                return False
            depths[-1] = True
            count += piece in "*+" or piece.endswith(",}")
        closed = False
    return count <= _MOST


def _known_to_python(pattern: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # `[[:alpha:]]` is a set of other letters to Python, and it says so
        try:
            return re.compile(pattern) is not None
        except (re.error, Warning, RecursionError, OverflowError):
            return False


def check_here(config: DagConfig, values: Json) -> None:
    """Check the values of all parameters. Raises ConfigError that names every one that does not fit."""
    check_values(config.params, values, _matches)


def _matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches, by Python's engine; in a process that is ended where it takes too long."""
    if not _known_to_python(pattern):
        raise ConfigError(
            f"the pattern {pattern} cannot be checked for a stage with an image of its own",
            hint="write it without what only RE2 knows, for example [a-zA-Z] for [[:alpha:]]",
        )
    if is_quick(pattern):
        return re.fullmatch(pattern, text) is not None
    try:
        asked = json.dumps([pattern, text])
        done = subprocess.run([sys.executable, "-I", "-c", _PROGRAM], input=asked, text=True, timeout=SLOW, check=False)
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"the pattern {pattern} took longer than {SLOW} s", hint="write it without repetitions in repetitions"
        ) from None
    return done.returncode == 0


def form_of(config: DagConfig) -> dict[str, Param]:
    """Return the parameters of a DAG."""
    return {param["name"]: _param(param, scheduled=bool(config.triggers)) for param in config.params}


def _param(param: Json, *, scheduled: bool) -> Param:
    kind: Any = _TYPES[param["type"]]
    schema: Json = {ours: param[name] for name, ours in _SCHEMA.items() if param.get(name) is not None}
    if param["type"] == "date":
        schema["format"] = "date"
    if param.get("pattern") is not None and is_quick(param["pattern"]):
        # The whole text must match, and a line's end is not the text's.
        schema["pattern"] = f"^(?:{param['pattern']})$(?!\\n)"
    if param.get("default") is not None:
        return Param(param["default"], type=kind, **schema)
    if scheduled:
        # Airflow refuses a schedule with a parameter that must be given; a run that lacks it fails and says so.
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        return Param(None, type=["null", kind], **schema)
    return Param(type=kind, **schema)
