"""The base of our images where no registry can be asked: Debian 12 with Python 3.11, in the shape of
`python:3.11-slim-bookworm`. With Docker's engine, that image itself. `ADUTORA_IMAGE_BASE` names another.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster import builder
from tests.cluster.paths import CLUSTER_CACHE

PUBLIC = "docker.io/library/python:3.11-slim-bookworm"
PACKAGES = "ca-certificates,netbase,tzdata,python3,python3-venv"
COMMAND = [
    "mmdebstrap",
    "--variant=minbase",
    f"--include={PACKAGES}",
    "--aptopt=APT::Install-Recommends false",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    # as in the public image: Python is in /usr/local/bin (pip is in virtual environments alone)
    '--customize-hook=for p in python python3; do ln -s /usr/bin/python3 "$1/usr/local/bin/$p"; done',
    '--customize-hook=rm -f "$1/etc/resolv.conf"',
    '--customize-hook=: > "$1/etc/hostname"',
    "bookworm",
]
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": str(builder.CERTIFICATES),  # for programs that bring certificates of their own, such as uv
}


def reference() -> str:
    """What Dockerfiles get as BASE."""
    if given := os.environ.get("ADUTORA_IMAGE_BASE"):
        return given
    return PUBLIC if builder.docker() else f"localhost/adutora-base:{_key()}"


def ensure() -> None:
    """Make the stand-in if it is needed and missing: from its archive, else with mmdebstrap."""
    name = reference()
    if not name.startswith("localhost/adutora-base:") or builder.has(name):
        return
    archive = CLUSTER_CACHE / "images" / f"base-{_key()}.oci"
    if archive.exists():
        builder.buildah("pull", f"oci-archive:{archive}:{name}")
    else:
        _bootstrap(name)
        builder.save(name, archive)


def _bootstrap(name: str) -> None:
    started = time.monotonic()
    print("   image base: mmdebstrap", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tar = Path(folder) / "root.tar"
        done = subprocess.run([*COMMAND, str(tar)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"mmdebstrap: {done.stderr.strip()[-2000:]}")
        builder.import_root(tar, name, ENVIRONMENT)
    print(f"   image base: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _key() -> str:
    return hashlib.sha256(repr((COMMAND, ENVIRONMENT)).encode()).hexdigest()[:12]
