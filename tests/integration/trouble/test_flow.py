"""What runs, what is skipped, and what a resumed run does again."""

import datetime as dt
import json
import os
import shutil
import signal
import time
from typing import Any

import pytest

from tests.integration.trouble.conftest import Lab, links, stages_of, until

pytestmark = pytest.mark.integration


def sql(name: str, query: str = "SELECT 1 AS a", **more: object) -> dict[str, object]:
    return {"name": name, "sql": {"query": query}, "output": {"table": f"silver.{name}"}, **more}


def own(name: str, function: str, **more: object) -> dict[str, object]:
    return {"name": name, "python": {"function": f"own:{function}"}, **more}


CODE = """
import pathlib
def fails(inputs):
    if not pathlib.Path('mended').exists():
        raise ValueError('broken')
def fine(inputs):
    with open('done', 'a') as file: file.write('x')
    return {'n': 3, 'items': ['a', 'b', 'c']}
def item(inputs, item):
    with open(f'item-{item}', 'a') as file: file.write('x')
    if item == 'b' and pathlib.Path('broken').exists():
        raise ValueError('no b today')
    return {'name': item.upper()}
def rows(inputs, item):
    return [{'item': item, 'n': n} for n in range(3)]
def peak(inputs, item):
    import os, time
    pathlib.Path(f'in-{item}').touch()
    most = len(list(pathlib.Path('.').glob('in-*')))
    time.sleep(0.4)
    pathlib.Path(f'in-{item}').unlink()
    return {'most': most}
"""


def test_when_is_false_skips_what_follows(lab: Lab) -> None:
    stages = [sql("one"), sql("two", when="$(params.go)", dependsOn=["one"]), sql("three", dependsOn=["two"])]
    lab.pipeline(*stages, params=[{"name": "go", "type": "boolean", "default": False}])
    result = lab.ok()
    assert result.statuses() == {"one": "succeeded", "two": "skipped", "three": "skipped"}
    assert not lab.exists("silver.two")
    assert set(lab.ok("-p", "go=true").statuses().values()) == {"succeeded"}


def test_run_if_failed_and_always(lab: Lab) -> None:
    lab.file("own.py", CODE)
    follow: dict[str, Any] = {"dependsOn": ["bad"]}
    lab.pipeline(
        own("bad", "fails"),
        sql("normal", **follow),
        sql("rescue", runIf="failed", **follow),
        sql("tidy", runIf="always", **follow),
    )
    result = lab.run()
    assert result.code == 65, result.text
    assert result.statuses() == {"bad": "failed", "normal": "skipped", "rescue": "succeeded", "tidy": "succeeded"}
    lab.file("mended", "")
    assert lab.ok().statuses() == {"bad": "succeeded", "normal": "succeeded", "rescue": "skipped", "tidy": "succeeded"}


def test_outputs_go_from_stage_to_stage(lab: Lab) -> None:
    lab.file("own.py", CODE)
    lab.pipeline(own("first", "fine"), sql("second", "SELECT $(stages.first.outputs.n) + 1 AS m"))
    lab.ok()
    assert lab.rows("silver.second") == [(4,)]


def test_an_output_that_is_not_there(lab: Lab) -> None:
    lab.file("own.py", CODE)
    lab.pipeline(own("first", "fine"), sql("second", "SELECT $(stages.first.outputs.m) AS m"))
    result = lab.run()
    assert result.code == 65, result.text
    assert "stages.first.outputs.m" in result.stage("second")["error"]


def test_fan_out_gathers_outputs(lab: Lab) -> None:
    lab.file("own.py", CODE)
    each = {"name": "each", "python": {"function": "own:item", "args": {"item": "$(item)"}}}
    lab.pipeline(
        own("first", "fine"), {**each, "forEach": {"values": "$(stages.first.outputs.items)"}},
        sql("after", "SELECT unnest($(stages.each.outputs.name)) AS name"),
    )  # fmt: skip
    result = lab.ok()
    assert result.stage("each")["outputs"] == {"name": ["A", "B", "C"]}
    assert [row[0] for row in lab.rows("silver.after")] == ["A", "B", "C"]


