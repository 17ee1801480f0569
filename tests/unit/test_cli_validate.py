"""`adutora validate`."""

import argparse
import json
from pathlib import Path

import pytest

from adutora.cli.validate import add_parser, run

GOOD = """apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: %s}
spec:
  stages:
  - {name: p, probe: {connection: online}}
"""


def call(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["validate", *arguments])
    assert args.run is run
    code: int = args.run(args)
    return code


def test_good_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(GOOD % name)
    assert call(str(tmp_path)) == 0
    assert capsys.readouterr().out == "2 files, no errors\n"


def test_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text((GOOD % "a").replace("probe", "prob"))
    assert call(str(path)) == 78
    out = capsys.readouterr().out
    assert out.startswith(f"{path}:6:15: error: unknown field `prob`\n      right: did you mean `probe`?\n")
    assert out.endswith("1 file, 1 error\n")


def test_json_and_github(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text((GOOD % "a").replace("online", "web"))
    assert call(str(path), "--output", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["errors"], document["warnings"], document["diagnostics"][0]["line"]) == (0, 1, 6)
    assert call(str(path), "--output", "github") == 0
    assert capsys.readouterr().out.startswith(f"::warning file={path},line=6,col=")


def test_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(tmp_path)) == 2
    assert "no file of adutora.dev below" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        call()
    assert caught.value.code == 2


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(str(tmp_path / "x.yaml")) == 78
    assert "cannot be read: No such file or directory" in capsys.readouterr().out
