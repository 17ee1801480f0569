"""Values: what is documented, what is refused, and whether Airflow's own schema accepts ours."""

import importlib.util
import json
import subprocess
from functools import cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from tests.charts.rendering import ALL, CHART, ROOT, STAND_IN, UMBRELLA, VALUES_FILES, Helm

OFFICIAL_SCHEMA = ROOT.parent / "shared" / "airflow-chart" / "values.schema.json"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def merged(base: Any, over: Any) -> Any:
    """Values as helm merges them: maps by key, all else replaced."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


@cache
def official_schema() -> jsonschema.Draft7Validator:
    if not OFFICIAL_SCHEMA.is_file():
        pytest.skip(f"the schema of Airflow's chart is not at {OFFICIAL_SCHEMA.relative_to(ROOT.parent)}")
    return jsonschema.Draft7Validator(json.loads(OFFICIAL_SCHEMA.read_text()))


def complaints(values: Any) -> list[str]:
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in official_schema().iter_errors(values)]


@pytest.mark.parametrize("name", [None, *VALUES_FILES])
def test_airflows_own_schema_accepts_our_values(name: str | None) -> None:
    values = load(UMBRELLA / "values.yaml")
    if name:
        values = merged(values, load(UMBRELLA / name))
    assert not complaints(values["airflow"])


def test_airflows_own_schema_accepts_the_stand_ins_values() -> None:
    assert not complaints(load(STAND_IN / "values.yaml"))


def test_airflows_own_schema_would_refuse_a_typo() -> None:
    assert complaints({"scheduler": {"extraContainer": []}})


def test_every_values_file_is_tested() -> None:
    assert {path.name for path in UMBRELLA.glob("values-*.yaml")} == set(VALUES_FILES)


def test_readme_is_generated() -> None:
    done = subprocess.run([ROOT / "tools" / "chart-readme", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def readme_tool() -> ModuleType:
    path = ROOT / "tools" / "chart-readme"
    spec = importlib.util.spec_from_loader("chart_readme", SourceFileLoader("chart_readme", str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_value_that_nobody_explains_is_told() -> None:
    tool = readme_tool()
    with pytest.raises(SystemExit, match=r"operator.naked has no comment"):
        tool.table("operator:\n  # What it is\n  told: 1\n  naked: 2\n")


def schema_paths(schema: Any, root: Any, path: str = "") -> set[str]:
    """Paths of all values that a schema knows."""
    schema = root["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    inner = schema.get("properties", {})
    below = [schema_paths(value, root, f"{path}.{key}" if path else key) for key, value in inner.items()]
    return {path, *(found for each in below for found in each)}


def test_the_schema_knows_every_value_and_no_other() -> None:
    tool, schema = readme_tool(), json.loads((CHART / "values.schema.json").read_text())
    written = {value.path for value in tool.values((CHART / "values.yaml").read_text())}
    known = {path for path in schema_paths(schema, schema) if not path.endswith((".requests", ".limits"))}
    known = {path for path in known if not path.endswith((".cpu", ".memory", ".ephemeral-storage"))}
    found = {path for path in written if not any(path.endswith(end) for end in (".requests", ".limits"))}
    found -= {f"global.adutora.stageImages.{name}" for name in ("default", "spark")}
    assert known - {""} == found


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("operator.replicas=2", "replicas"),
        ("global.adutora.namespaces={Team_A}", "pattern"),
        ("stores.redis.existingsecret=x", "existingsecret"),
        ("imagePullPolicy=Sometimes", "imagePullPolicy"),
        ("operator.resources.limits.memory=lots", "memory"),
        ("airflow.url=airflow-api-server", "url"),
        ("stores.s3.buckets.lake=My_Bucket", "lake"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, value: str, says: str) -> None:
    assert says in helm.refusal(CHART, value)


@pytest.mark.parametrize("values", [(), ALL])
def test_lint(helm: Helm, values: tuple[str, ...]) -> None:
    options = [item for value in values for item in ("--set", value)]
    helm.run("lint", "--strict", "--kube-version=1.34.4", CHART, *options)


@pytest.mark.parametrize("name", [None, *VALUES_FILES])
def test_every_values_file_renders_with_the_official_chart(helm: Helm, official: Path, name: str | None) -> None:
    rendered = helm.template(official, *([UMBRELLA / name] if name else []))
    assert {"airflow-scheduler", "airflow-api-server", "adutora-operator"} <= rendered.names("Deployment")


def test_the_stand_in_says_which_executors_it_lacks(helm: Helm, umbrella: Path) -> None:
    assert "AIRFLOW_CHART" in helm.refusal(umbrella, "airflow.executor=CeleryExecutor")


def test_the_stand_in_says_what_it_is() -> None:
    assert "stand-in" in (STAND_IN / "templates" / "NOTES.txt").read_text()


def test_without_a_chart_of_airflow_one_is_asked_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "tools" / "chart-deps", tmp_path], env={"PATH": "/usr/bin:/bin", "HELM": "/nowhere/helm"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "AIRFLOW_CHART=FILE" in done.stderr
