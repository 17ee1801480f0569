"""What is generated from the spec: no drift, nothing undocumented, and CRDs that an API server takes."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from adutora import crd
from adutora.cli import schema as command
from adutora.editor_schema import editor_schema
from adutora.spec.models import KINDS, models
from adutora.spec.pipeline import STAGE_TYPES, Pipeline, Stage
from adutora.stages import TABLE

ROOT = Path(__file__).parents[2]
ALL_MODELS = {name: model for kind in KINDS.values() for name, model in models(kind).items()}
GENERATED = crd.generated()
PIPELINE = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: everything, namespace: team}
spec:
  owner: data-team
  triggers:
    - {cron: "@daily", timezone: America/Sao_Paulo, startDate: "2026-01-01"}
    - {assets: {all: [silver.companies]}, minInterval: 15m}
    - {files: {stage: land, batch: {maxWait: 30s}}}
  params: [{name: input, default: data/c.csv}, {name: n, type: number, default: 1.5, min: 0, max: 9.5, enum: [1, 2.5, null]}]
  defaults: {retries: 5, resources: {cpu: 2, memory: 512Mi}}
  tables:
    - name: silver.orders
      key: [order_id]
      schema: freeze
      columns: [{name: order_id, type: long}, {name: amount, type: "decimal(12,2)"}]
      checks:
        - {range: {column: amount, min: 0.5, max: "9"}, onFail: quarantine, where: status <> 'test'}
        - {acceptedValues: {column: status, values: ["new", 1, 2.5, true]}}
        - {sql: SELECT * FROM silver.orders WHERE amount > 1e9}
  stages:
    - {name: up, probe: {connection: online}}
    - name: land
      when: $(params.save)
      resources: {cpu: "500m", memory: 1073741824}
      ingest: {files: {connection: uploads, path: "orders/*.csv", read: new, csv: {decimal: ","}}}
      output: {table: bronze.orders, mode: append}
    - {name: visits, when: true, ingest: {database: {connection: db, table: a.b, cursor: {column: n, start: 3}}}, output: {table: bronze.v}}
    - {name: call, http: {connection: api, path: /x, query: {a: 1, b: [x]}, json: {deep: [1, {}]}, expectStatus: [200], outputs: {p: $.p}}}
    - {name: each, forEach: {values: $(stages.call.outputs.p)}, http: {connection: api, path: /p, json: $(item)}}
    - name: silver
      inputs: [{table: bronze.orders, read: new}, {name: cities, file: c.csv}]
      sql: {query: "SELECT 1"}
      output: {table: silver.orders, mode: merge, missing: {action: mark, maxShare: 0.2}}
    - {name: own, input: {table: silver.orders}, python: {function: "m:f", args: {day: $(run.date)}}, output: {table: gold.o}}
    - {name: fit, input: {table: gold.o}, train: {model: m, split: {test: 0.2}, estimator: {name: R, grid: {a: [0.1, x]}}}}
    - {name: img, container: {image: x:1, env: [{name: A, value: b}]}}
"""


