"""Objects of the API server: the same checks as files, places by path, and the older of two writers is right.

That every finding of a file is found in an object too is seen by `findings` in conftest.py.
"""

import copy
import json
import time
from types import MappingProxyType
from typing import Any

import pytest

from adutora.spec.project import EMBEDDED
from adutora.spec.yamlfile import MAX_BYTES, loads
from adutora.validate.objects import Neighbourhood, Validated, validate_objects, validate_project

Json = dict[str, Any]


def pipeline(name: str = "x", made: str | None = "2026-01-02T00:00:00Z", **spec: Any) -> Json:
    """A Pipeline as the API server gives it."""
    times = {"creationTimestamp": made} if made else {}
    return {
        "apiVersion": "adutora.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": "4ab0",
            "resourceVersion": "12",
            "generation": 3,
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 20_000},
            "finalizers": ["adutora.dev/x"],
            **times,
        },
        "spec": {"stages": [{"name": "p", "probe": {"connection": "online"}}], **spec},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def project(**spec: Any) -> Json:
    metadata = {"name": "default", "namespace": "team", "uid": "9"}
    return {"apiVersion": "adutora.dev/v1alpha1", "kind": "Project", "metadata": metadata, "spec": spec}


def sql(table: str, name: str = "s", query: str = "SELECT 1", **more: Any) -> Json:
    return {"name": name, "sql": {"query": query}, "output": {"table": table}, **more}


def publish(prefix: str) -> Json:
    return {"name": "out", "input": {"table": "a.b", "external": True}, "publish": {"key": ["k"], "prefix": prefix}}


def lines(found: Validated) -> list[str]:
    return [str(each) for each in found.diagnostics]


def test_what_is_right_gives_the_models() -> None:
    found = validate_objects(pipeline(), project(description="d"), [])
    assert (found.ok, found.diagnostics, found.errors) == (True, (), ())
    assert found.pipeline is not None
    assert (found.pipeline.metadata.name, found.pipeline.metadata.namespace) == ("x", "team")
    assert found.project.spec.description == "d"
    assert validate_objects(pipeline(), None, []).project is EMBEDDED


def test_views_that_cannot_be_changed_are_taken() -> None:
    frozen = MappingProxyType({**pipeline(), "spec": MappingProxyType(pipeline()["spec"])})
    assert validate_objects(frozen, None, []).ok


def test_an_item_of_a_list_needs_no_kind() -> None:
    item = pipeline()
    del item["apiVersion"], item["kind"]
    assert validate_objects(item, None, []).ok


def test_the_object_is_left_as_it_was() -> None:
    given, declared = pipeline(ownr="x"), project(lak={})
    before = copy.deepcopy([given, declared])
    validate_objects(given, declared, [given])
    assert [given, declared] == before


def test_places_are_paths_and_inside_a_text_lines() -> None:
    stages = [
        sql("a.a", query="SELECT 1,\n  FROM WHERE"),
        {"name": "w", "wehn": "x", "probe": {"connection": "online"}},
        sql("a.c", name="r", query="SELECT 1\n WHERE $(params.x)"),
    ]
    assert lines(validate_objects(pipeline(stages=stages, owner=5), None, [])) == [
        'spec.stages[0].sql.query:2:8: error: the SQL does not parse: syntax error at or near "WHERE"',
        "spec.stages[1].wehn: error: unknown field `wehn` (did you mean `when`?)",
        "spec.stages[2].sql.query:2:8: error: there is no parameter `x` (add it to `params`: {name: x})",
        'spec.owner: error: must be text, not the number 5 (write "5")',
    ]


def test_other_places_are_named_by_their_path() -> None:
    stages = [sql("a.a"), sql("a.a", name="t"), sql("a.b", name="t")]
    assert lines(validate_objects(pipeline(stages=stages), None, [])) == [
        "spec.stages[1].output.table: error: a.a is written by stage `s` of team.x as well (one stage writes a table; "
        "write another table, and bring them together with `sql`)",
        "spec.stages[2].name: error: the stage `t` stands twice: here and in spec.stages[1].name (rename one of them)",
    ]


def test_a_broken_project_is_named() -> None:
    found = validate_objects(pipeline(), project(lak={}), [])
    assert (found.ok, found.pipeline) == (False, None)
    assert lines(found) == ["Project default spec.lak: error: unknown field `lak` (did you mean `lake`?)"]


