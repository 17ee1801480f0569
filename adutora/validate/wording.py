"""pydantic's errors in the words of the spec."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

from adutora.spec.nearest import did_you_mean
from adutora.spec.values import shown

Words = tuple[str, str | None]

# The patterns of spec/scalars.py and their like, in words; a test sees that none is forgotten.
_PATTERNS = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and `-`, with a letter or digit at both ends",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "letters, digits and `_`, not beginning with a digit",
    r"^[a-z][a-z0-9_]*$": "lower-case letters, digits and `_`, beginning with a letter",
    r"^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$": "`layer.name` in lower-case letters, digits and `_`, "
    "for example silver.orders",
    r"^[^\x00-\x1f]+$": "a name without control characters",
    r"^[0-9]{1,6}/(s|m|h)$": "a number and /s, /m or /h, for example 5/s",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": 'a day in quotes, for example "2026-01-31"',
    r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$": "`module:function`, for example features:enrich",
    r"^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)*$": "letters, digits, `_`, `.` and `-`, in parts separated by `:`",
}
_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a map of fields",
    "model_type": "a map of fields",
    "model_attributes_type": "a map of fields",
    "int_from_float": "a whole number",
    "none_required": "nothing",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_LENGTHS = {
    "too_short": ("min_length", "at least"),
    "too_long": ("max_length", "at most"),
    "string_too_short": ("min_length", "at least"),
    "string_too_long": ("max_length", "at most"),
}


_UNITS = {str: ("character", "characters"), dict: ("entry", "entries"), list: ("item", "items")}


def words(found: Sequence[ErrorDetails], written: str | None = None) -> Words:
    """Message and hint for the errors of one place: several are the branches of a union.

    `written` is the value as the file spells it, where that is a plain scalar.
    """
    kinds = [error["type"] for error in found]
    text = found[0]["input"]
    if isinstance(text, str) and "$(" in text and not set(kinds) & set(_LENGTHS):
        return "`$(…)` may not stand here", "write the value itself"
    if all(kind in _TYPES for kind in kinds):
        return _type_words(kinds, found[0]["input"], written)
    error = next(error for error in found if error["type"] not in _TYPES)
    if error["type"] == "value_error":
        message, _, hint = error["msg"].removeprefix("Value error, ").partition("; ")
        return message, hint or None
    return _rule_words(error["type"], error["input"], error.get("ctx", {})) or (
        f"{shown(error['input'])}: {error['msg']}",
        None,
    )


def _rule_words(kind: str, value: Any, context: dict[str, Any]) -> Words | None:
    if kind == "literal_error":
        return _literal_words(value, context)
    if kind == "string_pattern_mismatch":
        rule = _PATTERNS.get(context["pattern"], f"what matches {context['pattern']}")
        return f"{shown(value)} does not fit", f"write {rule}"
    if kind in _BOUNDS:
        name, phrase = _BOUNDS[kind]
        return f"{shown(value)} is out of bounds", f"write a number of {phrase} {context[name]}"
    if kind in _LENGTHS:
        name, phrase = _LENGTHS[kind]
        return _length_words(value, phrase, context[name])
    return None


def _type_words(kinds: Sequence[str], value: Any, written: str | None) -> Words:
    wanted = list(dict.fromkeys(_TYPES[kind] for kind in kinds))
    if "a number" in wanted and "a whole number" in wanted:
        wanted.remove("a whole number")
    if value is None:
        return "has no value", f"write {' or '.join(wanted)}"
    return f"must be {' or '.join(wanted)}, not {shown(value, written)}", _type_hint(wanted[0], value, written)


def _type_hint(wanted: str, value: Any, written: str | None) -> str | None:
    if wanted == "text" and isinstance(value, bool | int | float):
        return f"write {json.dumps(written or json.dumps(value))}"
    if wanted in ("a whole number", "a number") and isinstance(value, str):
        plain = value.replace("_", "").strip()
        return f"write {plain}, without quotes" if plain.lstrip("-").isdigit() and len(plain) < 20 else None
    if wanted == "true or false" and isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "yes", "on", "y", "false", "no", "off", "n"):
            return f"write {'true' if word in ('true', 'yes', 'on', 'y') else 'false'}, without quotes"
    if wanted == "a list" and isinstance(value, str):
        return f"write [{value[:60]}]"
    if wanted == "a list" and isinstance(value, dict):
        return "begin each item with `- `"
    return None


def _literal_words(value: Any, context: dict[str, Any]) -> Words:
    names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
    hint = did_you_mean(value, names) if isinstance(value, str) else None
    message = f"{shown(value)} is none of {', '.join(names)}" if len(names) > 1 else f"must be {names[0]}"
    return message, hint if hint and hint.startswith("did") else None


def _length_words(value: Any, phrase: str, bound: int) -> Words:
    one, many = _UNITS[str if isinstance(value, str) else dict if isinstance(value, dict) else list]
    if len(value) == 0:
        return "is empty", f"write {phrase} {bound} {one if bound == 1 else many}"
    return f"has {len(value)} {one if len(value) == 1 else many}", f"write {phrase} {bound}"
