"""The cluster's programs, built by Go from the modules that go/*/go.mod pin: each once, then taken from the cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.paths import CACHE, CLUSTER_CACHE, HERE, lock

GO = HERE / "go"
VERSITYGW = "v1.8.0"
FLAGS = ("-trimpath",)


@dataclass(frozen=True)
class Binary:
    """One program: the folder of its go.mod under go/, its package, and the module whose version it tells."""

    module: str
    package: str
    version_of: str = ""
    version_variables: tuple[str, ...] = ()


def kubernetes(name: str) -> Binary:
    variables = tuple(f"k8s.io/{house}/version.gitVersion" for house in ("component-base", "client-go/pkg"))
    return Binary("kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", variables)


# In the order of need: tests of the operator want the first four alone.
BINARIES = {
    "etcd": Binary("kubernetes", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": kubernetes("kube-apiserver"),
    "kubectl": kubernetes("kubectl"),
    "kube-controller-manager": kubernetes("kube-controller-manager"),
    "kube-scheduler": kubernetes("kube-scheduler"),
    "kubelet": kubernetes("kubelet"),
    "kube-proxy": kubernetes("kube-proxy"),
    "netpol": Binary("node", "./netpol"),
    "hostpath": Binary("node", "./hostpath"),
    "coredns": Binary("coredns", "."),
    "helm": Binary(
        "helm", "helm.sh/helm/v3/cmd/helm", "helm.sh/helm/v3", ("helm.sh/helm/v3/internal/version.version",)
    ),
    "kubeconform": Binary("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
    "pause": Binary("pause", "."),
    "versitygw": Binary("", f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW}"),
}


def path(name: str) -> Path:
    """Where a program is, or will be once it is built."""
    binary = BINARIES[name]
    if not binary.module:
        return CACHE / "versitygw" / VERSITYGW / name
    return CLUSTER_CACHE / "bin" / f"{binary.module}-{_key(binary)}" / name


def folders() -> list[Path]:
    """What to put on PATH."""
    return sorted({path(name).parent for name in BINARIES})


def build(names: list[str] | None = None) -> None:
    """Build what is missing, telling each program's seconds. Errors: SystemExit with Go's own words."""
    for name in names or BINARIES:
        if name not in BINARIES:
            raise SystemExit(f"no program {name!r}; there are: {', '.join(BINARIES)}")
        if not path(name).exists():
            with lock(CLUSTER_CACHE / "bin" / ".lock"):
                if not path(name).exists():  # another process may have built it meanwhile
                    _build(name)


def _build(name: str) -> None:
    if not shutil.which("go"):
        raise SystemExit(f"{name} is built with Go 1.24 or later, which is not there: https://go.dev/dl")
    print(f"   {name}: building", file=sys.stderr, flush=True)
    started, target = time.monotonic(), path(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{name}.{os.getpid()}")
    binary = BINARIES[name]
    folder = GO / binary.module
    if binary.module:
        command = ["go", "build", *FLAGS, "-ldflags", _ldflags(binary), "-o", str(unfinished), binary.package]
    else:
        folder, command = HERE, ["go", "install", binary.package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOBIN": str(target.parent)}
    done = subprocess.run(["nice", "-n", "10", *command], cwd=folder, env=environment, check=False)
    if done.returncode:
        unfinished.unlink(missing_ok=True)
        raise SystemExit(f"{name}: `{' '.join(command)}` in {folder} ended with {done.returncode}")
    if binary.module:
        unfinished.rename(target)
    seconds, size = time.monotonic() - started, target.stat().st_size
    print(f"   {name}: {seconds:.0f} s, {size / 1e6:.0f} MB", file=sys.stderr, flush=True)


def _ldflags(binary: Binary) -> str:
    """Strip symbols and set the version: without it clients see v0.0.0."""
    version = _version(binary)
    return " ".join(["-s", "-w", *(f"-X {variable}={version}" for variable in binary.version_variables)])


def _version(binary: Binary) -> str:
    if not binary.version_of:
        return ""
    found = re.search(
        rf"^\s*(?:require )?{re.escape(binary.version_of)} (\S+)", (GO / binary.module / "go.mod").read_text(), re.M
    )
    if not found:
        raise SystemExit(f"{GO / binary.module / 'go.mod'} does not require {binary.version_of}")
    return found[1]


def _key(binary: Binary) -> str:
    """The content key of a module: its sources, pins and flags."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for file in sorted((GO / binary.module).rglob("*")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
