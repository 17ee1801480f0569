"""Where things are: the shared cache, and the run folder and addresses of one cluster."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CACHE = Path(os.environ.get("ADUTORA_CACHE") or Path.home() / ".cache" / "adutora")
CLUSTER_CACHE = CACHE / "cluster"
SLOTS = range(8)
INSIDE = Path(
    "/run/adutora"
)  # where a node sees its own run folder: short, since socket paths are limited to 107 bytes


@contextlib.contextmanager
def lock(file: Path) -> Iterator[None]:
    """Hold a file's lock: one process at a time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Site:
    """One cluster's name and place. `slot` (0 to 7) keeps the addresses of clusters on one machine apart."""

    name: str
    slot: int = 0

    @property
    def folder(self) -> Path:
        """All state, deleted by `down`."""
        return CLUSTER_CACHE / "run" / self.name

    @property
    def lock(self) -> Path:
        """One `up` or `down` at a time."""
        return CLUSTER_CACHE / "run" / f".{self.name}.lock"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, for the host."""
        return self.folder / "kubeconfig"

    @property
    def cgroup(self) -> str:
        """Parent of all pods and of the node's own processes, in each hierarchy."""
        return f"adutora-{self.name}"

    @property
    def link(self) -> str:
        """The host's end of the cable to the node; the kernel allows 15 bytes."""
        return f"adutora{self.slot}"

    @property
    def host_ip(self) -> str:
        """Where pods find servers of the host."""
        return f"10.240.{self.slot}.1"

    @property
    def node_ip(self) -> str:
        """Where the host finds the API server and node ports."""
        return f"10.240.{self.slot}.2"

    @property
    def pods(self) -> str:
        """Addresses of pods; the host has a route."""
        return f"10.{64 + self.slot}.0.0/22"

    @property
    def services(self) -> str:
        """Addresses of services; the host has a route."""
        return f"10.{96 + self.slot}.0.0/16"

    def service(self, last: int) -> str:
        """One service's address: 1 is the API server, 10 is DNS."""
        return f"10.{96 + self.slot}.0.{last}"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.node_ip}:6443"
