"""What we ask of Kubernetes, by `kubectl` and so with its user's own rights."""

import base64
import binascii
import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from adutora.errors import ConfigError, TemporaryError

SERVICE, PORT = "airflow-api-server", 8080
SECRET = "adutora-airflow-admin"  # noqa: S105 - its name
_FORWARDED = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+) ->")
_WAIT = 30.0  # seconds for a port-forward
_TEMPORARY = re.compile(
    r"refused|timeout|timed out|unable to connect|EOF|TLS handshake|ServiceUnavailable", re.IGNORECASE
)


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the options that choose a cluster. `namespace`: None for the context's own."""

    context: str | None = None
    namespace: str | None = None

    def read(self, *arguments: str) -> Any:
        """Return what kubectl prints as JSON.

        Raises ConfigError for what is not there or not allowed, TemporaryError where the API server does not answer.
        """
        done = self._run(*arguments, "--output", "json")
        return json.loads(done)

    def log(self, pod: str, namespace: str) -> str:
        """Return the log of a pod. Raises as `read` does."""
        return self._run("logs", pod, "--namespace", namespace)

    def own_namespace(self) -> str:
        """Return the namespace that is meant where none is given."""
        if self.namespace is not None:
            return self.namespace
        found = self._run("config", "view", "--minify", "--output", "jsonpath={..namespace}").strip()
        return found or "default"

    def pipeline(self, name: str) -> Any:
        """Return a Pipeline. Raises ConfigError where there is none."""
        return self.read("get", "pipelines.adutora.dev", name, "--namespace", self.own_namespace())

    def platform(self, given: str | None) -> str:
        """Return the namespace that Airflow is in: the only one that has its service."""
        if given is not None:
            return given
        field = f"metadata.name={SERVICE}"
        items = self.read("get", "services", "--all-namespaces", "--field-selector", field)["items"]
        found = sorted(item["metadata"]["namespace"] for item in items)
        if len(found) == 1:
            return str(found[0])
        what = f"namespaces {', '.join(found)} have" if found else "no namespace has"
        raise ConfigError(f"{what} a service {SERVICE}", hint="give --platform NAMESPACE, or --url URL")

    def login(self, namespace: str) -> tuple[str, str]:
        """Return user and password that the chart made. Raises ConfigError where they may not be read."""
        data = self.read("get", "secret", SECRET, "--namespace", namespace)["data"]
        try:
            return base64.b64decode(data["username"]).decode(), base64.b64decode(data["password"]).decode()
        except (KeyError, binascii.Error, UnicodeDecodeError) as error:
            raise ConfigError(f"secret {SECRET} has no username and password", hint="give --user") from error

    @contextlib.contextmanager
    def forwarded(self, namespace: str) -> Iterator[str]:
        """Forward a port of this machine to Airflow's API while the block runs. Yields its URL."""
        command = [*self._command(), "port-forward", "--namespace", namespace, f"service/{SERVICE}", f":{PORT}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            late = threading.Timer(_WAIT, process.kill)
            late.start()
            try:
                port = _port(process)
                late.cancel()  # what is done through the port may take as long as it likes
                yield f"http://127.0.0.1:{port}"
            finally:
                late.cancel()
                process.terminate()

    def _command(self) -> list[str]:
        return ["kubectl", *(["--context", self.context] if self.context else [])]

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run([*self._command(), *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise ConfigError("kubectl is not on PATH", hint="https://kubernetes.io/docs/tasks/tools") from None
        if done.returncode == 0:
            return done.stdout
        text = " ".join(done.stderr.split()) or f"kubectl ended with code {done.returncode}"
        raise (TemporaryError if _TEMPORARY.search(text) else ConfigError)(text)


def _port(process: "subprocess.Popen[bytes]") -> int:
    """Return the port that kubectl chose. Raises TemporaryError where it ends without one."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    said = b""
    while line := process.stdout.readline():
        said += line
        found = _FORWARDED.search(line)
        if found:
            # What it says later, for each connection, has to go somewhere.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return int(found[1])
    raise TemporaryError(f"kubectl cannot forward a port: {said.decode(errors='replace').strip()}")
