"""The command line that runs a user's image: pure, so that it can be read and tested."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from adutora.errors import ConfigError
from adutora.stages.container.spec import Container

EXCHANGE = "/var/run/adutora"  # outputs.json is read from here
CONNECTIONS = f"{EXCHANGE}/connections"
WORK = "/work"  # the pipeline's folder, read-only
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@+-]*")


@dataclass(frozen=True)
class Place:
    """What this machine gives to the container. Folders are absolute; memory in bytes, CPU in thousandths."""

    name: str
    labels: dict[str, str]
    exchange: Path
    connections: Path
    files_root: Path
    memory: int | None
    cpu: int | None
    hidden: tuple[str, ...] = ()  # folders below files_root that the image must not see: they hold secrets


def run_command(engine: str, spec: Container, place: Place) -> list[str]:
    """Return the arguments that run the image and remove the container afterwards.

    The image's own user runs, without privileges or capabilities, on a read-only root with a /tmp of its own and
    the engine's default network. Raises ConfigError for an image or a folder that the command line cannot carry.
    """
    if not _IMAGE.fullmatch(spec.image):
        raise ConfigError(f"{spec.image!r} is no name of an image", hint="for example registry.acme.io/name:1.2")
    command = list(spec.command or [])
    entrypoint = [f"--entrypoint={command[0]}"] if command else []
    return [
        engine, "run", "--rm", "--pull=never", f"--name={place.name}",
        *(f"--label={name}={value}" for name, value in place.labels.items()),
        *_confinement(),
        *_limits(place),
        *_mounts(place),
        *(f"--env={variable.name}={variable.value}" for variable in spec.env or []),
        *entrypoint,
        "--",
        spec.image, *command[1:], *(spec.args or []),
    ]  # fmt: skip


def _confinement() -> list[str]:
    return [
        "--read-only", "--tmpfs=/tmp:rw,mode=1777", "--cap-drop=ALL", "--security-opt=no-new-privileges",
        # Instead of relabelling the user's own folders where SELinux is on.
        "--security-opt=label=disable",
    ]  # fmt: skip


def _limits(place: Place) -> list[str]:
    limits = []
    if place.memory:
        # Memory and swap together: no swap, as in a pod.
        limits += [f"--memory={place.memory}b", f"--memory-swap={place.memory}b"]
    if place.cpu:
        # Docker refuses more cores than there are.
        limits.append(f"--cpus={min(place.cpu / 1000, float(os.cpu_count() or 1)):g}")
    return limits


def _mounts(place: Place) -> list[str]:
    return [
        _mount(place.files_root, WORK, read_only=True),
        _mount(place.exchange, EXCHANGE, read_only=False),
        _mount(place.connections, CONNECTIONS, read_only=True),
        *(f"--mount=type=tmpfs,target={WORK}/{folder}" for folder in place.hidden),
    ]


def _mount(source: Path, target: str, *, read_only: bool) -> str:
    if re.search(r'[,"\n]', str(source)):
        raise ConfigError(f"folder {source} cannot be mounted", hint="a path without comma, quote and line break")
    return f"--mount=type=bind,source={source},target={target}" + (",readonly" if read_only else "")
