"""Who builds images: Docker's engine where it runs, else buildah with a storage of its own in the cache."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from pathlib import Path

from tests.cluster.paths import CLUSTER_CACHE

STORAGE = CLUSTER_CACHE / "images" / "storage"
MOST_LAYERS = 1000  # with too few, the large ones that seldom change go too, and take minutes to build anew
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@functools.cache
def docker() -> bool:
    """Whether Docker's engine answers."""
    try:
        return subprocess.run(["docker", "version"], capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def build(dockerfile: Path, context: Path, reference: str, arguments: dict[str, str]) -> None:
    """Build one Dockerfile. Errors: SystemExit with the end of what the builder wrote."""
    options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
    common = ["-f", str(dockerfile), "-t", reference, *options, str(context)]
    if docker():
        run(["docker", "build", *common])
    else:
        trust = [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"] if CERTIFICATES.exists() else []
        buildah("build", "--pull=never", "--layers", "--force-rm", *trust, *common)
        _tidy()


def _tidy() -> None:
    """Forget old layers when there are many: each build leaves some 20 that only the next one like it would use."""
    with contextlib.suppress(SystemExit):  # the image is built, and the next build tidies again
        if len(buildah("images", "--all", "--quiet").split()) > MOST_LAYERS:
            buildah("rm", "--all")
            buildah("rmi", "--prune")


def pull(reference: str) -> None:
    """Have Docker's engine pull an image, even where it has one of this name: that may be a stand-in of ours."""
    run(["docker", "pull", reference])


def save(reference: str, file: Path) -> None:
    """Write an image as an archive that containerd and kind can load."""
    unfinished = file.with_suffix(f".{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished.unlink(missing_ok=True)
    if docker():
        run(["docker", "save", "-o", str(unfinished), reference])
    else:
        buildah("push", reference, f"oci-archive:{unfinished}:{reference}")
    unfinished.rename(file)


def import_root(tar: Path, reference: str, environment: dict[str, str]) -> None:
    """Make an image of one layer from a root file system."""
    if docker():
        changes = [f"--change=ENV {name}={value}" for name, value in environment.items()]
        run(["docker", "import", *changes, str(tar), reference])
        return
    container = buildah("from", "scratch").strip()
    try:
        buildah("add", "--quiet", container, str(tar), "/")
        buildah("config", "--cmd", "bash", *(f"--env={name}={value}" for name, value in environment.items()), container)
        buildah("commit", "--quiet", container, reference)
    finally:
        buildah("rm", container)


def has(reference: str) -> bool:
    """Whether the builder's own storage holds an image."""
    if docker():
        return (
            subprocess.run(["docker", "image", "inspect", reference], capture_output=True, check=False).returncode == 0
        )
    return (
        subprocess.run([*_BUILDAH, "inspect", "--type=image", reference], capture_output=True, check=False).returncode
        == 0
    )


# A mount namespace of its own: what buildah mounts ends with it. Its storage is seen at a place outside of /root/.cache,
# since buildah 1.28 takes a cache mount's target (/root/.cache/uv) for a path of its storage, and removes /uv instead.
_SEEN = "/run/adutora-images"
_BUILDAH = [
    "unshare", "--mount", "--propagation=private", "sh", "-ec",
    f'mkdir -p {_SEEN}; mount --bind "$0" {_SEEN}; '
    f'exec buildah --root={_SEEN}/storage --runroot={_SEEN}/storage-run --storage-driver=overlay "$@"',
    str(STORAGE.parent),
]  # fmt: skip


def buildah(*arguments: str) -> str:
    """Run buildah on our storage; its cache mounts (`RUN --mount=type=cache`) are beside it, never in an image."""
    (STORAGE.parent / "tmp").mkdir(parents=True, exist_ok=True)
    return run([*_BUILDAH, *arguments], {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": f"{_SEEN}/tmp"})


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Run a command; its standard output. Errors: SystemExit with the end of what it wrote."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n    ".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise SystemExit(f"`{' '.join(command)}` ended with {done.returncode}:\n    {said}")
    return done.stdout
