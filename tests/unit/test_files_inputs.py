"""File inputs: where a path may lead, and that late errors are mended or told."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.io.files import Reading, load_file_input, recovering
from adutora.spec.base import Input


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    made = duck.connect(None, 1, tmp_path)
    yield made
    made.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pipeline"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "companies.csv").write_text("a,b\n1,2\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.csv").write_text("a\n7\n")
    return folder


def load(con: duckdb.DuckDBPyConnection, root: Path, file: str, cwd: Path | None = None, **fields: Any) -> Reading:
    given = Input.model_validate({"name": "t", "file": file, **fields})
    scratch = root.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return load_file_input(con, given, files_root=root, cwd=cwd, relation="t", rejects="bad", scratch=scratch)


def test_a_path_in_the_pipeline_counts_from_its_folder(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    reading = load(con, root, "data/*.csv")
    assert con.execute("SELECT a, b FROM t").fetchall() == [(1, 2)]
    assert [file.path for file in reading.files] == ["data/companies.csv"]


@pytest.mark.parametrize("file", ["../elsewhere/mine.csv", "/etc/passwd", "~/x.csv"])
def test_a_path_in_the_pipeline_stays_there(con: duckdb.DuckDBPyConnection, root: Path, file: str) -> None:
    with pytest.raises(ConfigError):
        load(con, root, file)


@pytest.mark.parametrize("file", ["mine.csv", "./mine.csv", "*.csv", "../elsewhere/mine.csv", "{abs}/mine.csv", "{abs}/m*.csv"])  # fmt: skip
def test_what_a_user_gives_counts_from_where_they_stand(con: duckdb.DuckDBPyConnection, root: Path, file: str) -> None:
    cwd = root.parent / "elsewhere"
    reading = load(con, root, file.format(abs=cwd), cwd=cwd)
    assert con.execute("SELECT a FROM t").fetchall() == [(7,)]
    assert reading.files[0].path.endswith("mine.csv")


@pytest.mark.parametrize(
    ("file", "cwd", "error", "message"),
    [
        ("data/company.csv", None, DataError, r"did you mean `companies\.csv`"),
        ("nowhere/*.csv", None, DataError, "no file matches"),
        ("mien.csv", "elsewhere", DataError, r"did you mean `mine\.csv`"),
        ("none/x.csv", "elsewhere", DataError, "is not there"),
        (".", "elsewhere", DataError, "is a folder"),
        ("s3://bucket/x.csv", None, ConfigError, "connection"),
        ("https://host/x.csv", "elsewhere", ConfigError, "connection"),
        ("file:///etc/passwd", None, ConfigError, "URL"),
    ],
)
def test_what_cannot_be_found(
    con: duckdb.DuckDBPyConnection, root: Path, file: str, cwd: str | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(con, root, file, cwd=root.parent / cwd if cwd else None)


def test_a_pipe_or_device_is_no_file(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    os.mkfifo(root / "pipe.csv")
    for file in ("pipe.csv", "/dev/zero"):
        with pytest.raises(DataError):
            load(con, root, file, cwd=root, format="csv")


def test_only_the_broken_input_is_mended(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    many = "1,2\n" * 300_000
    (root / "late.csv").write_text("a,b\n" + many + "2.5,3\n")
    readings = []
    for name, file in (("one", "data/companies.csv"), ("two", "late.csv")):
        given = Input.model_validate({"name": name, "file": file})
        readings.append(
            load_file_input(con, given, files_root=root, relation=name, rejects=f"{name}_bad", scratch=root.parent)
        )
    duck.seal(con, [str(path) for reading in readings for path in reading.readable])
    tries = []

    def action() -> list[Any]:
        tries.append(1)
        con.execute("CREATE TEMP TABLE made AS SELECT 1")
        return con.execute("SELECT sum(two.a), max(one.a) FROM two, one").fetchall()

    assert recovering(con, readings, action) == [(300_002.5, 1)]
    assert len(tries) == 2


def test_an_error_that_is_not_the_files_passes(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    reading = load(con, root, "data/companies.csv")
    with pytest.raises(duckdb.BinderException):
        recovering(con, [reading], lambda: con.execute("SELECT nothing FROM t").fetchall())
    with pytest.raises(DataError, match="ours"):
        recovering(con, [reading], _fail)


def _fail() -> None:
    raise DataError("ours")


def test_a_file_that_goes_meanwhile_is_told(con: duckdb.DuckDBPyConnection, root: Path) -> None:
    reading = load(con, root, "data/companies.csv")
    (root / "data" / "companies.csv").unlink()
    with pytest.raises(duckdb.IOException):
        recovering(con, [reading], lambda: con.execute("SELECT * FROM t").fetchall())


@pytest.mark.parametrize(
    ("there", "hint"),
    [
        (["compnies.csv", "a.txt"], "did you mean `compnies.csv`?"),
        (["2024.csv", "a.txt"], "one of `2024.csv`"),
        (["a.txt"], "that folder has no .csv file; write the path of one"),
    ],
)
def test_a_missing_file_is_told_with_what_is_like_it(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, there: list[str], hint: str
) -> None:
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        load(con, tmp_path, "companies.csv")
    assert caught.value.hint == hint
