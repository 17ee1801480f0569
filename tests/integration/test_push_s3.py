"""`adutora push` to a real S3 gateway, and a pod that finds what was pushed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adutora.cli import main
from tests.integration.test_files_s3 import Gateway

pytestmark = pytest.mark.integration
PIPELINE = """\
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop, namespace: team}
spec:
  stages:
    - name: land
      ingest: {files: {path: "in/*.csv"}}
      output: {table: bronze.land, mode: overwrite}
"""
PROJECT = """\
apiVersion: adutora.dev/v1alpha1
kind: Project
metadata: {name: default, namespace: team}
spec:
  filesRoot: s3://uploads/files
  lake: {root: s3://uploads/lake, connection: store}
  connections:
    - {name: store, s3: {bucket: uploads, endpoint: ENDPOINT}, secretRef: {name: store}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Gateway]:
    server = Gateway(program("versitygw"), tmp_path_factory.mktemp("gateway"))
    yield server
    server.stop()


@pytest.fixture
def folder(tmp_path: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").write_text("a\n1\n")
    (tmp_path / "in/large.csv").write_bytes(b"a\n" * 6_000_000)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "adutora.yaml").write_text(PROJECT.replace("ENDPOINT", f"http://127.0.0.1:{gateway.port}"))
    monkeypatch.setenv("ADUTORA_SECRET_STORE_ACCESSKEY", "test")
    monkeypatch.setenv("ADUTORA_SECRET_STORE_SECRETKEY", "secret-key")
    return tmp_path


def push(folder: Path, *more: str) -> int:
    return main(["push", str(folder / "pipeline.yaml"), *more])


def test_files_go_there_once(folder: Path, gateway: Gateway, capsys: pytest.CaptureFixture[str]) -> None:
    there = gateway.bucket / "files/team/shop"
    assert push(folder) == 0
    assert (there / "in/large.csv").stat().st_size == 12_000_000
    assert capsys.readouterr().out == "s3://uploads/files/team/shop: 2 new\n"
    assert push(folder) == 0
    assert capsys.readouterr().out == "s3://uploads/files/team/shop: 2 unchanged\n"
    (folder / "in/a.csv").write_text("a\n2\n")
    assert push(folder) == 0
    assert capsys.readouterr().out == "s3://uploads/files/team/shop: 1 changed, 1 unchanged\n"
    assert (there / "in/a.csv").read_text() == "a\n2\n"
    (folder / "in/a.csv").unlink()
    assert push(folder, "--prune") == 0
    assert capsys.readouterr().out == "s3://uploads/files/team/shop: 1 unchanged, 1 removed\n"
    assert not (there / "in/a.csv").exists()


def test_a_store_that_is_down_is_temporary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "adutora.yaml").write_text(PROJECT.replace("ENDPOINT", "http://127.0.0.1:1"))
    assert push(folder) == 75
    assert "does not answer" in capsys.readouterr().err


def test_keys_that_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ADUTORA_SECRET_STORE_SECRETKEY", "wrong-key")
    assert push(folder) == 78
    assert "refuses our keys" in capsys.readouterr().err
