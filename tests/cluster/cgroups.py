"""The control groups of a cluster, in version 1 (each hierarchy) and version 2."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

SYSTEM = "system"  # beside kubelet's `kubepods`: the node's own processes


def hierarchies() -> list[Path]:
    """Where the hierarchies are mounted: those of version 1, that of version 2, or both kinds."""
    rows = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(row[1]) for row in rows if row[2] in {"cgroup", "cgroup2"}]


def create(name: str) -> None:
    """Make the group and its `system` child in every hierarchy."""
    for hierarchy in hierarchies():
        for folder in (hierarchy / name, hierarchy / name / SYSTEM):
            folder.mkdir(exist_ok=True)
            _inherit(folder)


def _inherit(folder: Path) -> None:
    """A new cpuset is empty in version 1, and in version 2 controllers are off for children."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        file, parent = folder / setting, folder.parent / setting
        if file.exists() and parent.exists() and not file.read_text().strip():
            file.write_text(parent.read_text())
    control = folder.parent / "cgroup.subtree_control"
    if control.exists():
        for controller in (folder.parent / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                control.write_text(f"+{controller}")


def system(name: str) -> list[Path]:
    """The group of the node's own processes, in every hierarchy."""
    return [hierarchy / name / SYSTEM for hierarchy in hierarchies()]


def join(name: str, pid: int) -> None:
    """Move a process into the group of the node's own processes."""
    for folder in system(name):
        (folder / "cgroup.procs").write_text(str(pid))


def remove(name: str) -> None:
    """Remove the groups, the deepest first. A group is busy for an instant after its last process."""
    for hierarchy in hierarchies():
        top = hierarchy / name
        if top.exists():
            folders = sorted((f for f in top.rglob("*") if f.is_dir()), key=lambda f: -len(f.parts))
            for folder in (*folders, top):
                _remove(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            return folder.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
