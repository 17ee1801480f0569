"""Parameters as Airflow's trigger form: in their order, and checked by Airflow itself."""

from typing import Any

from airflow.sdk import Param

from adutora.dagconfig import DagConfig, Json

_TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean", "date": "string"}
_SCHEMA = {"title": "title", "description": "description", "enum": "enum", "min": "minimum", "max": "maximum"}


def form_of(config: DagConfig) -> dict[str, Param]:
    """Return the parameters of a DAG."""
    return {param["name"]: _param(param, scheduled=bool(config.triggers)) for param in config.params}


def _param(param: Json, *, scheduled: bool) -> Param:
    kind: Any = _TYPES[param["type"]]
    schema: Json = {ours: param[name] for name, ours in _SCHEMA.items() if param.get(name) is not None}
    if param["type"] == "date":
        schema["format"] = "date"
    if param.get("pattern") is not None:
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
