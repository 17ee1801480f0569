"""`adutora init`, and what `runs`, `tables` and `online` say of the project that it makes, once it has run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adutora.cli import main
from adutora.local.state import RunFolder, find_run, locked, replace_text
from adutora.starter import FILES

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects") / "shop"
    assert main(["init", str(folder)]) == 0
    assert main(["run", str(folder / "pipeline.yaml")]) == 0
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(each) for each in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


# init


def test_what_init_makes_is_valid_and_its_tests_pass(tmp_path: Path, call: Call) -> None:
    folder = tmp_path / "My Shop 2"
    code, out, _ = call("init", folder)
    assert code == 0
    assert f"cd '{folder}'\n  adutora run pipeline.yaml\n" in out
    assert {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} == set(FILES)
    assert "metadata: {name: my-shop-2}" in (folder / "pipeline.yaml").read_text()
    assert call("validate", folder)[:2] == (0, "2 files, no errors\n")
    code, out, _ = call("test", folder / "pipeline.yaml")
    assert (code, out.splitlines()[-1]) == (0, "2 tests, none failed")


@pytest.mark.parametrize("name", ["2026", "no", "1e3", "0x1f", "99999999999999999999", "null"])
def test_a_name_that_yaml_reads_as_something_else(name: str, tmp_path: Path, call: Call) -> None:
    assert call("init", tmp_path / name)[0] == 0
    assert call("validate", tmp_path / name)[:2] == (0, "2 files, no errors\n")


def test_init_overwrites_nothing(tmp_path: Path, call: Call) -> None:
    (tmp_path / "tests.yaml").write_text("mine")
    code, out, err = call("init", tmp_path, "--name", "x")
    assert (code, out) == (78, "")
    assert "has tests.yaml already; nothing was written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["tests.yaml"]


def test_init_keeps_the_readme_of_a_repository(tmp_path: Path, call: Call) -> None:
    (tmp_path / "README.md").write_text("mine")
    code, out, _ = call("init", tmp_path, "--name", "x", "--output", "json")
    made = json.loads(out)
    assert (code, made["kept"], (tmp_path / "README.md").read_text()) == (0, ["README.md"], "mine")
    assert made["next"][-1] == "adutora run pipeline.yaml"


def test_init_refuses_a_name_that_cannot_be(tmp_path: Path, call: Call) -> None:
    code, _, err = call("init", tmp_path / "x", "--name", "No Name")
    assert code == 78
    assert "lower-case letters" in err
    assert not (tmp_path / "x").exists()
    assert call("init", tmp_path / "日本")[0] == 78


def test_init_below_a_file(tmp_path: Path, call: Call) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = call("init", tmp_path / "file" / "shop")
    assert code == 78
    assert "cannot write" in err


# runs


def test_runs_are_listed(shop: Path, call: Call) -> None:
    code, out, _ = call("runs", "--project", shop, "--output", "json")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["pipeline"], row["status"], row["failed"]) == ("default.shop", "succeeded", [])
    text = call("runs", "--project", shop)[1]
    assert row["id"] in text
    assert call("runs", "--state", shop / ".adutora")[1] == text


def test_one_run(shop: Path, call: Call) -> None:
    code, out, _ = call("runs", "last", "--project", shop)
    assert code == 0
    assert "default.shop: succeeded after" in out
    assert "param    input = 'data/orders.csv' (default)" in out
    assert any(line.split()[:6] == ["orders", "sql", "succeeded", "8", "6", "2"] for line in out.splitlines())
    one = json.loads(call("runs", "last", "--project", shop, "--output", "json")[1])
    assert [stage["name"] for stage in one["stages"]] == ["orders", "daily-sales", "publish"]


def test_logs_of_a_run(shop: Path, call: Call) -> None:
    out = call("runs", "last", "--logs", "--project", shop)[1]
    assert [line for line in out.splitlines() if line.startswith("──")] == [
        "── orders ──",
        "── daily-sales ──",
        "── publish ──",
    ]
    assert "INFO stage publish" in out
    one = call("runs", "last", "--logs", "publish", "--project", shop)[1]
    assert "INFO stage publish" in one
    assert "──" not in one
    code, _, err = call("runs", "last", "--logs", "publsh", "--project", shop)
    assert code == 78
    assert "did you mean `publish`?" in err


def test_a_run_whose_process_is_gone_is_interrupted(shop: Path, tmp_path: Path, call: Call) -> None:
    folder = _copy(find_run(shop / ".adutora", "last"), tmp_path / "runs" / "20260101T000000-abcdef", "running")
    with locked(folder.path / "lock", "test"):
        assert json.loads(call("runs", "--state", tmp_path, "--output", "json")[1])[0]["status"] == "running"
    assert json.loads(call("runs", "--state", tmp_path, "--output", "json")[1])[0]["status"] == "interrupted"
    out = call("runs", "last", "--state", tmp_path)[1]
    assert ": interrupted\n" in out
    assert "--resume 20260101T000000-abcdef" in out


def _copy(folder: RunFolder, to: Path, status: str) -> RunFolder:
    data: dict[str, Any] = json.loads((folder.path / "run.json").read_text())
    data |= {"id": to.name, "status": status, "ended_at": None}
    to.mkdir(parents=True)
    replace_text(to / "run.json", json.dumps(data))
    return RunFolder(to)


def test_a_failed_stage_is_named(shop: Path, tmp_path: Path, call: Call) -> None:
    state = tmp_path / "state"
    main(["run", str(shop / "pipeline.yaml"), "--state", str(state), "--lake", str(tmp_path), "-p", "input=none.csv"])
    (row,) = json.loads(call("runs", "--state", state, "--output", "json")[1])
    assert (row["status"], row["failed"]) == ("failed", ["orders"])
    out = call("runs", row["id"][:12], "--state", state)[1]
    assert "orders failed with code 65: no file matches 'none.csv'" in out
    assert "param    input = 'none.csv'\n" in out


def test_no_runs_and_no_such_run(tmp_path: Path, call: Call) -> None:
    assert call("runs", "--state", tmp_path)[:2] == (0, f"no runs in {tmp_path}\n")
    assert call("runs", "--state", tmp_path, "--output", "json")[:2] == (0, "[]\n")
    assert call("runs", "2026", "--state", tmp_path)[0] == 78
    code, _, err = call("runs", "--project", tmp_path / "nowhere")
    assert code == 78
    assert "there is no folder" in err


# tables


def test_tables_are_listed(shop: Path, call: Call) -> None:
    code, out, _ = call("tables", "--project", shop, "--output", "json")
    rows = {row["table"]: row for row in json.loads(out)}
    assert code == 0
    assert [(name, row["rows"]) for name, row in rows.items()] == [("gold.daily_sales", 4), ("silver.orders", 6)]
    assert rows["silver.orders"]["lastWriter"]["stage"] == "orders"
    assert "silver.orders" in call("tables", "--project", shop)[1]


def test_one_table(shop: Path, call: Call) -> None:
    table = json.loads(call("tables", "silver.orders", "--rows", "2", "--project", shop, "--output", "json")[1])
    assert (table["rows"], table["key"], len(table["sample"])) == (6, ["order_id"], 2)
    assert table["sample"][0] == {"order_id": 1, "day": "2026-01-30", "store": "Centro", "amount": "120.50"}
    assert table["columns"][3] == {"name": "amount", "type": "decimal(12,2)", "description": "Gross amount"}
    assert table["rejected"]["rows"] == 2
    assert {each["reason"] for each in table["rejected"]["reasons"]} == {
        "notNull-store: store has no value",
        "range-amount: amount is -3.00, less than 0",
    }
    (version,) = table["versions"]
    assert (version["version"], version["rows"], version["rejected"], version["pipeline"]) == (0, 6, 2, "default.shop")


def test_one_table_as_text(shop: Path, call: Call) -> None:
    out = call("tables", "silver.orders", "--project", shop)[1]
    for text in ("silver.orders: One row per order\n", "key order_id\n", "Gross amount", "2 rows are set aside"):
        assert text in out
    assert "Centro" in out
    assert "Centro" not in call("tables", "silver.orders", "--rows", "0", "--project", shop)[1]


def test_no_such_table(shop: Path, call: Call) -> None:
    code, out, err = call("tables", "silver.order", "--project", shop)
    assert (code, out) == (78, "")
    assert "did you mean `silver.orders`?" in err
    assert call("tables", "silver.orders", "--rows", "-1", "--project", shop)[0] == 78


def test_a_value_cannot_steer_the_terminal(tmp_path: Path, call: Call) -> None:
    (tmp_path / "names.csv").write_text("name\n\x1b[2Jgone\n")
    (tmp_path / "pipeline.yaml").write_text(
        "apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  stages:\n"
        "    - {name: s, inputs: [{name: n, file: names.csv}], sql: {query: FROM n}, output: {table: gold.n}}\n"
    )
    assert call("run", tmp_path / "pipeline.yaml")[0] == 0
    out = call("tables", "gold.n", "--project", tmp_path)[1]
    assert "\\x1b[2Jgone" in out
    assert "\x1b" not in out


# online


def test_keys_are_listed(shop: Path, call: Call) -> None:
    code, out, _ = call("online", "--project", shop, "--output", "json", "--limit", "3")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["prefix"], row["keys"]) == ("sales", 4)
    assert row["first"] == ["sales:2026-01-30:Centro", "sales:2026-01-30:Norte", "sales:2026-01-31:Centro"]
    text = call("online", "--project", shop, "--limit", "3")[1]
    assert text.splitlines()[0] == "sales: 4 keys"
    assert text.splitlines()[-1] == "  … 1 more"


def test_one_key(shop: Path, call: Call) -> None:
    out = call("online", "sales:2026-01-31:Norte", "--project", shop, "--output", "json")[1]
    fields = {"day": "2026-01-31", "store": "Norte", "orders": "2", "revenue": "50.40"}
    assert json.loads(out) == {"key": "sales:2026-01-31:Norte", "fields": fields}
    assert "50.40" in call("online", "sales:2026-01-31:Norte", "--project", shop)[1]
    code, _, err = call("online", "sales:2026-01-31:Nort", "--project", shop)
    assert code == 78
    assert "did you mean `sales:2026-01-31:Norte`?" in err


def test_prefixes_and_stores_that_are_not_there(shop: Path, tmp_path: Path, call: Call) -> None:
    assert call("online", "--prefix", "none", "--project", shop)[:2] == (0, "none: 0 keys\n")
    code, _, err = call("online", "--connection", "onlin", "--project", shop)
    assert code == 78
    assert "did you mean online?" in err
    code, _, err = call("online", "--project", tmp_path)
    assert code == 78
    assert "there is no online store" in err
    assert list(tmp_path.iterdir()) == []