def test_without_a_project_what_it_would_declare_is_missing() -> None:
    broken = pipeline(stages=[{"name": "p", "profile": "big", "probe": {"connection": "web"}}])
    assert lines(validate_objects(broken, None, [])) == [
        "spec.stages[0].profile: error: the profile `big` is not known: the namespace has no Project "
        "(apply a Project that declares it)",
        "spec.stages[0].probe.connection: error: the connection `web` is not known: the namespace has no Project "
        "(apply a Project that declares it)",
    ]


def test_tables_of_neighbours_are_known() -> None:
    reader = pipeline(stages=[sql("a.b", input={"table": "a.source"})])
    assert "nobody writes the table a.source" in lines(validate_objects(reader, None, []))[0]
    writer = pipeline("w", stages=[sql("a.source")])
    assert validate_objects(reader, None, [writer]).ok
    elsewhere = {**writer, "metadata": {**writer["metadata"], "namespace": "other"}}
    assert "nobody writes" in lines(validate_objects(reader, None, [elsewhere]))[0]
    near = pipeline("w", stages=[sql("a.sourse")])
    assert "did you mean `a.sourse`?" in lines(validate_objects(reader, None, [near]))[0]


@pytest.mark.parametrize(
    ("block", "thing"), [(sql("a.a"), "a.a is written"), (publish("p"), "the prefix p is published")]
)
def test_the_older_of_two_writers_is_right(block: Json, thing: str) -> None:
    old = pipeline("zoo", "2026-01-01T00:00:00Z", stages=[block])
    young = pipeline("ant", "2026-01-02T00:00:00Z", stages=[block])
    assert validate_objects(old, None, [young]).ok
    found = validate_objects(young, None, [old])
    assert len(found.errors) == 1
    assert f"{thing} by stage `{block['name']}` of team.zoo as well" in found.errors[0].message
    # Of one age the names decide; what the API server has not made yet is the youngest.
    twin = pipeline("bee", "2026-01-02T00:00:00Z", stages=[block])
    assert validate_objects(young, None, [twin]).ok
    assert not validate_objects(twin, None, [young]).ok
    assert not validate_objects(pipeline("aaa", None, stages=[block]), None, [old]).ok


def test_a_pipeline_is_no_neighbour_of_its_own() -> None:
    before = pipeline(made="2026-01-01T00:00:00Z", stages=[sql("a.a"), sql("a.gone", name="t")])
    now = pipeline(made="2026-01-01T00:00:00Z", stages=[sql("a.a")])
    assert validate_objects(now, None, [before]).ok
    reads = pipeline(stages=[sql("a.a", input={"table": "a.gone"})])
    assert not validate_objects(reads, None, [before]).ok


def test_a_neighbourhood_that_is_kept() -> None:
    hood = Neighbourhood([pipeline("old", "2025-01-01T00:00:00Z", stages=[sql("a.a")])])
    mine = pipeline(stages=[sql("a.a")])
    hood.put(mine)
    assert not validate_objects(mine, None, hood).ok
    hood.put(pipeline("old", "2025-01-01T00:00:00Z", stages=[sql("a.b")]))
    assert validate_objects(mine, None, hood).ok
    hood.put(pipeline("old", "2025-01-01T00:00:00Z", stages=[sql("a.a")]))
    hood.drop("team", "old")
    hood.drop("team", "never-there")
    assert validate_objects(mine, None, hood).ok


def test_neighbours_of_any_shape_break_nothing() -> None:
    junk: list[Json] = [
        {},
        {"metadata": None, "spec": 5},
        {"metadata": {"name": "a"}, "spec": {"stages": "x"}},
        {"metadata": {"name": "b"}, "spec": {"stages": [5, {"output": []}, {"output": {"table": {}}, "publish": {"prefix": []}}]}},
    ]  # fmt: skip
    assert validate_objects(pipeline(), None, junk).ok


def test_a_project_that_is_checked_once() -> None:
    declared = validate_project(project(connections=[{"name": "web", "http": {"baseUrl": "https://x"}}]))
    assert declared.project is not None
    stages = [{"name": "p", "probe": {"connection": "web"}}]
    for _ in range(2):
        assert validate_objects(pipeline(stages=stages), declared, []).ok


@pytest.mark.parametrize("spec", [None, 5, [], "x"])
def test_a_spec_of_another_shape(spec: object) -> None:
    found = validate_objects({**pipeline(), "spec": spec}, None, [])
    assert [each.path for each in found.errors] == ["spec"]


