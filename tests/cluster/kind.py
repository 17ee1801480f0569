"""The same cluster made by kind, where Docker's engine runs. Its defaults are ours: a default StorageClass, NetworkPolicies."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from tests.cluster import builder, images
from tests.cluster.paths import Site
from tests.cluster.waiting import until

UNITS = ("kubelet", "containerd")  # of systemd; the others are static pods
STATIC_PODS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
MANIFESTS = "/etc/kubernetes/manifests"


@dataclass(frozen=True)
class Kind:
    """A cluster of one node in a container of Docker."""

    site: Site

    @property
    def components(self) -> tuple[str, ...]:
        """What can be started and stopped."""
        return (*UNITS, *STATIC_PODS)

    def up(self) -> None:
        """Create it; where it is there, start its container and write its kubeconfig again."""
        if self._exists():
            builder.run(["docker", "start", self._container])
            self._kind("export", "kubeconfig", "--kubeconfig", str(self.site.kubeconfig))
        else:
            self._kind("create", "cluster", "--wait=180s", "--kubeconfig", str(self.site.kubeconfig))

    def down(self) -> None:
        """Delete it."""
        self._kind("delete", "cluster", "--kubeconfig", str(self.site.kubeconfig))
        shutil.rmtree(self.site.folder, ignore_errors=True)

    def load_image(self, archive: images.Archive) -> None:
        """Load an image archive into the node."""
        self._kind("load", "image-archive", str(archive.file))

    def start(self, *names: str) -> None:
        """Start components that were stopped."""
        for name in names:
            self._switch(name, f"mv /etc/kubernetes/{name}.stopped {MANIFESTS}/{name}.yaml", "start")

    def stop(self, *names: str, kill: bool = False) -> None:
        """Stop components; with `kill` by SIGKILL."""
        for name in names:
            if kill:
                self._inside(f"pkill -KILL -x {name[:15]}")
            self._switch(name, f"mv {MANIFESTS}/{name}.yaml /etc/kubernetes/{name}.stopped", "stop")
            # The kubelet ends a static pod some time after its manifest has gone, and not at all if it is back before.
            until(lambda: not self.running(name), f"{name} does not end")  # noqa: B023

    def running(self, name: str) -> str:
        """A component's process: its id and when it started; empty where it does not run."""
        return self._inside(f"ps -o pid=,lstart= -C {name[:15]} || true").strip()

    def dead(self, *names: str) -> str:
        """The names of those components that do not run."""
        script = "; ".join(
            f"pgrep {name[:15]} >/dev/null || echo {name}" for name in names if name in (*UNITS, *STATIC_PODS)
        )
        return ", ".join(self._inside(script).split())

    def healthy(self) -> bool:
        """Whether every component runs."""
        return self._exists() and not self.dead(*self.components)

    def _switch(self, name: str, static_pod: str, unit: str) -> None:
        if name not in (*UNITS, *STATIC_PODS):
            raise SystemExit(f"{name}: kind has no such component; there are: {', '.join((*UNITS, *STATIC_PODS))}")
        self._inside(f"systemctl {unit} {name}" if name in UNITS else static_pod)

    @property
    def _container(self) -> str:
        return f"{self.site.name}-control-plane"

    def _exists(self) -> bool:
        listed = subprocess.run(["kind", "get", "clusters"], capture_output=True, text=True, check=False)
        return self.site.name in listed.stdout.split()

    def _inside(self, script: str) -> str:
        return builder.run(["docker", "exec", self._container, "sh", "-c", script])

    def _kind(self, *arguments: str) -> None:
        builder.run(["kind", *arguments, "--name", self.site.name])
