"""The node's own namespaces: processes, network, mounts, host name. When its first process ends, the kernel ends every
process in them and takes their interfaces, iptables rules and mounts away: nothing can be left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import binaries, cgroups
from tests.cluster.paths import INSIDE, Site
from tests.cluster.waiting import until

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the kubelet sets for the whole machine. In the node these files are copies that already hold its values.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


@dataclass(frozen=True)
class Process:
    """A process by its id and its start time (clock ticks since boot): an id that was given again is not it."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int, proc: Path = Path("/proc")) -> Process | None:
        """The process that has this id now; None where there is none, or only its zombie."""
        try:
            fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @classmethod
    def read(cls, file: Path) -> Process | None:
        """The one a pid file names."""
        with contextlib.suppress(OSError, ValueError):
            pid, started = file.read_text().split()
            return cls(int(pid), int(started))
        return None

    def write(self, file: Path) -> None:
        """Keep it in a pid file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{self.pid} {self.started}\n")

    def alive(self, proc: Path = Path("/proc")) -> bool:
        """Whether it still runs."""
        return Process.of(self.pid, proc) == self


@dataclass(frozen=True)
class Namespaces:
    """The namespaces of one node, held by its first process, which only reaps."""

    site: Site

    @property
    def _file(self) -> Path:
        return self.site.folder / "pids" / "init"

    @property
    def init(self) -> Process | None:
        """The first process, as the host sees it; None where it does not run."""
        init = Process.read(self._file)
        return init if init and init.alive() else None

    @property
    def proc(self) -> Path:
        """The node's own /proc, as the host sees it."""
        assert self.init
        return Path(f"/proc/{self.init.pid}/root/proc")

    def create(self) -> None:
        """Make the namespaces, their mounts and the cable to the host."""
        (self.site.folder / "pids").mkdir(parents=True, exist_ok=True)
        cgroups.create(self.site.cgroup)
        flags = "--net --mount --ipc --uts --pid --fork --kill-child --propagation=private --mount-proc"
        script = f'setsid unshare {flags} "$0" </dev/null >/dev/null 2>&1 & echo $!'
        outer = subprocess.run(
            ["sh", "-c", script, str(binaries.path("pause"))],
            capture_output=True, text=True, check=True, env={"PATH": PATH}, cwd="/",
        )  # fmt: skip
        init = _child(int(outer.stdout))
        init.write(self._file)
        cgroups.join(self.site.cgroup, init.pid)
        self._mount()
        self._connect(init.pid)

    def destroy(self) -> None:
        """End the first process, and with it all others; wait until they are gone."""
        if init := self.init:
            os.kill(init.pid, signal.SIGKILL)
            until(lambda: not init.alive(), f"process {init.pid} does not end")
        cgroups.remove(self.site.cgroup)
        subprocess.run(["ip", "link", "delete", self.site.link], capture_output=True, check=False)
        self._file.unlink(missing_ok=True)

    def command(self, *command: str | Path) -> list[str]:
        """The same command, inside."""
        if not (init := self.init):
            raise SystemExit(f"cluster {self.site.name!r} does not run: python3 -m tests.cluster up")
        return [
            "nsenter",
            f"--target={init.pid}",
            "--net",
            "--mount",
            "--ipc",
            "--uts",
            "--pid",
            "--",
            *map(str, command),
        ]

    def run(self, *command: str | Path, stdin: str | None = None) -> str:
        """Run a command inside; its standard output. Errors: SystemExit with what it wrote."""
        done = subprocess.run(
            self.command(*command),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": PATH},
            cwd="/",
        )
        if done.returncode:
            raise SystemExit(f"`{' '.join(map(str, command))}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def start(self, command: list[str], log: Path) -> int:
        """Start a command inside, in a session and the control group of the node; its process id there."""
        groups = " ".join(str(folder / "cgroup.procs") for folder in cgroups.system(self.site.cgroup))
        script = (
            f'for g in {groups}; do echo 0 >$g; done; log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
        )
        return int(self.run("sh", "-c", script, "sh", log, *command))

    def _mount(self) -> None:
        """Private /run and state folders; the run folder is at INSIDE; files in place of the kernel's settings."""
        script = ["set -e", f"hostname {self.site.name}"]
        # CNI keeps there which pod has which address: another node's, or one of yesterday, would be taken for ours.
        script += ["mkdir -p /var/lib/cni"]
        script += [f"mount -t tmpfs -o mode=755 tmpfs {folder}" for folder in ("/run", "/var/log", "/var/lib/cni")]
        script += [f"mkdir -p {INSIDE}", f"mount --bind {self.site.folder} {INSIDE}"]
        settings = self.site.folder / "settings"
        settings.mkdir(exist_ok=True)
        for name, value in KERNEL_SETTINGS.items():
            (settings / name.replace("/", ".")).write_text(value)
            script.append(f"mount --bind {settings / name.replace('/', '.')} /proc/sys/{name}")
        self.run("sh", "-c", "\n".join(script))

    def _connect(self, init: int) -> None:
        site = self.site
        subprocess.run(["ip", "link", "delete", site.link], capture_output=True, check=False)
        host = [
            f"link add {site.link} type veth peer name uplink netns {init}",
            f"address add {site.host_ip}/30 dev {site.link}",
            f"link set {site.link} up",
        ]
        routes = [f"route replace {subnet} via {site.node_ip}" for subnet in (site.pods, site.services)]
        for line in host:
            _ip(line)
        inside = ["ip link set lo up", f"ip address add {site.node_ip}/30 dev uplink", "ip link set uplink up"]
        self.run("sh", "-ec", "\n".join([*inside, "echo 1 > /proc/sys/net/ipv4/ip_forward"]))
        for line in routes:
            _ip(line)


def _ip(line: str) -> None:
    done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ip {line}: {done.stderr.strip()}")


def _child(parent: int) -> Process:
    """The first child of a process that is about to fork, once it has become the program it is to run."""
    found: list[Process] = []

    def look() -> bool:
        children = Path(f"/proc/{parent}/task/{parent}/children")
        for pid in children.read_text().split() if children.exists() else []:
            process = Process.of(int(pid))
            if process and Path(f"/proc/{pid}/comm").read_text().strip() == "pause":
                found.append(process)
        return bool(found)

    try:
        until(look, "unshare did not start the node's first process: is this root?", seconds=20)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.kill(parent, signal.SIGKILL)  # and its child with it
        raise
    return found[0]
