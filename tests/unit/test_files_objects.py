"""Which files a pattern means, and which it may not reach."""

from pathlib import Path

import pytest

from adutora.errors import ConfigError, DataError
from adutora.io.objects import Folder, check_pattern, matches, none_found


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def found(root: Path, pattern: str) -> list[str]:
    return [file.path for file in Folder(root).find(pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.csv", ["a.csv"]),
        ("*.csv", ["a.csv", "b.csv"]),
        ("./*.csv", ["a.csv", "b.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("[ab].csv", ["a.csv", "b.csv"]),
        ("[!a].csv", ["b.csv"]),
        ("sub/*.csv", ["sub/c.csv"]),
        ("*/*.csv", ["sub/c.csv"]),
        ("**/*.csv", ["a.csv", "b.csv", "sub/c.csv", "sub/deep/d.csv"]),
        ("sub/**", ["sub/c.csv", "sub/deep/d.csv"]),
        ("sub/**/d.csv", ["sub/deep/d.csv"]),
        (".hidden.csv", [".hidden.csv"]),
        ("none*.csv", []),
        ("a.csv/x", []),
        ("sub", []),
        ("A.CSV", []),
    ],
)
def test_patterns_find_files_and_agree_with_object_keys(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    names = ["a.csv", "b.csv", ".hidden.csv", "sub/c.csv", "sub/deep/d.csv", "sub/.git/e.csv", "z.txt"]
    put(tmp_path, *names)
    wanted = [name for name in expected if name != "z.txt"]
    assert found(tmp_path, pattern) == wanted
    assert [name for name in sorted(names) if matches(name, check_pattern(pattern))] == wanted


@pytest.mark.parametrize(
    "pattern",
    [
        "../x.csv",
        "a/../../x.csv",
        "/etc/passwd",
        "~/x.csv",
        "C:\\x.csv",
        "C:/x",
        "\\\\host\\x",
        "s3://b/x.csv",
        "",
        ".",
        "a\0b",
    ],
)
def test_a_path_that_leaves_its_folder_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(ConfigError):
        Folder(tmp_path).find(pattern)


@pytest.mark.parametrize("pattern", ["link.csv", "*.csv", "dir/secret.csv", "**/secret.csv"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, pattern: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    put(outside, "secret.csv")
    root.mkdir()
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "dir").symlink_to(outside)
    with pytest.raises(ConfigError, match="leads out"):
        Folder(root).find(pattern)


def test_links_inside_are_fine_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path, "a/x.csv")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "y.csv").symlink_to(tmp_path / "a" / "x.csv")
    assert found(tmp_path, "y.csv") == ["y.csv"]
    assert "a/x.csv" in found(tmp_path, "**/*.csv")


def test_a_fetched_file_is_the_version_that_was_listed(tmp_path: Path) -> None:
    put(tmp_path, "a.csv", "b.csv")
    folder = Folder(tmp_path)
    a, b = folder.find("*.csv")
    assert folder.fetch(a, tmp_path) == a
    (tmp_path / "a.csv").write_text("changed")
    (tmp_path / "b.csv").unlink()
    assert folder.fetch(a, tmp_path) is None
    assert folder.fetch(b, tmp_path) is None
    (newer,) = folder.find("a.csv")
    assert newer.id != a.id


def test_what_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    put(tmp_path, "data/companies.csv")
    with pytest.raises(DataError, match=r"data/company\.csv.*companies\.csv"):
        raise none_found(Folder(tmp_path), "data/company.csv")


def test_a_bracket_in_a_file_s_name_is_told(tmp_path: Path) -> None:
    put(tmp_path, "in/report [1].csv")
    assert none_found(Folder(tmp_path), "in/report [1].csv").hint == (
        "a `[` begins a set of characters; write in/report [[]1].csv"
    )
    assert found(tmp_path, "in/report [[]1].csv") == ["in/report [1].csv"]
    assert none_found(Folder(tmp_path), "in/[a].csv").hint is None
