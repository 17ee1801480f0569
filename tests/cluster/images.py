"""Container images: what there is, what each depends on, and its archive in the cache, built only when something changed.

`tools/images build NAME…` builds; the key of an image is the content of its Dockerfile, of the files that it copies, of
its base and of its arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import base, binaries, builder
from tests.cluster.paths import CLUSTER_CACHE, HERE, REPOSITORY, lock

# Images that stand in for public ones, under the names by which the charts ask for them. With Docker's engine, the
# public ones themselves: our own under their names would stay among the user's images.
PUBLIC = {
    "postgres": "docker.io/library/postgres:16",
    "redis": "docker.io/library/redis:7",
    "versitygw": "docker.io/versity/versitygw:v1.8.0",
}
# Images FROM scratch that hold the one program of their name.
PROGRAMS = ("pause", "coredns", "versitygw")


@dataclass(frozen=True)
class Archive:
    """An image in a file: the reference under which it loads, and its content key."""

    name: str
    reference: str
    key: str
    file: Path


def names() -> list[str]:
    """All images there are Dockerfiles for, ours first."""
    return [
        file.parent.name
        for house in (REPOSITORY / "images", HERE / "images")
        for file in sorted(house.glob("*/Dockerfile"))
    ]


def ensure(name: str) -> Archive:
    """The archive of an image, built if its key is new. Errors: SystemExit: unknown name, or what the builder says."""
    if name in PUBLIC and builder.docker():
        return _public(name)
    return _ours(name, PUBLIC.get(name, _own_name(name)))


def stand_in(name: str) -> Archive:
    """The archive of an image that stands in for a public one. With Docker's engine it has a name of ours."""
    return _ours(name, _own_name(name) if builder.docker() else PUBLIC[name])


def _own_name(name: str) -> str:
    return f"docker.io/adutora/{name}:dev"


def _public(name: str) -> Archive:
    """A public image, pulled once."""
    reference = PUBLIC[name]
    key = hashlib.sha256(reference.encode()).hexdigest()[:12]
    archive = Archive(f"public-{name}", reference, key, CLUSTER_CACHE / "images" / f"public-{name}-{key}.tar")
    if not archive.file.exists():
        with lock(CLUSTER_CACHE / "images" / ".lock"):
            if not archive.file.exists():  # another process may have pulled it meanwhile
                builder.pull(reference)
                builder.save(reference, archive.file)
    return archive


def _ours(name: str, reference: str) -> Archive:
    dockerfile = _dockerfile(name)
    context = _context(name)
    wanted = re.findall(r"^ARG (\w+)", dockerfile.read_text(), re.M)
    known = {"VERSION": version(), "BASE": base.reference()}
    arguments = {argument: value for argument, value in known.items() if argument in wanted}
    key = _key(dockerfile, context, arguments)
    archive = Archive(name, reference, key, CLUSTER_CACHE / "images" / f"{name}-{key}.tar")
    if not archive.file.exists():
        with lock(CLUSTER_CACHE / "images" / ".lock"):
            if not archive.file.exists():  # another process may have built it meanwhile
                if "BASE" in arguments:
                    base.ensure()
                _build(archive, dockerfile, context, arguments)
    return archive


def from_file(file: Path) -> Archive:
    """An archive that someone else made; it loads under the name it tells itself."""
    key = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return Archive(file.name, file.name, key, file)


def version() -> str:
    """The project's version."""
    return str(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"])


def _build(archive: Archive, dockerfile: Path, context: Path, arguments: dict[str, str]) -> None:
    started = time.monotonic()
    builder.build(dockerfile, context, archive.reference, arguments)
    builder.save(archive.reference, archive.file)
    for old in archive.file.parent.glob(f"{archive.name}-*.tar"):
        if old != archive.file and re.fullmatch(rf"{re.escape(archive.name)}-[0-9a-f]{{12}}\.tar", old.name):
            old.unlink()
    size = archive.file.stat().st_size / 1e6
    print(
        f"   image {archive.name}: {time.monotonic() - started:.0f} s, {size:.0f} MB packed",
        file=sys.stderr,
        flush=True,
    )


def _dockerfile(name: str) -> Path:
    for house in (REPOSITORY / "images", HERE / "images"):
        if (found := house / name / "Dockerfile").exists():
            return found
    raise SystemExit(f"no image {name!r}; there are: {', '.join(names())}")


def _context(name: str) -> Path:
    """The repository; for stand-ins their own folder, or that in the cache with their program."""
    if name in PROGRAMS:
        binaries.build([name])
        return binaries.path(name).parent
    return HERE / "images" / name if name in PUBLIC else REPOSITORY


def _key(dockerfile: Path, context: Path, arguments: dict[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(arguments.items())).encode())
    digest.update(dockerfile.read_bytes())
    for file in _copied(dockerfile, context):
        digest.update(str(file.relative_to(context)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _copied(dockerfile: Path, context: Path) -> Iterator[Path]:
    """The files that COPY, ADD and bind mounts take from the context. Of a folder, those that git does not ignore."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    sources: list[str] = re.findall(r"--mount=type=bind[^ ]*?source=([^, ]+)", text)
    for arguments in re.findall(r"^(?:COPY|ADD)\s+(.+)$", text, re.M):
        if "--from=" not in arguments:
            sources += [word for word in arguments.split() if not word.startswith("--")][:-1]
    for source in sorted(set(sources)):
        found = sorted(context.glob(source.strip("/"))) if source.strip("./") else [context]
        if not found:
            raise SystemExit(f"{dockerfile}: copies {source}, and {context} has no such file")
        for place in found:
            yield from [place] if place.is_file() else _tracked(place)


def _tracked(folder: Path) -> list[Path]:
    command = ["git", "-C", str(folder), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    if listed.returncode:
        return sorted(file for file in folder.rglob("*") if file.is_file())
    return sorted(file for file in {folder / name for name in listed.stdout.split("\0") if name} if file.is_file())


def main() -> None:
    """`tools/images`."""
    parser = argparse.ArgumentParser(prog="tools/images", description="Build container images and keep their archives.")
    parser.add_argument("command", choices=["build", "list"])
    parser.add_argument("name", nargs="*", help="images; without any, all of them")
    arguments = parser.parse_args()
    if arguments.command == "list":
        return print(*names(), sep="\n")
    for name in arguments.name or names():
        archive = ensure(name)
        print(f"{archive.reference}\t{archive.file.stat().st_size / 1e6:.0f} MB\t{archive.file}")
    return None


if __name__ == "__main__":
    main()
