"""A lake on local disk or on a real S3 gateway, and processes that write it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class S3:
    """A versitygw over a folder, with one bucket."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.folder = folder
        (folder / "s3" / "bucket").mkdir(parents=True)
        address = f"127.0.0.1:{self.port}"
        self.options = {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret-key",
            "AWS_REGION": "us-east-1",
        }
        command = [program, "--port", address, "--access", "test", "--secret", "secret-key", "posix"]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([*command, str(folder / "s3")], stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("versitygw does not answer")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, program: Callable[[str], str]) -> Iterator[S3]:
    server = S3(program("versitygw"), tmp_path_factory.mktemp("gateway"))
    yield server
    server.stop()


@pytest.fixture
def s3_of_our_own(tmp_path: Path, program: Callable[[str], str]) -> Iterator[S3]:
    """A gateway that the test may stop."""
    server = S3(program("versitygw"), tmp_path / "gateway")
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