def test_fan_out_of_nothing(lab: Lab) -> None:
    lab.file("own.py", CODE)
    lab.pipeline(
        {"name": "each", "python": {"function": "own:item", "args": {"item": "$(item)"}}, "forEach": {"values": []}},
        sql("after", dependsOn=["each"]),
    )
    assert set(lab.ok().statuses().values()) == {"succeeded"}


def test_fan_out_one_item_fails(lab: Lab) -> None:
    lab.file("own.py", CODE)
    lab.file("broken", "")
    each = {"name": "each", "python": {"function": "own:item", "args": {"item": "$(item)"}}}
    lab.pipeline({**each, "forEach": {"values": ["a", "b", "c"], "maxParallel": 1}}, sql("after", dependsOn=["each"]))
    result = lab.run()
    assert result.code == 65, result.text
    assert result.statuses() == {"each": "failed", "after": "skipped"}
    assert "item 1" in result.stage("each")["error"]
    assert "no b today" in result.stage("each")["error"]
    assert not (lab.root / "item-c").exists()  # nothing is started after a failure
    (lab.root / "broken").unlink()
    assert set(lab.ok("--resume", "last").statuses().values()) == {"succeeded"}


def test_fan_out_keeps_to_max_parallel(lab: Lab) -> None:
    lab.file("own.py", CODE)
    each = {"name": "each", "python": {"function": "own:peak", "args": {"item": "$(item)"}}}
    lab.pipeline({**each, "forEach": {"values": list("abcdef"), "maxParallel": 2}})
    most = lab.ok("--parallel", "6").stage("each")["outputs"]["most"]
    assert max(most) == 2


def test_fan_out_appends_to_one_table(lab: Lab) -> None:
    lab.file("own.py", CODE)
    each = {
        "name": "each",
        "python": {"function": "own:rows", "args": {"item": "$(item)"}},
        "output": {"table": "bronze.all", "mode": "append"},
    }
    lab.pipeline({**each, "forEach": {"values": list("abcdef"), "maxParallel": 6}})
    result = lab.ok("--parallel", "6")
    assert result.stage("each")["rows_out"] == 18
    assert lab.rows("bronze.all") == sorted((item, n) for item in "abcdef" for n in range(3))
    again = lab.ok("--resume", "last")
    assert "has succeeded: nothing to do" in again.err
    assert len(lab.rows("bronze.all")) == 18


def test_resume_does_only_what_failed_and_what_follows(lab: Lab) -> None:
    lab.file("own.py", CODE)
    lab.pipeline(
        own("done", "fine"),
        own("bad", "fails", dependsOn=["done"]),
        sql("after", "SELECT $(stages.done.outputs.n) AS n", dependsOn=["bad"]),
        sql("beside"),
    )
    result = lab.run()
    assert result.code == 65, result.text
    beside = lab.version("silver.beside")
    lab.file("mended", "")
    pause = 3.0
    time.sleep(pause)
    done = lab.ok("--resume", result.json["id"])
    assert done.json["id"] == result.json["id"]
    begun, ended = (dt.datetime.fromisoformat(text) for text in (done.json["run"]["started_at"], done.json["ended_at"]))
    assert result.json["seconds"] < done.json["seconds"] < (ended - begun).total_seconds() - pause / 2
    assert set(done.statuses().values()) == {"succeeded"}
    assert (lab.root / "done").read_text() == "x"
    assert lab.version("silver.beside") == beside
    assert lab.rows("silver.after") == [(3,)]


def test_resume_of_what_is_not_there(lab: Lab) -> None:
    lab.pipeline(sql("one"))
    lab.ok()
    result = lab.run("--resume", "2020")
    assert result.code == 78
    assert "there is no run 2020" in result.err
    both = lab.run("--resume", "last", "--only", "one")
    assert both.code == 78
    other = lab.pipeline(sql("one"), file="other.yaml", name="other")
    assert lab.run("--resume", "last", file=other.name).code == 78


