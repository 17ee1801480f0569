"""`adutora compile`: the same meaning gives the same bytes, and every value says where it comes from."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adutora.cli import main
from adutora.cli.compile import compiled
from adutora.compile import compile_pipeline
from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError
from adutora.explain import explain
from adutora.validate import load_pipeline

PIPELINE = """apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  description: Orders to sales
  tags: [b, a]
  triggers:
    - {cron: "@daily", timezone: America/Sao_Paulo}
    - {assets: {any: [silver.other]}, minInterval: 90s}
  params:
    - {name: input, default: data/orders.csv}
    - {name: live, type: boolean, default: false}
  defaults: {retries: 5, resources: {cpu: 500m}}
  tables:
    - name: silver.orders
      key: [id]
      columns: [{name: id, type: long}, {name: store, type: string}]
      checks: [{references: {column: store, table: silver.stores, to: id}, onFail: warn}]
    - {name: silver.stores, description: Shops}
  stages:
    - {name: up, probe: {connection: online}}
    - {name: land, timeout: 60s, ingest: {files: {path: "in/*.csv"}}, output: {table: bronze.orders, mode: append}}
    - name: stores
      inputs: [{name: s, file: data/stores.csv}]
      sql: {query: SELECT * FROM s}
      output: {table: silver.stores}
    - name: silver
      resources: {memory: 1024Mi}
      inputs: [{table: silver.other, external: true}, {table: bronze.orders, read: new}]
      sql: {query: SELECT * FROM bronze.orders}
      output: {table: silver.orders, mode: merge}
    - {name: call, http: {connection: api, path: /x, outputs: {pages: $.pages}}}
    - name: each
      forEach: {values: $(stages.call.outputs.pages)}
      http: {connection: api, path: /y}
    - {name: send, dependsOn: [up], when: $(params.live), input: {table: silver.orders}, publish: {key: [id], prefix: o}}
"""
PROJECT = """apiVersion: adutora.dev/v1alpha1
kind: Project
metadata: {name: team}
spec:
  lake: {root: lake, layers: [{name: gold, root: gold}]}
  defaults: {retryDelay: 30s, retries: 1, timezone: Europe/Lisbon}
  notify: [{events: [failure], connection: hook}]
  connections:
    - {name: api, http: {baseUrl: "http://localhost:1"}}
    - {name: hook, webhook: {}}
    - {name: unused, folder: {path: x}}
