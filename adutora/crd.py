"""Everything that is generated from the spec: CRDs, JSON Schema for editors, reference pages.

`python -m adutora.crd` writes them all; a test fails where they drift. The CRDs never refuse what the CLI accepts:
they say less, and the operator says the rest with the CLI's own messages.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from adutora import editor_schema, reference
from adutora.spec.base import Spec, one_of_message
from adutora.spec.models import KINDS, models

GROUP: Final = "adutora.dev"
VERSION: Final = "v1alpha1"
Json = dict[str, Any]
# What structural schemas and OpenAPI 3.0 keep of JSON Schema. Defaults stay out: the models alone have them, and
# a value that the API server writes could not be told from one that a user wrote.
_KEPT = (
    "type", "description", "enum", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems", "minimum",
    "maximum", "maxProperties", "required", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
)  # fmt: skip
_NAME_RULES = [
    {"rule": "self.metadata.name.size() <= 63", "message": "metadata.name has at most 63 characters"},
    {
        "rule": "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "message": "metadata.name is of lower-case letters, digits and -, for example city-features",
    },
]


class Column(NamedTuple):
    """A column that kubectl prints."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


class Kind(NamedTuple):
    """What a CRD has beside the schema of its spec."""

    plural: str
    short: str
    columns: tuple[Column, ...]
    status: Json
    immutable: bool = False


_READY = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
)
_AGE = Column("Age", ".metadata.creationTimestamp", "date")


def _text(length: int, description: str, **more: Any) -> Json:
    return {"type": "string", "maxLength": length, "description": description, **more}


def _time(description: str) -> Json:
    return {"type": "string", "format": "date-time", "maxLength": 40, "description": description}


def _count(description: str) -> Json:
    return {"type": "integer", "format": "int64", "minimum": 0, "description": description}


_CONDITION: Json = {
    "type": "object",
    "required": ["type", "status", "lastTransitionTime", "reason"],
    "properties": {
        "type": _text(316, "Accepted, Rendered, Parsed or Ready"),
        "status": _text(7, "Whether it holds", enum=["True", "False", "Unknown"]),
        "reason": _text(1024, "Why, in one word"),
        "message": _text(32_768, "Why, for people"),
        "observedGeneration": _count("Generation of the spec that it speaks of"),
        "lastTransitionTime": _time("When `status` last changed"),
    },
}
_CONDITIONS: Json = {
    "observedGeneration": _count("Generation of the spec that the status speaks of"),
    "conditions": {
        "type": "array",
        "maxItems": 16,
        "items": _CONDITION,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "description": "What is so, and why",
    },
}
_LAST_RUN: Json = {
    "type": "object",
    "description": "The run that ended last, or goes on",
    "properties": {
        "id": _text(250, "Id of the run"),
        "state": _text(32, "queued, running, success or failed"),
        "startedAt": _time("When it began"),
        "endedAt": _time("When it ended"),
        "revision": _count("Sequence number of its revision"),
    },
}
_REVISIONS: Json = {
    "type": "array",
    "maxItems": 16,
    "items": {
        "type": "object",
        "required": ["sequence", "hash"],
        "properties": {
            "sequence": _count("Sequence number"),
            "hash": _text(64, "SHA-256 of its `config`, as hex: an object with other content is not this revision"),
        },
    },
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["sequence"],
    "description": "The revisions that are kept, and what each holds",
}
KIND_OF: Final[dict[str, Kind]] = {
    "Pipeline": Kind(
        "pipelines",
        "apl",
        (
            *_READY,
            Column("Schedule", ".spec.triggers[*].cron"),
            Column("Last run", ".status.lastRun.state"),
            Column("Revision", ".status.revision", "integer", 1),
            _AGE,
        ),
        {
            **_CONDITIONS,
            "revision": _count("Sequence number of the revision that runs"),
            "revisions": _REVISIONS,
            "lastRun": _LAST_RUN,
        },
    ),
    "Project": Kind("projects", "apj", (*_READY, _AGE), _CONDITIONS),
    "PipelineRevision": Kind(
        "pipelinerevisions",
        "apr",
        (Column("Pipeline", ".spec.pipeline"), Column("Revision", ".spec.sequence", "integer"), _AGE),
        _CONDITIONS,
        immutable=True,
    ),
    "ModelService": Kind(
        "modelservices",
        "ams",
        (
            *_READY,
            Column("Model", ".spec.model"),
            Column("Alias", ".spec.alias"),
            Column("Version", ".status.version"),
            _AGE,
        ),
        {**_CONDITIONS, "version": _text(63, "Version of the model that is served"), "replicas": _count("Servers")},
    ),
}


def structural(model: type[Spec]) -> Json:
    """Return the structural schema of a model: references inlined, `null` left out, rules in CEL."""
    schema = editor_schema.raw_schema(model)
    definitions = schema.pop("$defs", {})
    return _Inliner(definitions, models(model)).schema({"$ref": f"#/$defs/{model.__name__}"}, {model.__name__: schema})


