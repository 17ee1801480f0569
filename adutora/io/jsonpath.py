"""JSONPath over parsed JSON. The library is imported when the first path is read."""

from typing import Any

from adutora.errors import ConfigError, DataError


def find_all(document: Any, path: str) -> list[Any]:
    """Return every value that `path` finds, in the document's order. Raises ConfigError for a path that is none."""
    from jsonpath_ng.exceptions import JSONPathError
    from jsonpath_ng.parser import parse

    try:
        expression = parse(path)
    except (JSONPathError, ValueError) as error:
        raise ConfigError(f"{path!r} is no JSONPath: {error}", hint="for example $.items or $.items[0].id") from error
    return [match.value for match in expression.find(document)]


def find_one(document: Any, path: str) -> Any:
    """Return what `path` finds: the value, or a list where it finds several.

    Raises DataError where it finds nothing, which names the keys that are there.
    """
    found = find_all(document, path)
    if not found:
        raise DataError(f"the answer has nothing at {path}", hint=_outline(document))
    return found[0] if len(found) == 1 else found


def _outline(document: Any) -> str:
    if isinstance(document, dict):
        keys = ", ".join(sorted(map(str, document))[:10])
        return f"its keys are {keys}" if keys else "it is an empty object"
    if isinstance(document, list):
        return f"it is a list of {len(document)} values"
    return f"it is a {type(document).__name__}"
