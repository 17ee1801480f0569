"""An Airflow of one's own: its settings, its processes, and their end."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from adutora.errors import ConfigError, TemporaryError

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
STOPPING = 15.0  # seconds between SIGTERM and SIGKILL
READY = 180.0  # seconds until the pages answer


class LocalAirflow:
    """Airflow's four processes, with SQLite, in `home`; its pages answer on loopback alone."""

    def __init__(self, home: Path, root: Path, port: int, python_path: list[str]) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{port}"
        self._env = {**os.environ, **_settings(home, root, port, python_path)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def migrate(self) -> None:
        """Make or upgrade the database. Raises ConfigError with what Airflow said."""
        self.home.mkdir(parents=True, exist_ok=True)
        _write_local_settings(self.home)
        done = subprocess.run([*_AIRFLOW, "db", "migrate"], env=self._env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"Airflow's database cannot be made: {done.stderr.strip()[-1000:]}")

    def start(self) -> None:
        """Start the processes. Each leads a group of its own, so that a Ctrl-C reaches us alone."""
        for name in COMPONENTS:
            with (self.home / f"{name}.log").open("wb") as log:
                self._processes[name] = subprocess.Popen(
                    [*_AIRFLOW, name], env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip

    def wait_ready(self) -> None:
        """Wait until the pages answer. Raises TemporaryError if they do not."""
        import httpx

        deadline = time.monotonic() + READY
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(httpx.HTTPError):
                # What tasks speak to as well, or the first of them would wait while it is built.
                pages = [f"{self.url}{path}" for path in ("/api/v2/version", "/execution/health")]
                if all(httpx.get(page, timeout=60, trust_env=False).status_code < 500 for page in pages):
                    return
            time.sleep(0.5)
        raise TemporaryError(f"Airflow did not answer within {READY:.0f} s", hint=f"see {self.home}/api-server.log")

    def check(self) -> None:
        """Raise TemporaryError if a process has ended."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = self.home / f"{name}.log"
                raise TemporaryError(f"Airflow's {name} ended with code {process.returncode}", hint=f"see {log}")

    def stop(self) -> None:
        """End all processes and what they started."""
        for process in self._processes.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOPPING
        for process in self._processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()


_AIRFLOW = (sys.executable, "-m", "airflow")


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _settings(home: Path, root: Path, port: int, python_path: list[str]) -> dict[str, str]:
    bundle = [{"name": "adutora", "classpath": "adutora_airflow.bundle.AdutoraDagBundle",
               "kwargs": {"refresh_interval": 1}}]  # fmt: skip
    given = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": str(max(2, os.cpu_count() or 2)),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__WORKERS": "1",
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundle),
        "DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "versions"),
        "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **{f"AIRFLOW__{name}": value for name, value in given.items()},
        "AIRFLOW_HOME": str(home),
        "ADUTORA_STAGES": "local",
        "ADUTORA_BUNDLE_ROOT": str(root),
        "PYTHONPATH": os.pathsep.join([*python_path, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _write_local_settings(home: Path) -> None:
    folder = home / "config"
    folder.mkdir(exist_ok=True)
    text = "from adutora_airflow.preload import preload\n\npreload()\n"
    (folder / "airflow_local_settings.py").write_text(text)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