"""
# Lists whose order means nothing.
UNORDERED = {"stages", "tables", "inputs", "tags", "triggers", "dependsOn", "connections", "layers"}


def write(folder: Path, pipeline: str = PIPELINE, project: str = PROJECT) -> Path:
    (folder / "adutora.yaml").write_text(project)
    path = folder / "pipeline.yaml"
    path.write_text(pipeline)
    return path


def compiled_text(folder: Path, pipeline: str = PIPELINE, project: str = PROJECT) -> str:
    return compiled(load_pipeline(write(folder, pipeline, project)))


def shuffled(value: Any, chance: random.Random, key: str = "") -> Any:
    """The same meaning in another order."""
    if isinstance(value, dict):
        items = [(name, shuffled(item, chance, name)) for name, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        items = [shuffled(item, chance) for item in value]
        if key in UNORDERED:
            chance.shuffle(items)
        return items
    return value


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chance=st.randoms(use_true_random=False), json_text=st.booleans())
def test_order_of_keys_and_stages_does_not_matter(tmp_path: Path, chance: random.Random, json_text: bool) -> None:
    wanted = compiled_text(tmp_path)
    texts = []
    for text in (PIPELINE, PROJECT):
        value = shuffled(yaml.safe_load(text), chance)
        texts.append(json.dumps(value) if json_text else yaml.safe_dump(value, sort_keys=False))
    assert compiled_text(tmp_path, *texts) == wanted


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("timeout: 60s", "timeout: 1m"),
        ("minInterval: 90s", 'minInterval: "1m30s"'),
        ("memory: 1024Mi", "memory: 1Gi"),
        ("cpu: 500m", 'cpu: "0.5"'),
        ("retryDelay: 30s", "retryDelay: '30s'"),
        ("description: Orders to sales", 'description: "Orders to s\\u0061les"'),
        ("description: Orders to sales", "# a comment\n  description:\n    Orders\n    to sales"),
        ("tags: [b, a]", "tags:\n  - a\n  - b\n  - a"),
        ("when: $(params.live)", 'when: " $(params.live) "'),
        ("{table: silver.stores}", "{table: silver.stores, mode: overwrite}"),
    ],
)
def test_spelling_does_not_matter(old: str, new: str, tmp_path: Path) -> None:
    assert old in PIPELINE + PROJECT
    wanted = compiled_text(tmp_path)
    assert compiled_text(tmp_path, PIPELINE.replace(old, new), PROJECT.replace(old, new)) == wanted


@pytest.mark.parametrize(
    ("old", "new"),
    [("60s", "61s"), ("merge", "overwrite"), ("tags: [b, a]", "tags: [b]"), ("SELECT *", "SELECT  *"), ("5", "4")],
)
def test_meaning_does(old: str, new: str, tmp_path: Path) -> None:
    before = json.loads(compiled_text(tmp_path))["hash"]
    assert json.loads(compiled_text(tmp_path, PIPELINE.replace(old, new)))["hash"] != before


@pytest.mark.slow
def test_hash_seed_place_and_time_do_not_matter(tmp_path: Path) -> None:
    answers = set()
    for seed in ("0", "4711"):
        folder = tmp_path / seed
        folder.mkdir()
        command = [sys.executable, "-m", "adutora.cli", "compile", str(write(folder))]
        done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed}, check=True)
        answers.add(done.stdout)
    assert len(answers) == 1


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    loaded = load_pipeline(write(tmp_path))
    config = compile_pipeline(loaded.pipeline, loaded.project)
    data = json.loads(compiled(loaded))
    assert DagConfig.from_json(data) == config
    assert data["hash"] == config.hash
    with pytest.raises(ConfigError, match="changed after it was compiled"):
        DagConfig.from_json({**data, "concurrency": 2})


def test_stages_come_after_what_they_depend_on(tmp_path: Path) -> None:
    data = json.loads(compiled_text(tmp_path))
    done: set[str] = set()
    for stage in data["stages"]:
        assert done.issuperset(stage["dependsOn"])
        done.add(stage["name"])
    assert {stage["name"]: stage["dependsOn"] for stage in data["stages"]} == {
        "up": [],
        "land": [],
        "stores": [],
        "call": [],
        "silver": ["land", "stores"],
        "each": ["call"],
        "send": ["silver", "up"],
    }


# --explain


@pytest.fixture
def origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    values = {each.path: each.origin for each in explain(load_pipeline("pipeline.yaml"))}
    return values.__getitem__


def line(text: str, of: str = PIPELINE) -> int:
    return next(number for number, each in enumerate(of.splitlines(), 1) if text in each)


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("stages.silver.retries", f"Pipeline defaults pipeline.yaml:{line('retries: 5')}"),
        ("stages.silver.retryDelaySeconds", f"Project defaults adutora.yaml:{line('retryDelay', PROJECT)}"),
        ("timezone", f"Project defaults adutora.yaml:{line('timezone', PROJECT)}"),
        ("stages.land.timeoutSeconds", f"stage pipeline.yaml:{line('timeout: 60s')}"),
        ("stages.silver.timeoutSeconds", "built-in"),
        ("stages.silver.resources.cpu", f"Pipeline defaults pipeline.yaml:{line('cpu: 500m')}"),
        ("stages.silver.resources.memory", f"stage pipeline.yaml:{line('1024Mi')}"),
        ("stages.silver.resources.scratch", "built-in"),
        ("stages.silver.dependsOn.land", "input bronze.orders"),
        ("stages.silver.dependsOn.stores", "references silver.stores"),
        ("stages.each.dependsOn.call", "output pages"),
        ("stages.send.dependsOn.up", f"dependsOn pipeline.yaml:{line('name: send')}"),
        ("stages.silver.inputs.bronze.orders.read", f"pipeline.yaml:{line('read: new')}"),
        ("stages.silver.inputs.bronze.orders.external", "default of the spec"),
        ("stages.silver.block.query", f"pipeline.yaml:{line('SELECT * FROM bronze.orders')}"),
        ("stages.silver.block.engine", "default of the spec"),
        ("stages.silver.when", "not set"),
        ("triggers.0.minInterval", f"pipeline.yaml:{line('minInterval')}"),
        ("triggers.1.cron", f"pipeline.yaml:{line('@daily')}"),
        ("tables.silver.orders.columns.store.type", f"pipeline.yaml:{line('name: store, type: string')}"),
        ("connections.api.http.baseUrl", f"Project adutora.yaml:{line('baseUrl', PROJECT)}"),
        ("connections.api.http.timeout", "default of the spec"),
        ("connections.online.sqlite.path", "default of the spec"),
        ("lake.root", f"Project adutora.yaml:{line('lake:', PROJECT)}"),
        ("lake.layers.gold", f"Project adutora.yaml:{line('lake:', PROJECT)}"),
        ("notify.0.connection", f"Project adutora.yaml:{line('notify:', PROJECT)}"),
        ("name", "pipeline.yaml:3"),
        ("namespace", "default of the spec"),
    ],
)
def test_origin(path: str, origin: str, origins: Callable[[str], str]) -> None:
    assert origins(path) == origin


def test_every_value_of_the_dagconfig_is_explained(tmp_path: Path) -> None:
    """Put together again, the explained values are the DagConfig."""
    loaded = load_pipeline(write(tmp_path))
    body = json.loads(compiled(loaded))
    leaves = list(_leaves({key: value for key, value in body.items() if key != "hash"}))
    explained = [json.dumps(each.value) for each in explain(loaded) if ".dependsOn" not in each.path]
    assert sorted(json.dumps(leaf) for leaf in leaves) == sorted(explained)


def _leaves(value: Any) -> Any:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            if key != "dependsOn":
                yield from _leaves(item)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def test_a_project_in_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("both.yaml").write_text(f"{PROJECT}---\n{PIPELINE}")
    values = {each.path: each.origin for each in explain(load_pipeline("both.yaml"))}
    assert values["lake.root"] == f"Project both.yaml:{line('lake:', PROJECT)}"


def test_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)
    values = {each.path: each.origin for each in explain(load_pipeline("p.yaml"))}
    assert (values["lake.root"], values["timezone"]) == ("default of the spec", "built-in")


# The command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert main(["compile", str(path)]) == 0
    text = capsys.readouterr().out
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert main(["compile", str(path), "--out", str(tmp_path / "out.json")]) == 0
    assert (tmp_path / "out.json").read_text() == text
    assert capsys.readouterr().out == ""
    assert main(["compile", str(path), "--explain"]) == 0
    assert "stages.silver.retries" in capsys.readouterr().out
    assert main(["compile", str(path), "--explain", "--output", "json"]) == 0
    assert {"path", "value", "origin"} == set(json.loads(capsys.readouterr().out)[0])


def test_command_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path)
    assert main(["compile", str(path), "--out", str(tmp_path / "no" / "out.json")]) == 78
    assert "cannot write" in capsys.readouterr().err
    assert main(["compile", str(path), "--output", "text"]) == 78
    assert main(["compile", str(tmp_path / "none.yaml")]) == 78


def test_an_escaped_dollar_in_prose_is_plain_for_people(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  description: costs $$(5)\n"
        "  tables: [{name: bronze.a, description: 'in $$(k)'}]\n"
        "  stages: [{name: a, description: 'a $$(b)', sql: {query: SELECT 1 AS n}, output: {table: bronze.a}}]\n"
    )
    loaded = load_pipeline(path)
    config = compile_pipeline(loaded.pipeline, loaded.project)
    assert (config.description, config.stages[0].description) == ("costs $(5)", "a $(b)")
    assert config.tables["bronze.a"]["description"] == "in $(k)"