def schemas(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a structural schema, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from schemas(schema[key], f"{path}[]")


def openapi(name: str) -> dict[str, Any]:
    (version,) = crd.crd(name)["spec"]["versions"]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


@pytest.mark.parametrize("name", list(GENERATED))
def test_file_is_as_generated(name: str) -> None:
    assert (ROOT / name).read_text() == GENERATED[name], "run `python -m adutora.crd`"


def test_no_generated_file_is_left_over() -> None:
    there = {
        str(path.relative_to(ROOT))
        for folder, pattern in (("charts/adutora/files/crds", "*.yaml"), ("adutora/schema", "*.json"))
        for path in (ROOT / folder).glob(pattern)
    }
    assert there <= set(GENERATED)


def test_writes_only_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crd.main(tmp_path) == 0
    assert sorted(capsys.readouterr().out.split()) == sorted(GENERATED)
    assert crd.main(tmp_path) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", list(ALL_MODELS))
def test_every_model_and_field_is_described(name: str) -> None:
    model = ALL_MODELS[name]
    assert (model.__doc__ or "").strip()
    assert "__doc__" in vars(model), "it has its base's docstring"
    for field, info in model.model_fields.items():
        assert info.description, f"{name}.{field} has no description"
        assert info.description[0] == info.description[0].upper() or info.description[0] == "`", f"{name}.{field}"


def test_every_stage_type_has_a_room() -> None:
    assert set(TABLE) == set(STAGE_TYPES)
    assert set(STAGE_TYPES) <= set(Stage.model_fields)


@pytest.mark.parametrize("name", list(KINDS))
def test_schema_is_structural(name: str) -> None:
    allowed = {
        "type", "description", "enum", "pattern", "format", "minLength", "maxLength", "minItems", "maxItems", "minimum",
        "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxProperties", "required", "properties", "items",
        "additionalProperties", "x-kubernetes-validations", "x-kubernetes-int-or-string", "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys", "x-kubernetes-preserve-unknown-fields",
    }  # fmt: skip
    for path, schema in schemas(openapi(name)):
        assert set(schema) <= allowed, f"{path}: {set(schema) - allowed}"
        kept = schema.get("x-kubernetes-preserve-unknown-fields") and "properties" not in schema
        untyped = schema.get("x-kubernetes-int-or-string") or kept
        assert ("type" in schema) != bool(untyped), f"{path} needs a type, or to say why it has none"
        assert isinstance(schema.get("exclusiveMinimum", True), bool), path
        kind = schema.get("type")
        if kind == "object" and path not in ("", ".metadata"):
            assert ("properties" in schema) != ("additionalProperties" in schema), path
            assert set(schema.get("required", [])) <= set(schema.get("properties", {})), path
        if kind == "array":
            assert "items" in schema, path


@pytest.mark.parametrize("name", list(KINDS))
def test_everything_is_bounded(name: str) -> None:
    """Else the API server counts the cost of a rule without end, and refuses the CRD."""
    for path, schema in schemas(openapi(name)):
        if path in (".apiVersion", ".kind"):
            continue
        if schema.get("type") == "string" and "enum" not in schema:
            assert "maxLength" in schema, path
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


@pytest.mark.parametrize("name", list(KINDS))
def test_crd_is_small_and_without_anchors(name: str) -> None:
    text = crd.render_crd(name)
    assert len(text.encode()) < 200 * 1024
    # `kubectl apply` keeps the object as JSON in an annotation of at most 256 KiB.
    assert len(json.dumps(yaml.safe_load(text))) < 200 * 1024
    assert yaml.safe_load(text) == crd.crd(name)
    assert "&id" not in text
    assert "x-adutora" not in text


def test_exactly_one_of_as_cel() -> None:
    stage = openapi("Pipeline")["properties"]["spec"]["properties"]["stages"]["items"]
    (rule,) = stage["x-kubernetes-validations"]
    assert rule["rule"].startswith("(has(self.ingest) ? 1 : 0) + (has(self.sql) ? 1 : 0)")
    assert rule["rule"].endswith(" == 1")
    assert rule["message"].startswith("needs exactly one of ingest, sql")
    rules = [path for path, schema in schemas(openapi("Pipeline")) if "x-kubernetes-validations" in schema]
    assert ".spec.triggers[]" in rules
    assert ".spec.tables[].checks[]" in rules
    assert ".spec.stages[].quality.checks[]" in rules


def test_cel_can_name_every_field() -> None:
    """A field that CEL reserves would have to be escaped."""
    reserved = {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if",
                "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}  # fmt: skip
    for model in ALL_MODELS.values():
        assert not reserved & set(model.ONE_OF)
        # has() sees only fields that have a type.
        for field in model.ONE_OF:
            assert "Any" not in str(model.model_fields[field].annotation)


def test_no_defaults_in_crds() -> None:
    for name in KINDS:
        assert all("default" not in schema for _, schema in schemas(openapi(name)))


def test_quantities_are_int_or_string() -> None:
    resources = openapi("Pipeline")["properties"]["spec"]["properties"]["defaults"]["properties"]["resources"]
    memory = resources["properties"]["memory"]
    assert memory["x-kubernetes-int-or-string"] is True
    assert memory["pattern"].startswith("^[0-9]")
    assert "type" not in memory


def test_names_columns_and_status() -> None:
    definition = crd.crd("Pipeline")
    assert definition["metadata"]["name"] == "pipelines.adutora.dev"
    assert definition["spec"]["names"]["categories"] == ["adutora"]
    (version,) = definition["spec"]["versions"]
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Ready", "Reason", "Schedule", "Last run", "Revision", "Age",
    ]  # fmt: skip
    assert version["subresources"] == {"status": {}}
    conditions = openapi("Pipeline")["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert "type" in conditions["items"]["required"]
    shorts = [kind.short for kind in crd.KIND_OF.values()]
    assert len(set(shorts)) == len(KINDS)


def test_a_revision_never_changes() -> None:
    spec = openapi("PipelineRevision")["properties"]["spec"]
    assert spec["x-kubernetes-validations"] == [{"rule": "self == oldSelf", "message": "a revision never changes"}]
    assert spec["required"] == ["pipeline", "sequence", "hash", "config"]


def as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema reads it."""
    out = dict(schema)
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if out.pop(flag, False):
            out[flag] = out.pop(bound)
    if out.get("x-kubernetes-int-or-string"):
        out["type"] = ["integer", "string"]
    if "properties" in out:
        out["properties"] = {name: as_json_schema(inner) for name, inner in out["properties"].items()}
        out["additionalProperties"] = False  # what would be pruned
    elif "additionalProperties" in out:
        out["additionalProperties"] = as_json_schema(out["additionalProperties"])
    if "items" in out:
        out["items"] = as_json_schema(out["items"])
    return out


def test_crd_and_editor_take_what_the_models_take() -> None:
    document = yaml.safe_load(PIPELINE)
    Pipeline.model_validate(document)
    jsonschema.validate(document, editor_schema("Pipeline"))
    jsonschema.validate(document["spec"], as_json_schema(openapi("Pipeline")["properties"]["spec"]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "retires"), 1),
        (("spec", "stages"), []),
        (("spec", "concurrency"), 0),
        (("spec", "timeout"), "5"),
        (("spec", "defaults"), {"resources": {"memory": "1 GB"}}),
        (
            ("spec", "stages", 0),
            {"name": "two", "probe": {"connection": "c"}, "quality": {"checks": [{"notNull": ["a"]}]}},
        ),
        (("spec", "stages", 0), {"name": "none"}),
        (("spec", "stages", 0, "name"), "Not_A_Name"),
        (("spec", "stages", 1, "output", "mode"), "apend"),
        (("kind",), "Pipelin"),
    ],
)
def test_editor_refuses_what_the_models_refuse(path: tuple[Any, ...], value: Any) -> None:
    document = yaml.safe_load(PIPELINE)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        Pipeline.model_validate(document)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, editor_schema("Pipeline"))


def test_null_is_the_same_as_left_out() -> None:
    document = yaml.safe_load(PIPELINE)
    document["spec"] |= {"owner": None, "defaults": None}
    document["spec"]["triggers"][0]["assets"] = None
    Pipeline.model_validate(document)
    jsonschema.validate(document, editor_schema("Pipeline"))


def test_editor_schemas_are_schemas() -> None:
    for kind in ("Pipeline", "Project", "ModelService"):
        jsonschema.Draft202012Validator.check_schema(editor_schema(kind))
    field = editor_schema("Pipeline")["$defs"]["Http"]["properties"]["path"]
    assert field["x-adutora-substitute"] is True


def test_reference_pages_name_every_field() -> None:
    for kind, page in (("Pipeline", "pipeline"), ("Project", "project")):
        text = (ROOT / f"docs/reference/{page}.md").read_text()
        for name, model in models(KINDS[kind]).items():
            section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
            assert section, name
            for field, info in model.model_fields.items():
                assert f"| `{info.alias or field}` |" in section, f"{name}.{field}"


def test_reference_shows_types_and_defaults() -> None:
    text = (ROOT / "docs/reference/pipeline.md").read_text()
    assert '| `timeout` | duration | `"1h"` | How long one try of a stage may take |' in text
    assert "| `stages` | list of [Stage](#stage) | *required* | The steps |" in text
    assert "| `path` | text, `$(…)` | *required* |" in text


@pytest.mark.parametrize("kind", command.KINDS)
def test_schema_command(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["schema", kind])
    assert args.run(args) == 0
    assert json.loads(capsys.readouterr().out)["title"].startswith("Adutora ")


def test_schema_command_prints_pipelines_by_itself() -> None:
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    assert parser.parse_args(["schema"]).kind == "pipeline"