def test_only_and_from(lab: Lab) -> None:
    lab.pipeline(
        sql("one"),
        sql("two", "SELECT * FROM silver.one", inputs=[{"table": "silver.one"}]),
        sql("three", "SELECT * FROM silver.two", inputs=[{"table": "silver.two"}]),
    )
    early = lab.run("--only", "two")
    assert early.code == 78, early.text
    assert "silver.one" in early.stage("two")["error"]
    lab.ok()
    assert lab.ok("--only", "two").statuses() == {"one": "waiting", "two": "succeeded", "three": "waiting"}
    assert lab.ok("--from", "two").statuses() == {"one": "waiting", "two": "succeeded", "three": "succeeded"}
    wrong = lab.run("--only", "tow")
    assert wrong.code == 78
    assert "two" in wrong.err


LAND = {
    "name": "land",
    "ingest": {"files": {"path": "data/*.csv", "read": "new"}},
    "output": {"table": "bronze.o", "mode": "append"},
}
ADD = {
    "name": "add",
    "inputs": [{"table": "bronze.o", "read": "new"}],
    "sql": {"query": "SELECT id FROM bronze.o"},
    "output": {"table": "silver.o", "mode": "append"},
}


def test_full_refresh_reads_all_again(lab: Lab) -> None:
    lab.file("data/1.csv", "id\n1\n2\n")
    lab.pipeline(LAND, ADD)
    lab.ok()
    lab.file("data/2.csv", "id\n3\n")
    lab.ok()
    assert lab.rows("silver.o") == [(1,), (2,), (3,)]
    lab.ok()
    assert lab.rows("silver.o") == [(1,), (2,), (3,)]
    lab.ok("--full-refresh")
    assert lab.rows("bronze.o") == lab.rows("silver.o") == [(1,), (2,), (3,)]
    lab.ok()
    assert lab.rows("bronze.o") == lab.rows("silver.o") == [(1,), (2,), (3,)]


def test_cache_does_no_work_twice(lab: Lab) -> None:
    lab.file("data/c.csv", "a\n1\n")
    stage = {**sql("one", "SELECT * FROM c"), "inputs": [{"name": "c", "file": "data/c.csv"}], "cache": True}
    lab.pipeline(stage)
    assert not lab.ok().stage("one")["cached"]
    assert lab.ok().stage("one")["cached"]
    shutil.rmtree(lab.state)  # a pod has no state of its own: it stands beside the lake
    assert lab.ok().stage("one")["cached"]
    lab.file("data/c.csv", "a\n1\n2\n")
    assert not lab.ok().stage("one")["cached"]
    assert lab.rows("silver.one") == [(1,), (2,)]
    lab.pipeline({**stage, "sql": {"query": "SELECT a + 1 AS a FROM c"}})
    assert not lab.ok().stage("one")["cached"]
    assert lab.ok().stage("one")["cached"]


def test_a_stage_of_a_failed_cache_is_not_remembered(lab: Lab) -> None:
    lab.file("own.py", CODE)
    lab.pipeline(own("bad", "fails", cache=True))
    assert lab.run().code == 65
    lab.file("mended", "")
    assert not lab.ok().stage("bad")["cached"]


PARAMS = [
    {"name": "n", "type": "integer", "min": 1, "max": 9, "default": 1},
    {"name": "share", "type": "number", "default": 0.5},
    {"name": "go", "type": "boolean", "default": False},
    {"name": "day", "type": "date", "default": "2026-01-01"},
    {"name": "word", "type": "string", "pattern": "[a-z]+", "default": "x"},
]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("n=two", ["n", "two"]), ("n=1.5", ["n"]), ("n=10", ["n", "9"]), ("share=lots", ["share", "lots"]),
        ("share=nan", ["share"]), ("go=maybe", ["go", "maybe"]), ("day=31/01/2026", ["day"]), ("word=X1", ["word", "[a-z]+"]),
        ("wrod=x", ["wrod", "word"]), ("word", ["name=value"]), ("=x", []),
    ],
)  # fmt: skip
def test_parameters_of_the_wrong_type(lab: Lab, given: str, words: list[str]) -> None:
    lab.pipeline(sql("one", "SELECT $(params.n) AS n"), params=PARAMS)
    result = lab.run("-p", given)
    assert result.code == 78, result.text
    assert all(word in result.err for word in words), result.err
    assert not lab.exists("silver.one")


def test_every_wrong_parameter_is_told_at_once(lab: Lab) -> None:
    lab.pipeline(sql("one", "SELECT $(params.must) AS n"), params=[*PARAMS, {"name": "must"}])
    result = lab.run("-p", "n=x", "-p", "go=x")
    assert result.code == 78
    assert all(word in result.err for word in ("n", "go", "must", "-p must=")), result.err


