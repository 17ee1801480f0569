"""A lake on local disk or on a real S3 gateway, and processes that write it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.gateway import Gateway


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[Gateway]:
    server = Gateway(program("versitygw"), tmp_path_factory.mktemp("gateway"), "bucket")
    yield server
    server.stop()


@pytest.fixture
def s3_of_our_own(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Gateway]:
    """A gateway that the test may stop."""
    server = Gateway(program("versitygw"), tmp_path / "gateway", "bucket")
    yield server
    server.stop()


Starter = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start a Python process on a script; its arguments follow. All are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(script: str, *arguments: str) -> "subprocess.Popen[str]":
        path = tmp_path / f"script{len(started)}.py"  # its own: another process may still be reading the last one
        path.write_text(script)
        command = [sys.executable, str(path), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.communicate()
