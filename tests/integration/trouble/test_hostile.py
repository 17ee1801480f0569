"""Files and parameters that were written to do harm: refused with a message, and nothing is read, run or lost."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trouble.conftest import Lab

pytestmark = pytest.mark.integration

SECRET = "d41d8cd98f-secret-of-the-machine"


@pytest.fixture
def outside(lab: Lab, tmp_path: Path) -> Path:
    """A file that no pipeline was given."""
    path = tmp_path / "outside" / "secret.csv"
    path.parent.mkdir()
    path.write_text(f"a\n{SECRET}\n")
    lab.env["HARMLESS_SECRET"] = SECRET
    return path


def one(lab: Lab, query: str, **more: Any) -> None:
    lab.file("data/c.csv", "a\n1\n")
    stage = {
        "name": "one",
        "inputs": [{"name": "c", "file": "data/c.csv"}],
        "sql": {"query": query},
        "output": {"table": "silver.one"},
    }
    lab.pipeline(stage, **more)


def untold(lab: Lab, text: str) -> None:
    """The secret stands in no output, log, outcome or table."""
    assert SECRET not in text
    for folder in (lab.state, Path(lab.lake), lab.root):
        for path in folder.rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


QUERIES = {
    "read_csv": "SELECT * FROM read_csv('{path}')",
    "read_text": "SELECT content FROM read_text('{path}')",
    "read_blob": "SELECT content FROM read_blob('{path}')",
    "glob": "SELECT file FROM glob('{folder}/*')",
    "bare path": "SELECT * FROM '{path}'",
    "glob of the folder": "SELECT * FROM read_csv('{folder}/*.csv')",
    "parent of an input": "SELECT * FROM read_csv('{root}/data/../../outside/secret.csv')",
    "view": "CREATE VIEW v AS SELECT * FROM read_csv('{path}'); SELECT * FROM v",
    "macro": "CREATE MACRO m() AS TABLE SELECT * FROM read_csv('{path}'); SELECT * FROM m()",
    "copy to": "COPY (SELECT 1 AS a) TO '{folder}/new.csv'; SELECT 1 AS a",
    "copy from": "CREATE TABLE t (a VARCHAR); COPY t FROM '{path}'; SELECT * FROM t",
    "export": "EXPORT DATABASE '{folder}/db'; SELECT 1 AS a",
    "import": "IMPORT DATABASE '{folder}'; SELECT 1 AS a",
    "attach": "ATTACH '{folder}/new.db' AS d; SELECT 1 AS a",
    "attach to read": "ATTACH '{path}' AS d (READ_ONLY); SELECT 1 AS a",
    "install": "INSTALL httpfs; SELECT 1 AS a",
    "load": "LOAD '{folder}/x.duckdb_extension'; SELECT 1 AS a",
    "set": "SET enable_external_access = true; SELECT * FROM read_csv('{path}')",
    "set allowed": "SET allowed_directories = ['/']; SELECT * FROM read_csv('{path}')",
    "reset": "RESET lock_configuration; SELECT 1 AS a",
    "pragma": "PRAGMA enable_external_access; SELECT 1 AS a",
    "getenv": "SELECT getenv('HARMLESS_SECRET') AS a",
    "secret": "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b'); SELECT 1 AS a",
    "http": "SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
    "python variable": "SELECT * FROM ctx",
    "sniff": "SELECT * FROM sniff_csv('{path}')",
    "parquet metadata": "SELECT * FROM parquet_metadata('{path}')",
    "log": "CALL enable_logging(storage = 'file', storage_config = {{'path': '{folder}/log'}}); SELECT 1 AS a",
    "prepare": "PREPARE p AS SELECT * FROM read_csv('{path}'); EXECUTE p",
    "query function": "SELECT * FROM query('SELECT * FROM read_csv(''{path}'')')",
}


def test_a_query_sees_its_inputs_and_nothing_else(lab: Lab, outside: Path) -> None:
    lab.file("data/c.csv", "a\n1\n")
    known = {}
    for number, (name, query) in enumerate(QUERIES.items()):
        text = query.format(path=outside, folder=outside.parent, root=lab.root)
        stage = {
            "name": f"q{number}",
            "inputs": [{"name": "c", "file": "data/c.csv"}],
            "sql": {"query": text},
            "output": {"table": f"silver.q{number}"},
        }
        lab.pipeline(stage, file="one.yaml")
        known[f"q{number}"] = (name, stage)
    checked = lab.pipeline(*(stage for _, stage in known.values()))
    result = lab.run()
    if result.code == 78 and not result.out:  # what is seen before anything runs; then the others alone
        lines = checked.read_text().splitlines()
        seen = set()
        for place in re.findall(r"pipeline.yaml:([0-9]+):", result.err):
            seen.add(re.findall(r'"name": "(q[0-9]+)"', "\n".join(lines[: int(place)]))[-1])
        assert seen
        lab.pipeline(*(stage for name, (_, stage) in known.items() if name not in seen), file=checked.name)
        result = lab.run()
    for stage in result.json["stages"]:
        assert (stage["status"], stage["exit_code"]) in [("failed", 65), ("failed", 78)], (
            known[stage["name"]][0],
            stage,
        )
        assert stage["tries"] == 1
        assert not lab.exists(f"silver.{stage['name']}")
    assert [path.name for path in outside.parent.iterdir()] == ["secret.csv"]
    untold(lab, result.text)


def test_a_query_may_not_leave_the_state_of_another_stage(lab: Lab, outside: Path) -> None:
    """What a check says in SQL is closed in as well."""
    lab.pipeline(
        {"name": "one", "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.one"}},
        tables=[{"name": "silver.one", "checks": [{"sql": f"SELECT * FROM read_csv('{outside}')", "onFail": "warn"}]}],
    )
    result = lab.run()
    assert result.code in (65, 78), result.text
    untold(lab, result.text)


HARM = ["x'; DROP TABLE silver.one; --", "x') OR 1=1 --", "$(params.word)", "'; ATTACH '/tmp/x.db'; --", "\\", "%s{0}"]


@pytest.mark.parametrize("word", HARM)
def test_sql_in_a_parameter_is_a_value(lab: Lab, word: str) -> None:
    one(lab, "SELECT $(params.word) AS word, count(*) AS n FROM c", params=[{"name": "word"}])
    lab.ok("-p", f"word={word}")
    assert lab.rows("silver.one") == [(1, word)]


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.csv",
        "{outside}",
        "data/../../outside/secret.csv",
        "~/secret.csv",
        "data/link.csv",
        "linked/secret.csv",
        "file://{outside}",
        "data/*/../../../outside/*.csv",
    ],
)
@pytest.mark.parametrize("where", ["input", "ingest"])
def test_paths_that_leave_the_folder(lab: Lab, outside: Path, path: str, where: str) -> None:
    (lab.root / "data").mkdir()
    (lab.root / "data/link.csv").symlink_to(outside)
    (lab.root / "linked").symlink_to(outside.parent)
    lab.env["HOME"] = str(outside.parent)
    path = path.format(outside=outside)
    stage: dict[str, object] = {"name": "one", "output": {"table": "silver.one"}}
    if where == "input":
        stage |= {"inputs": [{"name": "c", "file": path, "format": "csv"}], "sql": {"query": "SELECT * FROM c"}}
    else:
        stage |= {"ingest": {"files": {"path": path, "format": "csv"}}}
    lab.pipeline(stage)
    result = lab.run()
    assert result.code == 78, result.text
    assert SECRET not in result.text
    assert not lab.exists("silver.one")


def test_a_default_of_a_parameter_may_not_leave_the_folder_but_a_given_one_may(lab: Lab, outside: Path) -> None:
    stage = {
        "name": "one",
        "inputs": [{"name": "c", "file": "$(params.f)", "format": "csv"}],
        "sql": {"query": "SELECT count(*) AS n FROM c"},
        "output": {"table": "silver.one"},
    }
    lab.pipeline(stage, params=[{"name": "f", "default": "../outside/secret.csv"}])
    assert lab.run().code == 78
    lab.ok("-p", "f=../outside/secret.csv")
    assert lab.rows("silver.one") == [(1,)]


def bomb(levels: int = 12) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(), ["anchor", "pipeline.yaml:1:5"]),
        ("[" * 20_000, ["pipeline.yaml"]),
        ("a: 1\na: 2\n", ["twice"]),
        ("!!python/object/apply:os.system ['touch pwned']\n", ["pipeline.yaml"]),
        ("x" * 300_000, ["200 KiB"]),
        ("\x00\x01", ["pipeline.yaml"]),
        ("", ["pipeline.yaml"]),
    ],
    ids=["bomb", "deep", "twice", "python", "big", "control", "empty"],
)
def test_hostile_yaml(lab: Lab, text: str, words: list[str]) -> None:
    lab.file("pipeline.yaml", text)
    result = lab.run(timeout=30)
    assert result.code == 78, result.text
    assert "Traceback" not in result.text
    assert all(word.lower() in result.err.lower() for word in words), result.err
    assert result.seconds < 15
    assert not (lab.root / "pwned").exists()


@pytest.mark.parametrize(
    "text",
    [
        "$(params.$(params.word))",
        "$(stages.one.outputs.$(item))",
        "$(params.word",
        "$(params.word | sh)",
        "$(os.environ.HOME)",
        "$(params.__class__)",
    ],
)
def test_nested_and_crooked_references(lab: Lab, text: str) -> None:
    stage = {
        "name": "one",
        "inputs": [{"name": "c", "file": text, "format": "csv"}],
        "sql": {"query": "SELECT 1 AS a"},
        "output": {"table": "silver.one"},
    }
    lab.pipeline(stage, params=[{"name": "word", "default": "x"}])
    result = lab.run()
    assert result.code == 78, result.text
    assert "pipeline.yaml:" in result.err  # file, line and column


def test_a_reference_in_a_value_is_not_followed(lab: Lab) -> None:
    one(
        lab,
        "SELECT $(params.a) AS a",
        params=[{"name": "a", "default": "$(params.b)"}, {"name": "b", "default": "deep"}],
    )
    result = lab.run()
    assert result.code == 78 or lab.rows("silver.one") == [("$(params.b)",)], result.text


@pytest.mark.parametrize("name", ["../evil", "a/b", "A", ".."])
def test_names_that_would_be_paths(lab: Lab, name: str) -> None:
    lab.pipeline({"name": name, "sql": {"query": "SELECT 1 AS a"}, "output": {"table": f"silver.{name}"}})
    result = lab.run()
    assert result.code == 78, result.text
    assert not (lab.root.parent / "evil").exists()


def test_a_run_to_resume_is_no_path(lab: Lab, outside: Path) -> None:
    lab.pipeline({"name": "one", "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.one"}})
    lab.ok()
    for name in ("../../outside", str(outside.parent), "", "*"):
        result = lab.run("--resume", name)
        assert result.code in (78, 2), (name, result.text)


def test_a_secret_that_an_error_repeats_is_masked(lab: Lab) -> None:
    lab.project(
        connections=[
            {
                "name": "api",
                "http": {"baseUrl": "http://127.0.0.1:9", "auth": {"bearer": {}}},
                "secretRef": {"name": "api"},
            }
        ]
    )
    folder = lab.root / ".adutora/secrets/api"
    folder.mkdir(parents=True)
    (folder / "token").write_text(SECRET)
    lab.pipeline({"name": "one", "http": {"connection": "api", "path": f"/{SECRET}"}, "retries": 0})
    result = lab.run()
    assert result.code == 75, result.text
    told = (lab.run_folder() / "stages/one/log.txt").read_text() + result.out + result.err
    assert SECRET not in told.replace(os.fspath(lab.root / "pipeline.yaml"), "")
