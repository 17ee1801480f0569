"""What the node takes from Debian: the container runtime and what networks and images are made with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

# program (or file): its package
PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
}


def ensure() -> None:
    """Install what is missing. Errors: SystemExit where this is not root on Debian."""
    absent = sorted({package for program, package in PROGRAMS.items() if not _has(program)})
    if not absent:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise SystemExit(f"missing: {', '.join(absent)}; install them, or run as root on Debian")
    print(f"   apt-get install {' '.join(absent)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *absent]):
        done = subprocess.run(["apt-get", *command], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"apt-get {command[0]}: {done.stderr.strip()}")


def _has(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None
