"""JSON Schema for editors, one for each kind: what the CLI accepts, as far as a schema can say it."""

import json
from collections.abc import Callable
from typing import Any, Final

from adutora.spec.base import Spec
from adutora.spec.models import KINDS, models

Json = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DROPPED = ("title", "x-kubernetes-preserve-unknown-fields")
# Keywords whose values are maps of schemas by name, where a name must not be taken for a keyword.
_MAPS = ("properties", "patternProperties", "$defs")
_SCHEMAS = ("items", "additionalProperties", "propertyNames", "anyOf")


def raw_schema(model: type[Spec]) -> Json:
    """Return pydantic's JSON Schema of a model, with aliases as users write them."""
    return model.model_json_schema(by_alias=True)


def editor_schema(kind: str) -> Json:
    """Return the JSON Schema of a kind. `x-adutora-substitute` marks where `$(…)` may stand."""
    root = KINDS[kind]
    classes = models(root)
    schema = raw_schema(root)
    for name, definition in {root.__name__: schema, **schema.get("$defs", {})}.items():
        if one_of := classes[name].ONE_OF:
            definition["oneOf"] = [_given(field) for field in one_of]
    return {"$schema": DIALECT, "title": f"Adutora {kind}", **map_schema(schema, _for_editor)}


def map_schema(schema: Json, change: Callable[[Json], Json]) -> Json:
    """Apply `change` to a schema after all schemas inside it."""
    out: Json = {}
    for key, value in schema.items():
        if key in _MAPS:
            out[key] = {name: map_schema(inner, change) for name, inner in value.items()}
        elif key in _SCHEMAS and isinstance(value, dict):
            out[key] = map_schema(value, change)
        elif key in _SCHEMAS and isinstance(value, list):
            out[key] = [map_schema(inner, change) for inner in value]
        else:
            out[key] = value
    return change(out)


def _given(field: str) -> Json:
    # A field that is spelled out as null counts as not given.
    return {"required": [field], "properties": {field: {"not": {"type": "null"}}}}


def _for_editor(schema: Json) -> Json:
    out = {key: value for key, value in schema.items() if key not in _DROPPED}
    if out.pop("x-kubernetes-int-or-string", False):
        out["type"] = ["integer", "string"]
    if "default" in out and out["default"] is None:
        del out["default"]
    return out


def render(kind: str) -> str:
    """Return the text of the schema's file."""
    return json.dumps(editor_schema(kind), indent=1, ensure_ascii=False) + "\n"
