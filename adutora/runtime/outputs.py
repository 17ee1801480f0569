"""Outputs of a stage: small values for later stages, `$(stages.s.outputs.name)`. They travel in the outcome."""

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from adutora.errors import DataError

MAX_OUTPUTS = 2048  # bytes of JSON, all outputs together
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def checked_outputs(outputs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return outputs as plain JSON values: dates and decimals as text, numpy's numbers as numbers.

    Raises DataError for a name that `$(…)` cannot spell, a value that is no JSON, or more than 2 KiB in all.
    """
    plain: dict[str, Any] = {}
    for name, value in outputs.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DataError(f"{name!r} is no name of an output", hint="letters, digits and `_`, at most 63")
        plain[name] = _plain(name, value)
    sizes = {name: len(json.dumps(value).encode()) for name, value in plain.items()}
    total = len(json.dumps(plain).encode())
    if total > MAX_OUTPUTS:
        largest = max(sizes, key=lambda name: sizes[name])
        raise DataError(
            f"outputs take {total} bytes, and {MAX_OUTPUTS} are allowed; the largest is {largest}, {sizes[largest]}",
            hint="outputs are small values for later stages; data belongs in a table",
        )
    return plain


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(name, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(name, item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"output {name} is {value}, which JSON does not have")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "item") and callable(value.item):  # a scalar of numpy or pyarrow
        return _plain(name, value.item())
    raise DataError(f"output {name} is a {type(value).__name__}, which is no JSON value")