class _Inliner:
    def __init__(self, definitions: Json, classes: dict[str, type[Spec]]) -> None:
        self._definitions, self._classes = definitions, classes

    def schema(self, schema: Json, extra: Json | None = None) -> Json:
        """Return the structural form of one schema."""
        if extra:
            self._definitions = {**self._definitions, **extra}
        if "$ref" in schema:
            return self._reference(schema)
        if "anyOf" in schema:
            return self._union(schema)
        if "const" in schema:
            schema = {**schema, "enum": [schema["const"]]}
        out = {key: schema[key] for key in _KEPT if key in schema}
        _bounds(schema, out)
        if out.get("type") == "object":
            self._object(schema, out)
        if "items" in schema:
            out["items"] = self.schema(schema["items"])
        return out

    def _reference(self, schema: Json) -> Json:
        name = schema["$ref"].rpartition("/")[2]
        out = self.schema(self._definitions[name])
        if "description" in schema:
            out["description"] = schema["description"]
        rules = _one_of_rules(self._classes[name])
        return {**out, "x-kubernetes-validations": rules} if rules else out

    def _union(self, schema: Json) -> Json:
        """`X | None` is X; numbers of both kinds are numbers; what else is mixed cannot be typed."""
        options = [self.schema(option) for option in schema["anyOf"] if option != {"type": "null"}]
        types = {option.get("type") for option in options}
        if len(options) == 1:
            out = options[0]
        elif types == {"integer", "number"}:
            out = {"type": "number"}
        elif types == {"integer", "string"}:
            out = {"x-kubernetes-int-or-string": True}
        else:
            out = {"x-kubernetes-preserve-unknown-fields": True}
        if "description" in schema:
            out = {**out, "description": schema["description"]}
        return out

    def _object(self, schema: Json, out: Json) -> None:
        if "properties" in schema or schema.get("additionalProperties") is False:
            out["properties"] = {name: self.schema(inner) for name, inner in schema.get("properties", {}).items()}
            # Else the API server drops a misspelt field in silence, unless its client asks for a check. Kept, it is
            # told by the operator, with the nearest name.
            out["x-kubernetes-preserve-unknown-fields"] = True
            return
        # Patterns of keys are for the CLI's validator: structural schemas have none.
        values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()))
        out["additionalProperties"] = self.schema(values)


def _bounds(schema: Json, out: Json) -> None:
    """OpenAPI 3.0 says by a flag that a bound itself is left out."""
    for name, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if name in schema:
            out[bound], out[name] = schema[name], True


def _one_of_rules(model: type[Spec]) -> list[Json]:
    if not model.ONE_OF:
        return []
    # A sum costs less than a list that is filtered, and the API server counts the worst case.
    total = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in model.ONE_OF)
    return [{"rule": f"{total} == 1", "message": one_of_message([], model.ONE_OF)}]


def crd(name: str) -> Json:
    """Return the CustomResourceDefinition of a kind."""
    kind = KIND_OF[name]
    spec = structural(_spec_model(name))
    if kind.immutable:
        del spec["x-kubernetes-preserve-unknown-fields"]  # no user writes it
        spec["x-kubernetes-validations"] = [{"rule": "self == oldSelf", "message": "a revision never changes"}]
    schema = {
        "type": "object",
        "description": (KINDS[name].__doc__ or "").strip(),
        **({"required": ["spec"]} if KINDS[name].model_fields["spec"].is_required() else {}),
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": {"type": "object", "description": "What the operator found", "properties": kind.status},
        },
        "x-kubernetes-validations": _NAME_RULES,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": kind.plural,
                "singular": name.lower(),
                "shortNames": [kind.short],
                "categories": ["adutora"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_printed(column) for column in kind.columns],
                }
            ],
        },
    }


def _spec_model(name: str) -> type[Spec]:
    model = KINDS[name].model_fields["spec"].annotation
    if not isinstance(model, type) or not issubclass(model, Spec):
        raise TypeError(f"the spec of {name} is no model")
    return model


def _printed(column: Column) -> Json:
    out: Json = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**out, "priority": column.priority} if column.priority else out


def render_crd(name: str) -> str:
    """Return the text of a CRD's file."""
    # Through JSON: without shared objects there are no YAML anchors.
    data = json.loads(json.dumps(crd(name)))
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    return f"# Generated by `python -m adutora.crd`; do not edit.\n{text}"


def generated() -> dict[str, str]:
    """Return the text of every generated file, by its path in the repository."""
    files = {f"charts/adutora/files/crds/{KIND_OF[name].plural}.yaml": render_crd(name) for name in KINDS}
    for name in reference.PAGES:
        files[f"adutora/schema/{reference.PAGES[name]}.json"] = editor_schema.render(name)
        files[f"docs/reference/{reference.PAGES[name]}.md"] = reference.render(name)
    return files


def main(root: Path) -> int:
    """Write every generated file under `root`, the repository."""
    for name, text in generated().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(__file__).parents[1]))
