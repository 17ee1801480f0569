"""The few questions that `up` asks the cluster; tests use a real client."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Any

from tests.cluster.paths import Site

QUESTION = b"\x0akubernetes\x07default\x03svc\x07cluster\x05local\x00" + struct.pack(">HH", 1, 1)


@dataclass(frozen=True)
class Api:
    """A cluster's API server, asked with the administrator's certificate."""

    site: Site

    def get(self, path: str) -> Any:
        """The JSON (or text) at a path; None where the server does not answer 200."""
        pki = self.site.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        try:
            connection = http.client.HTTPSConnection(self.site.node_ip, 6443, timeout=5, context=context)
            with contextlib.closing(connection):
                connection.request("GET", path)
                response = connection.getresponse()
                content = response.read()
        except (OSError, http.client.HTTPException):
            return None
        if response.status != 200:
            return None
        return json.loads(content) if content.startswith(b"{") else content.decode()

    def ready(self) -> bool:
        """Whether the server serves, its start-up hooks done."""
        return bool(self.get("/readyz") == "ok")

    def node_ready(self) -> bool:
        """Whether pods can be placed on the node."""
        node = self.get(f"/api/v1/nodes/{self.site.name}") or {}
        conditions = node.get("status", {}).get("conditions", [])
        tainted = any(
            taint["key"].startswith("node.kubernetes.io/") for taint in node.get("spec", {}).get("taints", [])
        )
        return not tainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def default_account(self) -> bool:
        """Whether pods can be made in the namespace `default`."""
        return self.get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def dns_answers(self) -> bool:
        """Whether the cluster's DNS knows the API server's own service."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
            ask.settimeout(0.5)
            try:
                ask.sendto(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + QUESTION, (self.site.service(10), 53))
                answer = ask.recv(512)
            except OSError:
                return False
        return struct.unpack(">H", answer[6:8])[0] == 1 and socket.inet_aton(self.site.service(1)) in answer
