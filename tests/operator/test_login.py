"""Outside a cluster, and without a kubeconfig, the operator says so and ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apiserver.server import free_port

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "nothing says where the API server is: there is no "),
        ("{", "what says where the API server is cannot be read: "),
        ("{}", "what says where the API server is cannot be read: "),
    ],
)
def test_without_an_api_server_it_ends(tmp_path: Path, content: str | None, said: str) -> None:
    kubeconfig = tmp_path / "config"
    if content is not None:
        kubeconfig.write_text(content)
    env = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operators'}",
        "ADUTORA_HEALTH_PORT": str(free_port()), "ADUTORA_METRICS_PORT": str(free_port()),
    }  # fmt: skip
    command = [sys.executable, "-P", "-m", "adutora_operator"]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78, ended.stderr
    assert ended.stderr.startswith(f"error: {said}"), ended.stderr
    assert ended.stderr.count("\n") == 1
    assert "(run in a pod with a service account, or set KUBECONFIG)" in ended.stderr
