"""kubectl as tests use it: JSON in, JSON out, and port-forwards that end."""

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class KubectlError(Exception):
    """kubectl ended with an error; the text is what it said."""


def wait_for(what: str, probe: Callable[[], T | None], seconds: float = 120, every: float = 0.5) -> T:
    """Return what `probe` returns once it is neither None nor False. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(every)


class Kubectl:
    """kubectl with one kubeconfig and one namespace."""

    def __init__(self, program: str, kubeconfig: Path, namespace: str) -> None:
        self.program, self.kubeconfig, self.namespace = program, kubeconfig, namespace

    def within(self, namespace: str) -> "Kubectl":
        """The same for another namespace."""
        return Kubectl(self.program, self.kubeconfig, namespace)

    def command(self, *args: str) -> list[str]:
        """The command line."""
        return [self.program, "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *args]

    def run(self, *args: str, given: str | None = None, seconds: float = 120) -> str:
        """Run kubectl. Raises KubectlError with what it said."""
        done = subprocess.run(
            self.command(*args), input=given, capture_output=True, text=True, check=False, timeout=seconds
        )
        if done.returncode:
            raise KubectlError(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, *objects: dict[str, Any] | str) -> str:
        """Apply objects, or a file's text."""
        texts = [each if isinstance(each, str) else json.dumps(each) for each in objects]
        return self.run("apply", "-f", "-", given="\n---\n".join(texts))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, None where it is not there."""
        try:
            return json.loads(self.run("get", kind, name, "-o", "json"))  # type: ignore[no-any-return]
        except KubectlError as error:
            if "NotFound" in str(error):
                return None
            raise

    def list(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Return the objects of a kind."""
        args = ["-l", selector] if selector else []
        return json.loads(self.run("get", kind, *args, "-o", "json"))["items"]  # type: ignore[no-any-return]

    def delete(self, kind: str, name: str, *options: str) -> None:
        """Delete an object; it is no error if it has gone."""
        self.run("delete", kind, name, "--ignore-not-found", *options)

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any] | None:
        """Return a condition of a Pipeline that speaks of its present generation."""
        found = self.get("pipeline", name) or {}
        generation = found.get("metadata", {}).get("generation")
        for each in found.get("status", {}).get("conditions", []):
            if each["type"] == kind and each.get("observedGeneration") == generation:
                return each  # type: ignore[no-any-return]
        return None

    @contextlib.contextmanager
    def forward(self, target: str, port: int) -> Iterator[int]:
        """Forward a port of a service; yields the local port. A forward that broke with its pod is made again."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            local = int(probe.getsockname()[1])
        stopped = threading.Event()
        thread = threading.Thread(target=self._keep_forwarding, args=(target, f"{local}:{port}", stopped), daemon=True)
        thread.start()
        try:
            wait_for(f"forward to {target}", lambda: _answers(local), 30, every=0.05)
            yield local
        finally:
            stopped.set()
            thread.join(10)

    def _keep_forwarding(self, target: str, ports: str, stopped: threading.Event) -> None:
        while not stopped.is_set():
            with subprocess.Popen(
                self.command("port-forward", target, ports), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as process:
                while process.poll() is None and not stopped.wait(0.2):
                    pass
                process.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
