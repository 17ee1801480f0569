"""`adutora push`: what is brought, what is left out, and that nothing outside the folder ever is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adutora.cli import main

PIPELINE = """\
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: team}
spec:
  params:
    - {name: path, type: string, default: data/orders.csv}
    - {name: day, type: string}
  stages:
    - name: land
      ingest: {files: {path: "in/*.csv"}}
      output: {table: bronze.land, mode: overwrite}
    - name: orders
      inputs: [{name: orders, file: $(params.path)}]
      sql: {query: SELECT * FROM orders}
      output: {table: silver.orders, mode: overwrite}
    - name: days
      inputs: [{name: rows, file: days/$(params.day).csv}]
      sql: {query: SELECT * FROM rows}
      output: {table: silver.days, mode: overwrite}
    - name: code
      python: {function: "shoplib.code:rows"}
      output: {table: silver.code, mode: overwrite}
"""
PROJECT = """\
apiVersion: adutora.dev/v1alpha1
kind: Project
metadata: {name: default, namespace: team}
spec:
  filesRoot: ROOT
"""
FILES = {
    "in/a.csv": "a\n1\n", "in/b.csv": "a\n2\n", "in/notes.txt": "x", "data/orders.csv": "a\n1\n", "data/other.csv": "a\n",
    "days/2026-01-01.csv": "a\n1\n", "shoplib/__init__.py": "", "shoplib/code.py": "def rows(inputs): ...\n",
    "shoplib/names.json": "{}", "helper.py": "x = 1\n", "venv/pyvenv.cfg": "", "venv/lib.py": "", ".hidden/x.py": "",
    "__pycache__/y.py": "", ".adutora/secrets/db/password": "s3cret",
}  # fmt: skip
EXPECTED = {
    "in/a.csv", "in/b.csv", "data/orders.csv", "days/2026-01-01.csv", "shoplib/__init__.py", "shoplib/code.py",
    "shoplib/names.json", "helper.py",
}  # fmt: skip

Push = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "adutora.yaml").write_text(PROJECT.replace("ROOT", str(tmp_path / "there")))
    return folder


@pytest.fixture
def push(folder: Path) -> Push:
    return lambda *more: main(["push", str(folder / "pipeline.yaml"), *more])


def there(tmp_path: Path, namespace: str = "team") -> dict[str, str]:
    root = tmp_path / "there" / namespace / "shop"
    return {p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file() and p.name[0] != "."}


def test_it_brings_what_the_pipeline_reads_and_nothing_else(
    push: Push, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push() == 0
    assert set(there(tmp_path)) == EXPECTED
    out = capsys.readouterr()
    assert out.out == f"{tmp_path}/there/team/shop: 8 new\n"
    assert "new       in/a.csv  4 B" in out.err


def test_what_is_unchanged_is_left_out(
    push: Push, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push()
    before = {name: (tmp_path / "there/team/shop" / name).stat().st_mtime_ns for name in EXPECTED}
    (folder / "in/a.csv").touch()
    assert push() == 0
    assert before == {name: (tmp_path / "there/team/shop" / name).stat().st_mtime_ns for name in EXPECTED}
    (folder / "in/a.csv").write_text("a\n9\n")
    (tmp_path / "there/team/shop/in/b.csv").write_text("a\n8\n")  # by another hand, of the same size
    capsys.readouterr()
    assert push() == 0
    assert capsys.readouterr().out.endswith(": 2 changed, 6 unchanged\n")
    assert there(tmp_path)["in/a.csv"] == "a\n9\n"
    assert there(tmp_path)["in/b.csv"] == "a\n2\n"


def test_a_dry_run_changes_nothing(push: Push, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert push("--dry-run") == 0
    assert not (tmp_path / "there").exists()
    assert capsys.readouterr().out.startswith("dry run: ")


def test_only_prune_removes_and_only_what_was_brought(
    push: Push, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push()
    theirs = tmp_path / "there/team/shop/in/theirs.csv"
    theirs.write_text("a\n")
    for name in ("in/a.csv", "helper.py"):
        (folder / name).unlink()
    (tmp_path / "there/team/shop/helper.py").write_text("x = 2\n")  # by another hand
    assert push() == 0
    assert "2 left from an earlier push; --prune removes what is left" in capsys.readouterr().out
    assert "in/a.csv" in there(tmp_path)
    assert push("--prune") == 0
    assert set(there(tmp_path)) == EXPECTED - {"in/a.csv"} | {"in/theirs.csv"}
    assert capsys.readouterr().out.endswith(": 6 unchanged, 1 removed, 1 left from an earlier push\n")


def test_namespace_and_target_can_be_given(push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert push("--namespace", "other") == 0
    assert set(there(tmp_path, "other")) == EXPECTED
    monkeypatch.chdir(tmp_path)
    assert push("--to", "here") == 0
    assert (tmp_path / "here/team/shop/in/a.csv").is_file()
    for bad in ("../x", "a/b", "", "A"):
        assert push("--namespace", bad) == 78


def test_a_file_that_is_not_there_is_told_before_anything_is_brought(
    push: Push, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data/orders.csv").rename(folder / "data/order.csv")
    assert push() == 65
    assert "no file matches 'data/orders.csv'" in capsys.readouterr().err
    assert not (tmp_path / "there").exists()


def test_a_link_that_leads_out_is_refused(push: Push, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.csv").write_text("secret")
    (folder / "in/link.csv").symlink_to(tmp_path / "outside.csv")
    assert push() == 78
    (folder / "in/link.csv").unlink()
    (folder / "module.py").symlink_to(tmp_path / "outside.csv")
    assert push() == 78
    assert not (tmp_path / "there").exists()


def test_secrets_are_never_brought(push: Push, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = PIPELINE.replace("in/*.csv", ".adutora/secrets/db/password")
    (folder / "pipeline.yaml").write_text(text.replace('path: ".adutora', 'format: csv, path: ".adutora'))
    assert push() == 78
    assert "runs and secrets" in capsys.readouterr().err


def test_a_project_without_a_place_says_what_would_be_right(
    push: Push, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "adutora.yaml").write_text(PROJECT.replace("filesRoot: ROOT", "description: none"))
    assert push() == 78
    assert "spec.filesRoot" in capsys.readouterr().err
    (folder / "adutora.yaml").write_text(PROJECT.replace("ROOT", "files"))
    assert push() == 78
    assert "relative path 'files'" in capsys.readouterr().err


def test_a_path_that_is_known_at_run_time_only_is_told(
    push: Push, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("days/$(params.day).csv", "$(params.day)"))
    assert push() == 0
    assert "push such files yourself" in capsys.readouterr().err
