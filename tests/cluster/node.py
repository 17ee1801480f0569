"""One node in namespaces of its own: `up`, `down`, and the start and stop of single components."""

from __future__ import annotations

import contextlib
import shutil
import string
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries, certificates, firewall, images, packages
from tests.cluster.api import Api
from tests.cluster.components import COMPONENTS
from tests.cluster.namespaces import Namespaces, Process
from tests.cluster.paths import HERE, Site, lock
from tests.cluster.waiting import until

SYSTEM_IMAGES = ("pause", "coredns")


@dataclass(frozen=True)
class Node:
    """A cluster of one node."""

    site: Site

    @property
    def components(self) -> tuple[str, ...]:
        """What can be started and stopped."""
        return tuple(COMPONENTS)

    @property
    def namespaces(self) -> Namespaces:
        """Where its processes run."""
        return Namespaces(self.site)

    @property
    def api(self) -> Api:
        """Its API server, as administrator."""
        return Api(self.site)

    def up(self) -> None:
        """Start what does not run, until the node is Ready and DNS answers. Errors: everything is ended again."""
        packages.ensure()
        binaries.build()
        archives = [images.ensure(name) for name in SYSTEM_IMAGES]
        with lock(self.site.lock):
            if self.healthy():
                return
            try:
                self._start_all(archives)
            except BaseException as trouble:
                if not isinstance(trouble, KeyboardInterrupt):
                    self._tell_logs()
                self.namespaces.destroy()
                raise

    def _start_all(self, archives: list[images.Archive]) -> None:
        self._configure()
        if not self.namespaces.init:
            self._forget_processes()
            self.namespaces.create()
            firewall.apply(self.namespaces)
        self._launch("etcd", "kube-apiserver")
        self.start("containerd")
        for archive in archives:
            self.load_image(archive)
        self.start("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
        self._apply()
        self.start(*COMPONENTS)
        self._wait()

    def healthy(self) -> bool:
        """Whether every component runs, the node is Ready and DNS answers."""
        return not self.dead(*COMPONENTS) and self.api.node_ready() and self.api.dns_answers()

    def down(self) -> None:
        """End every process and delete all state. Nothing to do is fine."""
        with lock(self.site.lock):
            self.namespaces.destroy()
            shutil.rmtree(self.site.folder, ignore_errors=True)

    def start(self, *names: str) -> None:
        """Start those components that do not run; wait until the API server and containerd answer, if they are named."""
        self._launch(*names)
        if "kube-apiserver" in names:
            until(self.api.ready, "kube-apiserver does not become ready", lambda: self.dead(*names))
        if "containerd" in names:
            until(self._containerd_answers, "containerd does not answer", lambda: self.dead(*names))

    def _launch(self, *names: str) -> None:
        for name in names:
            if not self.running(name):
                program = str(binaries.path(name)) if name in binaries.BINARIES else name
                log = self.site.folder / "logs" / f"{name}.log"
                log.parent.mkdir(exist_ok=True)
                pid = self.namespaces.start([program, *COMPONENTS[name](self.site)], log)
                if process := Process.of(pid, self.namespaces.proc):
                    process.write(self._pid_file(name))

    def stop(self, *names: str, kill: bool = False) -> None:
        """End components, by SIGTERM or at once by SIGKILL. What containerd started runs on."""
        for name in names:
            if (process := self.running(name)) and self.namespaces.init:
                self.namespaces.run("kill", "-KILL" if kill else "-TERM", str(process.pid))
                until(lambda: not self.running(name), f"{name} does not end")  # noqa: B023
            self._pid_file(name).unlink(missing_ok=True)

    def running(self, name: str) -> Process | None:
        """A component's process inside, None where it does not run."""
        process = Process.read(self._pid_file(name))
        return process if process and self.namespaces.init and process.alive(self.namespaces.proc) else None

    def dead(self, *names: str) -> str:
        """The names of those components that do not run."""
        return ", ".join(name for name in names if not self.running(name))

    def load_image(self, archive: images.Archive) -> None:
        """Import an image archive into containerd, once."""
        loaded = self.site.folder / "images" / archive.name.replace("/", "_")
        if loaded.exists() and loaded.read_text() == archive.key:
            return
        inside = self.namespaces.command("ctr", "--namespace=k8s.io", "images", "import", "-")
        with archive.file.open("rb") as content:
            done = subprocess.run(inside, stdin=content, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"ctr images import {archive.file}: {done.stderr.strip()}")
        loaded.parent.mkdir(exist_ok=True)
        loaded.write_text(archive.key)

    def _pid_file(self, name: str) -> Path:
        return self.site.folder / "pids" / name

    def _forget_processes(self) -> None:
        """After the machine started again, pid files name processes of the past."""
        shutil.rmtree(self.site.folder / "pids", ignore_errors=True)

    def _configure(self) -> None:
        certificates.write(self.site)
        for source in (HERE / "config").rglob("*"):
            if source.is_file():
                target = self.site.folder / "config" / source.relative_to(HERE / "config")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(self._fill(source.read_text()))

    def _fill(self, text: str) -> str:
        site = self.site
        return string.Template(text).substitute(PODS=site.pods, DNS=site.service(10), CGROUP=site.cgroup)

    def _apply(self) -> None:
        manifests = "\n---\n".join(self._fill(file.read_text()) for file in sorted((HERE / "manifests").glob("*.yaml")))
        command = [str(binaries.path("kubectl")), f"--kubeconfig={self.site.kubeconfig}", "apply", "-f", "-"]
        done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"kubectl apply: {done.stderr.strip()}")

    def _containerd_answers(self) -> bool:
        inside = self.namespaces.command("ctr", "version")
        return subprocess.run(inside, capture_output=True, check=False).returncode == 0

    def _wait(self) -> None:
        dead = lambda: self.dead(*COMPONENTS)  # noqa: E731
        until(self.api.node_ready, "the node does not become Ready", dead)
        until(self.api.dns_answers, "DNS does not answer", dead)
        until(self.api.default_account, "the default service account is not made", dead)

    def _tell_logs(self) -> None:
        """The end of the log of each component that ended, or of all of them."""
        names = [name for name in COMPONENTS if not self.running(name)] or list(COMPONENTS)
        for name in names:
            with contextlib.suppress(OSError):
                lines = (self.site.folder / "logs" / f"{name}.log").read_text().splitlines()
                print(f"--- {name}", *lines[-8:], sep="\n    ", file=sys.stderr)
