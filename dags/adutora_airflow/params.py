"""Parameters as Airflow's trigger form: in their order, and checked by Airflow itself."""

import re
from typing import Any

from airflow.sdk import Param

from adutora.dagconfig import DagConfig, Json

_TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "date": "string"}
_SCHEMA = {"title": "title", "description": "description", "enum": "enum", "min": "minimum", "max": "maximum"}

_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[a-zA-Z:=!<P]*|\{[0-9,]+\}|.", re.DOTALL)
_MOST = 2  # repetitions without end in a pattern: each multiplies the time by a text's length


def is_quick(pattern: str) -> bool:
    """Return whether Python's `re`, by which Airflow checks, matches it in time; RE2, by which we do, always does.

    Said of fewer patterns than could be: no repetition holds a repetition or a choice, and there are few of them. For
    the others the form takes any text.
    """
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