def test_one_pipeline_waits_for_its_turn(lab: Lab) -> None:
    lab.file(
        "own.py",
        "import pathlib, time\ndef main(inputs):\n    pathlib.Path('up').touch()\n    while pathlib.Path('slow').exists(): time.sleep(0.05)\n",
    )
    lab.file("slow", "")
    lab.pipeline({"name": "own", "python": {"function": "own:main"}})
    first = lab.start("--output", "json")
    until((lab.root / "up").exists)
    (lab.root / "up").unlink()
    second = lab.start("--output", "json")
    until(lambda: any(link.endswith("default.p.0") for link in links(second.pid)))
    time.sleep(0.5)
    assert second.poll() is None
    assert not (lab.root / "up").exists()
    (lab.root / "slow").unlink()
    assert lab.wait(first).code == 0
    waited = lab.wait(second)
    assert waited.code == 0
    assert "waiting" in waited.err


def test_the_exit_code_is_that_of_the_first_failure(lab: Lab) -> None:
    lab.file(
        "own.py", "import adutora.errors as e\ndef main(inputs, kind):\n    raise getattr(e, kind)('on purpose')\n"
    )
    for kind, code in (("DataError", 65), ("TemporaryError", 75), ("ConfigError", 78)):
        lab.pipeline({"name": "own", "python": {"function": "own:main", "args": {"kind": kind}}, "retries": 0})
        result = lab.run("--output", "text")
        assert result.code == code, result.text
        assert "on purpose" in result.out
        assert "--resume" in result.out


def test_json_is_all_there_is_on_standard_output(lab: Lab) -> None:
    lab.pipeline(sql("one"))
    found = json.loads(lab.ok().out)
    assert {"id", "status", "exit_code", "stages", "folder", "params", "run"} <= set(found)
    assert {"rows_in", "rows_out", "rows_rejected", "duration", "peak_memory", "tries"} <= set(found["stages"][0])


def test_a_fan_out_that_was_interrupted_brings_rows_once(lab: Lab) -> None:
    """Of two items that run, one stops when it is told to, and the other is done after that."""
    lab.file(
        "own.py",
        "import pathlib, signal, time\n"
        "def rows(inputs, item):\n"
        "    if item == 'f': signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    pathlib.Path(f'up-{item}').touch()\n"
        "    while item in 'df' and pathlib.Path('slow').exists(): time.sleep(0.05)\n"
        "    return [{'item': item, 'n': n} for n in range(3)]\n",
    )
    lab.file("slow", "")
    each = {"name": "each", "python": {"function": "own:rows", "args": {"item": "$(item)"}}}
    table = {"output": {"table": "bronze.all", "mode": "append"}}
    lab.pipeline({**each, **table, "forEach": {"values": list("abcdef"), "maxParallel": 2}})
    process = lab.start("--output", "json", "--parallel", "2")
    until(lambda: (lab.root / "up-f").exists() and len(lab.rows("bronze.all")) >= 12)
    os.killpg(process.pid, signal.SIGINT)
    until(lambda: len(stages_of(process)) == 1)
    (lab.root / "slow").unlink()
    result = lab.wait(process, 15)
    assert (result.code, result.statuses()) == (130, {"each": "stopped"}), result.text
    assert len(lab.rows("bronze.all")) == 15
    lab.ok("--resume", "last")
    assert lab.rows("bronze.all") == sorted((item, n) for item in "abcdef" for n in range(3))


def test_a_resumed_run_writes_where_it_began(lab: Lab) -> None:
    """It was begun with --lake, which the project's roots of layers do not hold for, and is resumed without."""
    lab.file("own.py", CODE)
    lab.project(lake={"root": "home", "layers": [{"name": "silver", "root": "other"}]})
    lab.pipeline(own("bad", "fails"), sql("after", dependsOn=["bad"]))
    assert lab.run().code == 65
    lab.file("mended", "")
    began, lab.lake = lab.lake, ""
    lab.ok("--resume", "last")
    lab.lake = began
    assert lab.rows("silver.after") == [(1,)]
    assert not (lab.root / "other").exists()
