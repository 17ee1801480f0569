"""Structure: every error at once, in the spec's words, and no follow-ups."""

import time
import typing
from collections.abc import Callable

import pytest

from adutora.spec import base, model_service, pipeline, project
from adutora.spec.yamlfile import loads
from adutora.validate import Validation
from adutora.validate.fields import choices, fields_of, model_of
from adutora.validate.structural import check_structure
from adutora.validate.wording import _PATTERNS

Findings = Callable[..., list[str]]

CASES = {
    "unknown field": ("stages: [{name: a, probe: {connection: online}, depends_on: [b]}]", ["unknown field `depends_on` (did you mean `dependsOn`?)"]),
    "belongs below": ("stages: [{name: a, ingest: {files: {path: x.csv, delimiter: ;}}, output: {table: a.b}}]", ["unknown field `delimiter` (`delimiter` belongs in `csv`)"]),
    "belongs above": ("stages: [{name: a, sql: {query: SELECT 1, output: {table: a.b}}, output: {table: a.b}}]", ["unknown field `output` (`output` belongs beside `sql`)"]),
    "belongs elsewhere": ("stages: [{name: a, sql: {query: SELECT 1}, output: {table: a.b, partitionBy: [c]}}]", ["unknown field `partitionBy` (`partitionBy` belongs in `spec.tables[]`)"]),
    "attribute name of an alias": ("tables: [{name: a.b, schema_: freeze}]\nstages: [{name: a, sql: {query: SELECT 1}, output: {table: a.b}}]", ["unknown field `schema_` (did you mean `schema`?)"]),
    "unknown type": ("stages: [{name: a, sqll: {query: SELECT 1}, output: {table: a.b}}]", ["unknown field `sqll` (did you mean `sql`?)"]),
    "no type": ("stages: [{name: a}]", ["the stage has no type (give exactly one of `ingest`, `sql`,"]),
    "two types": ("stages: [{name: a, probe: {connection: online}, sql: {query: SELECT 1}}]", ["`sql` needs an `output`", "spec.stages[0].sql: gives `sql` and `probe` (keep one"]),
    "missing": ("stages: [{name: a, probe: {}}]", ["spec.stages[0].probe: `connection` is missing (Connection of any type)"]),
    "misspelt is not missing as well": ("stages: [{name: a, probe: {conection: online}}]", ["unknown field `conection` (did you mean `connection`?)"]),
    "misspelt name": ("stages: [{nam: a, probe: {connection: online}}]", ["unknown field `nam` (did you mean `name`?)"]),
    "enum": ("stages: [{name: a, sql: {query: SELECT 1}, output: {table: a.b, mode: apend}}]", ['"apend" is none of overwrite, append, overwritePartitions, merge (did you mean `append`?)']),
    "pattern": ("stages: [{name: A b, probe: {connection: online}}]", ['"A b" does not fit (write lower-case letters, digits and `-`']),
    "table name": ("stages: [{name: a, sql: {query: SELECT 1}, output: {table: Gold}}]", ['"Gold" does not fit (write `layer.name` in lower-case']),
    "text for a number": ('concurrency: "3"\nstages: [{name: a, probe: {connection: online}}]', ['must be a whole number, not "3" (write 3, without quotes)']),
    "number for a text": ("owner: 5\nstages: [{name: a, probe: {connection: online}}]", ['must be text, not the number 5 (write "5")']),
    "numbers for texts": ("tags: [0o7, 0x1F, 1e3, 1.50, True]\nstages: [{name: a, probe: {connection: online}}]", ['must be text, not the number 0o7 (write "0o7")', 'the number 0x1F (write "0x1F")', '(write "1e3")', 'not the number 1.50 (write "1.50")', 'not true (write "True")']),
    "truth for a text": ("owner: true\nstages: [{name: a, probe: {connection: online}}]", ['must be text, not true (write "true")']),
    "fraction": ("concurrency: 1.5\nstages: [{name: a, probe: {connection: online}}]", ["must be a whole number, not the number 1.5"]),
    "bounds": ("concurrency: 0\nstages: [{name: a, probe: {connection: online}}]", ["the number 0 is out of bounds (write a number of at least 1)"]),
    "text for a list": ("tags: demo\nstages: [{name: a, probe: {connection: online}}]", ['must be a list, not "demo" (write [demo])']),
    "map for a list": ("stages: {name: a}", ["must be a list, not a map of fields (begin each item with `- `)"]),
    "nothing": ("stages:", ["has no value (write a list)"]),
    "empty list": ("stages: []", ["is empty (write at least 1 item)"]),
    "no item": ("stages: [5, {name: a, probe: {connection: online}}]", ["spec.stages[0]: must be a map of fields, not the number 5"]),
    "duration": ("timeout: 60\nstages: [{name: a, probe: {connection: online}}]", ["60 has no unit (write a number and s, m, h, d or w"]),
    "quantity": ("stages: [{name: a, probe: {connection: online}, resources: {memory: 5GB, cpu: fast}}]", ["'5GB' is no amount of bytes (write for", "'fast' is no amount of CPU (write"]),
    "union": ("stages: [{name: a, probe: {connection: online}, when: 5}]", ["must be text or true or false, not the number 5"]),
    "one of": ("triggers: [{timezone: UTC}]\nstages: [{name: a, probe: {connection: online}}]", ["something is missing (give exactly one of `cron`, `assets`, `files`)"]),
    "key of a map": ("stages: [{name: a, http: {connection: web, path: /, outputs: {1a: $.x}}}]", ["`web` is not known", '"1a" does not fit']),
    "yaml 1.1 text": ("tags: [NO]\nstages: [{name: a, probe: {connection: online}}]", ['YAML 1.1 reads NO as false (write "NO")']),
    "yaml 1.1 truth": ("suspend: yes\nstages: [{name: a, probe: {connection: online}}]", ["YAML 1.1 reads yes as true (write true)"]),
    "yaml 1.1 key": ("on: x\nstages: [{name: a, probe: {connection: online}}]", ["YAML 1.1 reads this key as true)"]),
    "yaml 1.1 free key": ("stages: [{name: a, python: {function: m:f, args: {on: 1_000}}}]", ['reads the key on as true (write "on")', 'reads 1_000 as a number (write "1_000")']),
    "yaml 1.1 letter": ("tags: [n]\nstages: [{name: a, probe: {connection: online}}]", ["warning spec.tags[0]: YAML 1.1 reads n as false"]),
    "reference where none may stand": ("params: [{name: t}]\nstages: [{name: a, sql: {query: SELECT $(params.t)}, output: {table: $(params.t)}}]", ["`$(…)` may not stand here (write the value itself)"]),
    "both an unknown field and a wrong one": ("ownr: 5\nstages: [{name: a, retries: x, probe: {connection: online}, dependsOn: [b]}]", ["unknown field `ownr` (did you mean `owner`?)", "must be a whole number", "there is no stage `b`"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_error_once(name: str, findings: Findings) -> None:
    text, expected = CASES[name]
    found = findings(text)
    assert len(found) == len(expected), found
    for one, part in zip(found, expected, strict=True):
        assert part in one


def test_what_refers_to_a_broken_part_is_not_blamed(findings: Findings) -> None:
    found = findings("""
        params: [{name: day, type: dat}]
        tables:
          - {name: silver.a, key: [id], columns: [{name: id}]}
        stages:
          - {name: a, sqll: {query: SELECT 1}, output: {table: bronze.a, mode: apend}}
          - {name: b, dependsOn: [a], inputs: [{table: bronze.a}], sql: {query: SELECT $(params.day)}, output: {table: silver.a, mode: merge}}
          - {name: c, when: $(stages.a.outputs.x), quality: {checks: [{rowCount: {min: 1}}]}, input: {tabel: silver.a}}
    """)
    assert [line.split(":")[0] for line in found] == [
        "error spec.params[0].type",
        "error spec.tables[0].columns[0]",
        "error spec.stages[0].sqll",
        "error spec.stages[0].output.mode",
        "error spec.stages[2].input.tabel",
    ]


def test_places_hold_after_something_was_cut_out_before(findings: Findings) -> None:
    found = findings("""
        params: [5, {name: a, type: date, default: x}]
        tables:
          - {name: silver.a, checks: [{x: z}, 5, {rowCount: {min: 2, max: 1}}]}
        stages:
          - 5
          - {name: s, inputs: [{table: Xyz}, {table: a.b}], sql: {query: SELECT $(params.a)}, output: {table: silver.a}}
    """)
    assert [line.split(":")[0] for line in found if "must be a map" not in line and "does not fit" not in line] == [
        "error spec.params[1].default",
        "error spec.tables[0].checks[0].x",
        "error spec.tables[0].checks[2].rowCount.min",
        "error spec.stages[1].inputs[1].table",
    ]


def places(found: list[str]) -> list[str]:
    return [line.split(": ")[0].split()[-1] for line in found]


def test_an_alias_hides_nothing_and_nobody_is_blamed_for_it(check: Callable[..., Validation]) -> None:
    found = check("""
        ownr: &me team
        concurrency: *me
        tags: [*me, 5]
        stages:
          - *me
          - {name: a, <<: *me, dependsOn: [zz]}
          - {name: b, sql: *me, output: {table: a.b}}
          - {name: c, when: *me, probe: {connection: online}, dependsOn: [b, d]}
    """).diagnostics
    other = [each for each in found if "refused" not in each.message]
    assert len(found) - len(other) == 8
    assert [(each.path, each.line) for each in other] == [
        ("spec.ownr", 5),
        ("spec.tags[1]", 7),
        ("spec.stages[1].dependsOn[0]", 10),
        ("spec.stages[3].dependsOn[1]", 12),
    ]


def test_two_blocks_hide_no_error_in_either(findings: Findings) -> None:
    found = findings("""
        triggers:
          - {cron: 61 * * * *, timezone: Mars/X, assets: {all: 5}}
          - {assets: {any: [a.b]}, files: {stage: nobody}}
        tables: [{name: a.b, columns: [{name: a, type: long}, {name: c, type: date}], checks: [{notNull: [aa], sql: SELEC 1, unique: [cc]}]}]
        stages:
          - {name: s, sql: {query: SELECT 1, qury: x}, python: {function: 5}, output: {table: a.b}}
          - {name: t, probe: {connection: online}, sql: {query: SELEC 2}, output: {table: a.c}}
    """)
    assert sorted(places(found)) == sorted([
        "spec.triggers[0].assets", "spec.triggers[0].assets.all", "spec.triggers[0].cron", "spec.triggers[0].timezone",
        "spec.triggers[1].files", "spec.triggers[1].files.stage",
        "spec.tables[0].checks[0].unique", "spec.tables[0].checks[0].notNull[0]", "spec.tables[0].checks[0].sql",
        "spec.tables[0].checks[0].unique[0]",
        "spec.stages[0].python", "spec.stages[0].sql.qury", "spec.stages[0].python.function",
        "spec.stages[1].sql", "spec.stages[1].sql.query",
    ])  # fmt: skip


def test_structure_and_meaning_are_told_in_one_run(findings: Findings) -> None:
    found = findings("""
        owner: 5
        stages:
          - {name: a, sql: {query: SELEC 1}, output: {table: a.b}}
          - {name: b, dependsOn: [c], probe: {conection: online}}
          - {name: c, dependsOn: [b], probe: {connection: online}}
    """)
    assert [line.split(":")[0] for line in found] == [
        "error spec.owner",
        "error spec.stages[0].sql.query",
        "error spec.stages[1].dependsOn[0]",
        "error spec.stages[1].probe.conection",
    ]
    assert "b -> c -> b" in found[2]


@pytest.mark.parametrize(
    "text", ["metadata: 5\nspec: {}", "metadata: {name: X}", "spec: 5", "metadata: {name: a}\nspec:"]
)
def test_an_envelope_that_is_wrong(text: str) -> None:
    document = loads("apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\n" + text).documents[0]
    assert check_structure(document, pipeline.Pipeline).diagnostics


@pytest.mark.slow
def test_hostile_documents_end_soon() -> None:
    start = time.process_time()
    head = "apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n"
    many = head + "".join(f"  field{n}: 1\n" for n in range(10_000))
    found = check_structure(loads(many).documents[0], pipeline.Pipeline).diagnostics
    assert 200 <= len(found) <= 201
    stages = head + "  stages:\n" + "".join(f"  - {{nam: x{n}, sqll: {{}}}}\n" for n in range(5_000))
    assert len(check_structure(loads(stages).documents[0], pipeline.Pipeline).diagnostics) == 1
    assert time.process_time() - start < 5


def _patterns(annotation: object) -> set[str]:
    found = {each.pattern for each in getattr(annotation, "__metadata__", ()) if getattr(each, "pattern", None)}
    for each in getattr(annotation, "__metadata__", ()):
        found |= {part.pattern for part in getattr(each, "metadata", ()) if getattr(part, "pattern", None)}
    for each in typing.get_args(annotation):
        if not isinstance(each, str):
            found |= _patterns(each)
    return found


def _models(model: type[base.Spec]) -> set[type[base.Spec]]:
    found, queue = {model}, [model]
    for each in queue:
        for annotation in fields_of(each).values():
            for part in [annotation, *(arg for choice in choices(annotation) for arg in typing.get_args(choice))]:
                below = model_of(part) if not isinstance(part, str) else None
                if below is not None and below not in found:
                    found.add(below)
                    queue.append(below)
    return found


def test_every_pattern_of_the_spec_has_words() -> None:
    kinds = (pipeline.Pipeline, project.Project, model_service.ModelService)
    found = {
        pattern
        for kind in kinds
        for model in _models(kind)
        for annotation in fields_of(model).values()
        for pattern in _patterns(annotation)
    }
    assert len(found) > 5
    assert found <= set(_PATTERNS)
