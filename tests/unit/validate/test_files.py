"""Files together: which Project holds, who writes what, and what comes out of `load_pipeline`."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adutora.errors import EXIT_CONFIG
from adutora.spec.project import EMBEDDED
from adutora.spec.yamlfile import loads
from adutora.validate import ValidationFailed, load_pipeline, validate_files

Write = Callable[..., Path]
PROBE = "stages: [{name: p, probe: {connection: online}}]"
PROJECT = "apiVersion: adutora.dev/v1alpha1\nkind: Project\nmetadata: {name: %s}\nspec:\n"


def head(name: str, namespace: str | None = None) -> str:
    metadata = f"{{name: {name}, namespace: {namespace}}}" if namespace else f"{{name: {name}}}"
    return f"apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {metadata}\nspec:\n"


def stage(table: str, reads: str | None = None) -> str:
    inputs = f"input: {{table: {reads}}}, " if reads else ""
    return f"stages: [{{name: s, {inputs}sql: {{query: SELECT 1}}, output: {{table: {table}}}}}]"


def messages(*paths: Path) -> list[str]:
    return [f"{Path(each.file).name}:{each.line}: {each.message}" for each in validate_files(paths).diagnostics]


def test_load_pipeline_with_the_embedded_project(write: Write) -> None:
    path = write(PROBE)
    loaded = load_pipeline(path)
    assert (loaded.pipeline.metadata.name, loaded.project, loaded.project_path) == ("x", EMBEDDED, None)
    assert (loaded.path, loaded.warnings) == (path, ())
    assert loaded.source.places["spec", "stages", 0, "name"].line == 4


def test_load_pipeline_raises_everything(write: Write) -> None:
    path = write("owner: 5\nsuspendd: true\n" + PROBE)
    with pytest.raises(ValidationFailed, match=r"pipeline.yaml:5:10: must be text.*and 1 more") as caught:
        load_pipeline(path)
    assert caught.value.exit_code == EXIT_CONFIG
    assert len(caught.value.diagnostics) == 2
    assert caught.value.sources[str(path)][4] == "  owner: 5"


def test_load_pipeline_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValidationFailed, match="cannot be read"):
        load_pipeline(tmp_path / "x.yaml")


def test_load_pipeline_picks_one_of_several(write: Write) -> None:
    path = write(PROBE)
    path.write_text(f"{head('a')}  {PROBE}\n---\n{head('b')}  {PROBE}\n")
    with pytest.raises(ValidationFailed, match="has several pipelines") as caught:
        load_pipeline(path)
    assert caught.value.hint == "it has a, b; name one"
    assert load_pipeline(path, name="b").pipeline.metadata.name == "b"
    with pytest.raises(ValidationFailed, match="has no pipeline c"):
        load_pipeline(path, name="c")


def test_a_project_file_alone_is_no_pipeline(write: Write) -> None:
    path = write("description: x", "adutora.yaml", PROJECT % "a")
    assert validate_files([path]).ok
    with pytest.raises(ValidationFailed, match="has no pipeline"):
        load_pipeline(path)


def test_the_nearest_project_holds(write: Write) -> None:
    outer = write("description: x", "adutora.yaml", PROJECT % "outer")
    path = write(PROBE, "team/a/pipeline.yaml")
    assert load_pipeline(path).project.metadata.name == "outer"
    inner = write("description: x", "team/adutora.yaml", PROJECT % "inner")
    loaded = load_pipeline(path)
    assert loaded.project.metadata.name == "inner"
    assert loaded.project_path is not None
    assert loaded.project_path.resolve() == inner.resolve()
    assert validate_files([path, outer]).pipelines[0].project.metadata.name == "inner"


def test_a_project_in_the_same_file_goes_first(write: Write) -> None:
    write("description: x", "adutora.yaml", PROJECT % "outer")
    path = write(PROBE)
    path.write_text(f"{PROJECT % 'same'}  description: x\n---\n{head('a')}  {PROBE}\n")
    assert load_pipeline(path).project.metadata.name == "same"
    assert validate_files([path.parent / "adutora.yaml", path]).pipelines[0].project.metadata.name == "same"


def test_errors_of_the_project_are_told(write: Write) -> None:
    write("lak: x", "adutora.yaml", PROJECT % "outer")
    assert messages(write(PROBE)) == ["adutora.yaml:5: unknown field `lak`"]


def test_files_see_one_anothers_tables(write: Write) -> None:
    one, two = write(stage("a.a"), "1.yaml", head("one")), write(stage("a.b", "a.a"), "2.yaml", head("two"))
    assert messages(two) == ["2.yaml:5: nobody writes the table a.a"]
    assert messages(two, one) == []
    assert load_pipeline(two, others=[one]).pipeline.metadata.name == "two"


def test_namespaces_do_not_mix(write: Write) -> None:
    one = write(stage("a.a"), "1.yaml", head("x", "team"))
    two = write(stage("a.a"), "2.yaml", head("x"))
    assert messages(one, two) == []
    assert messages(one, write(stage("a.b", "a.a"), "3.yaml", head("third"))) == [
        "3.yaml:5: nobody writes the table a.a"
    ]


def test_two_files_that_write_one_table(write: Write) -> None:
    one, two = write(stage("a.a"), "1.yaml", head("one")), write(stage("a.a"), "2.yaml", head("two"))
    found = messages(one, two)
    assert [line[:46] for line in found] == [
        "1.yaml:5: a.a is written by stage `s` of defau",
        "2.yaml:5: a.a is written by stage `s` of defau",
    ]
    assert "default.two" in found[0]
    assert "default.one" in found[1]


def test_two_files_that_publish_one_prefix(write: Write) -> None:
    text = "stages: [{name: s, input: {table: a.a, external: true}, publish: {key: [k], prefix: p}}]"
    one, two = write(text, "1.yaml", head("one")), write(text, "2.yaml", head("two"))
    assert [line[:63] for line in messages(one, two)] == [
        "1.yaml:5: the prefix p is published by stage `s` of default.two",
        "2.yaml:5: the prefix p is published by stage `s` of default.one",
    ]
    other = write(text.replace("prefix: p", "prefix: q"), "3.yaml", head("three"))
    assert messages(one, other) == []
    # Without a Project each folder has an online store of its own.
    assert messages(one, write(text, "folder/4.yaml", head("four"))) == []


def test_two_pipelines_of_one_name(write: Write) -> None:
    one, two = write(PROBE, "1.yaml"), write(PROBE, "2.yaml")
    found = messages(one, two)
    assert len(found) == 1
    assert found[0].startswith("2.yaml:3: there is another Pipeline `x`, in ")


def test_the_same_file_twice_is_one(write: Write) -> None:
    path = write(stage("a.a"))
    found = validate_files([path, path, path.parent / "." / path.name])
    assert (found.ok, len(found.files)) == (True, 1)


def test_a_folder_holds_our_files_only(write: Write, tmp_path: Path) -> None:
    write(PROBE, "b/pipeline.yml")
    write(PROBE, "a/pipeline.yaml", head("a"))
    write("a: 1", ".hidden/pipeline.yaml")
    write("a: 1", "values.yaml", "image: x\nmore:\n")
    write("a: 1", "a.txt")
    found = validate_files([tmp_path])
    assert [str(file.relative_to(tmp_path)) for file in found.files] == ["a/pipeline.yaml", "b/pipeline.yml"]
    assert found.ok


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Pipeline\nmetadata: {name: x}\nspec: {}\n", ["`apiVersion` is missing", "`stages` is missing"]),
        ("apiVersion: adutora.dev/v1\nkind: Pipeline\n", ["adutora.dev/v1 is no version that is known"]),
        ("apiVersion: adutora.dev/v1alpha1\nkind: Pipelin\n", ["unknown kind Pipelin"]),
        ("apiVersion: adutora.dev/v1alpha1\nkind: Zebra\n", ["unknown kind Zebra"]),
        ("apiVersion: adutora.dev/v1alpha1\nkind: [a]\n", ["`kind` must be text"]),
        ("apiVersion: v1\nkind: ConfigMap\n", ["has no document of adutora.dev/v1alpha1"]),
        ("- a\n", ["is no document of fields"]),
        ("hello", ["is no document of fields"]),
    ],
)
def test_documents_that_are_not_ours(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    found = [each.message for each in validate_files([path]).diagnostics]
    assert [part for part in expected if part not in found] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: Pipelin\napiVersion: adutora.dev/v1\n", ["unknown kind Pipelin", "adutora.dev/v1 is no version that is known"]),
        ("kind: Pipelin\napiVersion: v1alpha1\n", ["unknown kind Pipelin", "v1alpha1 is no version that is known"]),
        ("kind: Pipeline\napiVersion: adutra.dev/v1alpha1\n", ["adutra.dev/v1alpha1 is no version that is known"]),
        ("apiVersion: adutora.dev/v1\n", ["`kind` is missing", "adutora.dev/v1 is no version that is known"]),
        ("kind: Pipeline\n", ["`apiVersion` is missing"]),
    ],
)  # fmt: skip
def test_a_wrong_head_hides_nothing(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text + f"metadata: {{name: x}}\nspec:\n  ownr: x\n  {PROBE}\n")
    found = [each.message for each in validate_files([path]).diagnostics]
    assert found == [*expected, "unknown field `ownr`"]


def test_other_documents_beside_ours_are_passed_over(write: Write) -> None:
    path = write(PROBE)
    path.write_text("apiVersion: v1\nkind: ConfigMap\n---\n" + path.read_text())
    assert load_pipeline(path).pipeline.metadata.name == "x"


EVERYTHING = """
    description: Markdown
    triggers:
      - {cron: "@daily", timezone: America/Sao_Paulo, startDate: "2026-01-01", catchup: true}
      - {assets: {all: [silver.cities]}, minInterval: 15m}
      - {files: {stage: land, listEvery: 15m, batch: {maxFiles: 10, maxWait: 30s}}}
    params:
      - {name: input, default: data/companies.csv, pattern: ".+[.]csv"}
      - {name: save, type: boolean, default: false}
    tables:
      - name: silver.orders
        key: [id]
        partitionBy: [day]
        columns: [{name: id, type: long}, {name: day, type: date, required: true}, {name: amount, type: "decimal(12,2)"}]
        checks:
          - {range: {column: amount, min: 0}, onFail: quarantine, where: amount <> 1, name: no-refunds}
          - {references: {column: id, table: silver.stores, to: id}, onFail: warn}
          - {freshness: {column: day, maxAge: 2d}}
          - {sql: SELECT * FROM silver.orders WHERE amount > 1e9}
        maintenance: {optimize: 1d, vacuum: 7d}
    stages:
      - {name: up, probe: {connection: online}}
      - name: land
        dependsOn: [up]
        ingest: {files: {path: "orders/*.csv", read: new, csv: {delimiter: ";", decimal: ","}}}
        output: {table: bronze.orders, mode: append}
      - {name: scrape, python: {function: "m:f", args: {day: $(run.date)}}}
      - name: silver
        inputs:
          - {table: bronze.orders, read: new}
          - {table: silver.stores, external: true}
          - {name: cities, file: $(params.input), format: csv}
        sql: {query: "SELECT * FROM bronze.orders WHERE day <= $(run.date)"}
        output: {table: silver.orders, mode: merge, latestBy: _loaded_at, deleteWhere: op = 'D', missing: {action: mark}}
      - {name: tidy, input: {table: silver.orders}, clean: {dropNulls: [id]}, output: {table: gold.tidy}}
      - {name: gate, input: {table: gold.tidy}, quality: {checks: [{rowCount: {min: 1}}]}}
      - {name: out, when: $(params.save), input: {table: gold.tidy}, publish: {key: [a], prefix: city, ttl: 7d}}
      - {name: each, forEach: {values: $(stages.scrape.outputs.pages)}, python: {function: "m:g", args: {p: $(item)}}}
      - {name: own, container: {image: "x:1", args: ["$(date)"], env: [{name: DAY, value: $(run.date)}]}}
      - {name: after, runIf: failed, dependsOn: [own], when: "$(trigger.type) != 'manual'", probe: {connection: online}}
    """


def test_what_is_right_is_not_blamed(write: Write) -> None:
    assert messages(write(EVERYTHING)) == []


def _paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, step)
            yield from _paths(item, (*path, step))


@pytest.mark.slow
def test_anything_anywhere_is_told_and_nothing_breaks(write: Write) -> None:
    """Values in turn are replaced; JSON is YAML, so the file can be written as JSON."""
    path = write(EVERYTHING)
    whole = loads(path.read_text()).documents[0].value
    junk = [5, "x: $(", [{}], {"x": []}, None]
    for number, place in enumerate(list(_paths(whole))[::3]):
        broken = copy.deepcopy(whole)
        home = broken
        for step in place[:-1]:
            home = home[step]
        home[place[-1]] = junk[number % len(junk)]
        path.write_text(json.dumps(broken))
        found = validate_files([path]).diagnostics
        assert all(each.line > 0 and each.column > 0 and each.message for each in found), place
