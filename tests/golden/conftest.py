"""Fixtures of the golden tests."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def shop_api() -> Iterator[None]:
    """The API of example 06, on the port that its adutora.yaml names."""
    process = subprocess.Popen([sys.executable, str(EXAMPLES / "06-http" / "api.py")])
    try:
        for _ in range(100):
            try:
                with urllib.request.urlopen("http://127.0.0.1:8377/", timeout=1):
                    break
            except urllib.error.URLError:
                if process.poll() is not None:
                    pytest.fail("the API of example 06 did not start: is port 8377 taken?")
                subprocess.run(["sleep", "0.05"], check=True)
        yield
    finally:
        process.terminate()
        process.wait()
