"""Plain YAML scalars as YAML 1.2's core schema reads them, and where YAML 1.1 reads something else.

kubectl and Helm read YAML 1.1. A scalar that the two versions read differently is refused, so that a file
means the same on a laptop and on a cluster.
"""

import math
import re
from typing import Final

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_TRUE_11 = frozenset({"y", "yes", "on"})
_FALSE_11 = frozenset({"n", "no", "off"})
_OTHER_11: Final = (
    ("octal", re.compile(r"[-+]?0[0-7_]+")),
    ("binary", re.compile(r"[-+]?0b[01_]+")),
    ("number", re.compile(r"[-+]?[1-9][0-9]*_[0-9_]*|[-+]?0x[0-9a-fA-F]*_[0-9a-fA-F_]*")),
    ("number", re.compile(r"[-+]?[0-9][0-9]*_[0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?[0-9]+\.[0-9]*_[0-9_]*")),
    ("base-60 number", re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")),
    (
        "date",
        re.compile(
            r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
            r"(([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:?[0-9]{2})?))?)?"
        ),
    ),
)
# JSON numbers that every reader keeps exactly; a longer text is refused before it is converted.
MAX_DIGITS = 19


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar in YAML 1.2's core schema.

    Raises ValueError that says what would be right, for numbers that JSON does not have.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return _whole(text, base)
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"{text} is no number that JSON has")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text[:40]} is too large for a number")
        return value
    return text


def _whole(text: str, base: int) -> int:
    digits = text.lstrip("+-0ox") if base != 10 else text.lstrip("+-0")
    if len(digits) > (MAX_DIGITS if base == 10 else 22):
        raise ValueError(f"{text[:24]}… has too many digits for a whole number")
    value = int(text.removeprefix("0o"), 8) if base == 8 else int(text, base)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{text} does not fit a whole number of 64 bits")
    return value


def surprise(text: str) -> str | None:
    """Return what YAML 1.1 reads a plain scalar as (`false`, `a date`), where 1.2 reads something else."""
    if len(text) > 64:
        return None
    word = text.lower()
    # 1.1 knows three spellings of each: lower, Capital and UPPER.
    if text in {word, word.capitalize(), word.upper()} and word in _TRUE_11 | _FALSE_11:
        return "true" if word in _TRUE_11 else "false"
    for kind, pattern in _OTHER_11:
        if pattern.fullmatch(text):
            return f"an {kind} number" if kind == "octal" else f"a {kind}"
    return None
