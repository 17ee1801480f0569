"""A real etcd and kube-apiserver on loopback, and a small client: what envtest is for Go.

Users come by static tokens: `admin` may do all, `operator` is the service account that the chart would give it, others
are nobody until a role says so.
"""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.cluster import binaries

Json = dict[str, Any]
GROUP = "/apis/adutora.dev/v1alpha1"
OPERATOR = "system:serviceaccount:adutora:adutora-operator"
DRIVER = "system:serviceaccount:team:adutora-spark"
SERVICE_ACCOUNTS = "system:serviceaccounts"
USERS = {"admin": "system:masters", "alice": "", "bob": "", OPERATOR: SERVICE_ACCOUNTS, DRIVER: SERVICE_ACCOUNTS}
PROGRAMS = ("etcd", "kube-apiserver", "kubectl", "kube-controller-manager")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, ready: Any, seconds: float = 60, every: float = 0.05) -> Any:
    """Call `ready` until it returns something true, and return that."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        last = ready()
        if last:
            return last
        time.sleep(every)
    raise AssertionError(f"{what} did not come to pass within {seconds:.0f} s")


class Client:
    """Requests of one user, as JSON."""

    def __init__(self, url: str, ca: Path, token: str) -> None:
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60,
            verify=ssl.create_default_context(cafile=ca), trust_env=False,
        )  # fmt: skip

    def call(
        self, method: str, path: str, body: Json | None = None, kind: str = "application/json"
    ) -> tuple[int, Json]:
        """Send a request; return status and answer."""
        content = None if body is None else json.dumps(body)
        answer = self._http.request(method, path, content=content, headers={"Content-Type": kind})
        # A path that is not served yet is answered in plain text.
        is_json = answer.headers.get("Content-Type", "").startswith("application/json")
        return answer.status_code, answer.json() if is_json else {"message": answer.text}

    def get(self, plural: str, name: str, namespace: str = "team") -> Json | None:
        status, body = self.call("GET", f"{GROUP}/namespaces/{namespace}/{plural}/{name}")
        return body if status == 200 else None

    def list(self, plural: str, namespace: str = "team") -> list[Json]:
        items: list[Json] = self.call("GET", f"{GROUP}/namespaces/{namespace}/{plural}")[1]["items"]
        return items

    def apply(self, body: Json) -> tuple[int, Json]:
        """Server-side apply of one of our objects."""
        where = f"{GROUP}/namespaces/{body['metadata']['namespace']}/{body['kind'].lower()}s/{body['metadata']['name']}"
        return self.call("PATCH", f"{where}?fieldManager=user&force=true", body, "application/apply-patch+yaml")

    def create(self, body: Json) -> tuple[int, Json]:
        return self.call("POST", f"{GROUP}/namespaces/{body['metadata']['namespace']}/{body['kind'].lower()}s", body)

    def patch(self, plural: str, name: str, body: Json, namespace: str = "team", sub: str = "") -> tuple[int, Json]:
        path = f"{GROUP}/namespaces/{namespace}/{plural}/{name}{sub}"
        return self.call("PATCH", path, body, "application/merge-patch+json")

    def delete(self, plural: str, name: str, namespace: str = "team") -> int:
        return self.call("DELETE", f"{GROUP}/namespaces/{namespace}/{plural}/{name}")[0]

    def ready(self) -> bool:
        return self._http.get("/readyz").status_code == 200

    def close(self) -> None:
        self._http.close()


@dataclass
class ApiServer:
    """One etcd and one kube-apiserver. `folder` holds data, certificates and logs."""

    folder: Path
    etcd_port: int
    port: int
    processes: dict[str, subprocess.Popen[bytes]]

    @classmethod
    def start(cls, folder: Path) -> "ApiServer":
        server = cls(folder, free_port(), free_port(), {})
        rows = [f"{token(user)},{user},{user},{group}" for user, group in USERS.items()]
        (folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        subprocess.run(["openssl", "genrsa", "-out", folder / "accounts.key", "2048"], check=True, capture_output=True)
        try:
            server._start_etcd()
            server.start_apiserver()
        except BaseException:
            server.close()
            raise
        return server

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca(self) -> Path:
        return self.folder / "certs" / "apiserver.crt"

    def client(self, user: str = "admin") -> Client:
        return Client(self.url, self.ca, token(user))

    def kubeconfig(self, user: str, url: str | None = None) -> Path:
        """Write a kubeconfig of a user; `url` leads through a proxy."""
        cluster = {"server": url} if url else {"server": self.url, "certificate-authority": str(self.ca)}
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x", "namespace": "team"}}],
            "clusters": [{"name": "x", "cluster": cluster}],
            "users": [{"name": "x", "user": {"token": token(user)}}],
        }  # fmt: skip
        path = self.folder / f"kubeconfig-{user.replace(':', '-')}-{(url or 'direct').rpartition(':')[2]}"
        path.write_text(yaml.safe_dump(config))
        return path

    def kubectl(self, *arguments: str, user: str = "admin", text: str | None = None, check: bool = True) -> str:
        """Run kubectl; return what it printed, on both outputs."""
        command = [binaries.path("kubectl"), f"--kubeconfig={self.kubeconfig(user)}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def start_apiserver(self) -> None:
        key = self.folder / "accounts.key"
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--cert-dir={self.folder / 'certs'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--profiling=false",
        )
        wait_for("the API server", self._ready)

    def stop(self, name: str, *, kill: bool = False) -> None:
        process = self.processes.pop(name, None)
        if process is not None:
            process.kill() if kill else process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(20)

    def close(self) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self.stop(name, kill=True)

    def start_garbage_collector(self) -> None:
        """Deletion of what is owned is the controller manager's."""
        self._spawn(
            "kube-controller-manager", f"--kubeconfig={self.kubeconfig('admin')}",
            "--controllers=garbage-collector-controller", "--leader-elect=false", f"--secure-port={free_port()}",
            f"--cert-dir={self.folder / 'manager-certs'}",
        )  # fmt: skip

    def apply_files(self, files: Iterable[Path]) -> None:
        """`kubectl apply` as users do it."""
        for file in files:
            self.kubectl("apply", "-f", str(file))

    def _start_etcd(self) -> None:
        peer = free_port()
        self._spawn(
            "etcd", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=error",
            f"--listen-client-urls=http://127.0.0.1:{self.etcd_port}",
            f"--advertise-client-urls=http://127.0.0.1:{self.etcd_port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        )  # fmt: skip

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [str(binaries.path(name)), *arguments]
            # GOMAXPROCS unset on purpose: the server is what it is for users.
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ})

    def _ready(self) -> bool:
        process = self.processes["kube-apiserver"]
        assert process.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
        if not self.ca.exists() or "END CERTIFICATE" not in self.ca.read_text():  # it is being written
            return False
        client = self.client()
        try:
            return client.ready()
        except (httpx.HTTPError, OSError):
            return False
        finally:
            client.close()


def token(user: str) -> str:
    return f"token-of-{user.rpartition(':')[2]}"