def test_an_object_without_its_parts() -> None:
    assert [each.path for each in validate_objects({}, None, []).errors] == ["", "metadata"]
    assert lines(validate_objects({}, None, []))[0].startswith("the object: error: `spec` is missing")


def test_size_and_depth_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(3000):
        deep = [deep]
    stages = [{"name": "s", "python": {"function": "m:f", "args": {"a": deep}}}]
    assert lines(validate_objects(pipeline(stages=stages), None, [])) == [
        "the object: error: is nested more than 40 levels deep (no field is so deep)"
    ]
    large = pipeline(tags=["x"] * (MAX_BYTES // 2))
    assert "is larger than 200 KiB" in lines(validate_objects(large, None, []))[0]


def test_no_object_is_too_large_whose_file_is_not() -> None:
    text = json.dumps(
        pipeline(description="é\n" * 50, tags=["a"] * 50)["spec"], separators=(",", ":"), ensure_ascii=False
    )
    from adutora.validate.objects import _document, _Reader  # the bound itself

    reader = _Reader(_document({"spec": loads(text).documents[0].value}, "Pipeline"))
    assert reader.read() is None
    assert reader.size < len(text.encode())


def test_a_hundred_small_pipelines_a_second() -> None:
    """It does some 700 on one core of a laptop; the bound leaves room for a busy one."""
    small = pipeline(
        params=[{"name": "save", "type": "boolean", "default": False}],
        triggers=[{"cron": "@daily", "timezone": "America/Sao_Paulo"}],
        tables=[{"name": "a.a", "key": ["k"], "checks": [{"notNull": ["k"]}]}],
        stages=[sql("a.a"), publish("p") | {"when": "$(params.save)"}],
    )
    hood = Neighbourhood(pipeline(f"n{number}", stages=[sql(f"b.t{number}")]) for number in range(1000))
    assert validate_objects(small, None, hood).ok
    start = time.process_time()
    for _ in range(50):
        validate_objects(small, None, hood)
    assert time.process_time() - start < 0.5


def test_what_no_pod_can_use_is_refused_for_pods() -> None:
    laptop = project(
        lake={"layers": [{"name": "gold", "root": "gold"}]},
        filesRoot="files",
        connections=[
            {"name": "online", "sqlite": {"path": "/data/online.db"}},
            {"name": "inbox", "folder": {"path": "inbox"}},
            {"name": "mounted", "folder": {"path": "/inbox"}},
        ],
    )
    assert validate_project(laptop).diagnostics == ()
    volume = "which a pod does not have (an s3:// URL, or the absolute path of a mounted volume)"
    assert sorted(map(str, validate_project(laptop, for_pods=True).diagnostics)) == [
        "Project default spec.connections[0].sqlite: error: the SQLite online store is a file, and no two pods share "
        "one (give the connection a `redis` block)",
        "Project default spec.connections[1].folder.path: error: is 'inbox', and a pod has no folder that it could "
        "count from (use a connection of type s3, or the absolute path of a mounted volume)",
        f"Project default spec.filesRoot: error: is the relative folder 'files', {volume}",
        f"Project default spec.lake.layers[0].root: error: is the relative folder 'gold', {volume}",
        f"Project default spec.lake.root: error: is the relative folder 'lake', {volume}",
    ]


def test_a_cluster_has_no_online_store_of_its_own() -> None:
    bare = validate_project(project(lake={"root": "s3://a/lake"}), for_pods=True)
    assert bare.project is not None
    assert validate_objects(pipeline(), project(lake={"root": "s3://a/lake"})).ok
    (wrong,) = validate_objects(pipeline(), bare).errors
    assert str(wrong).startswith("spec.stages[0].probe.connection: error: the Project has no connection `online`")
    redis = project(lake={"root": "/lake"}, connections=[{"name": "online", "redis": {"host": "r"}}])
    assert validate_objects(pipeline(), validate_project(redis, for_pods=True)).ok


def test_what_a_program_acts_on_has_a_code() -> None:
    older = pipeline("older", "2026-01-01T00:00:00Z", stages=[sql("a.a")])
    twice = validate_objects(pipeline(stages=[sql("a.a"), sql("b.b", "t"), sql("b.b", "u")]), None, [older])
    assert [(each.path, each.code) for each in twice.errors] == [
        ("spec.stages[0].output.table", "TableConflict"),
        ("spec.stages[2].output.table", None),
    ]
    huge = validate_objects(pipeline(description="x" * MAX_BYTES), None)
    assert [each.code for each in huge.errors] == ["TooLarge"]
