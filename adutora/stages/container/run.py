"""Run a `container` stage on this machine, by Podman or Docker. On a cluster the pod itself runs the image."""

import contextlib
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from adutora.errors import (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_TEMPORARY,
    AdutoraError,
    ConfigError,
    DataError,
    TemporaryError,
)
from adutora.runtime.outputs import checked_outputs
from adutora.stages.container.command import Place, run_command
from adutora.stages.container.engine import Engine, find_engine
from adutora.stages.container.spec import Container

if TYPE_CHECKING:
    import logging

    from adutora.io.connections import Connection
    from adutora.runtime.context import StageContext

OUTPUTS = "outputs.json"
_MAX_OUTPUT_FILE = 64 * 1024  # bytes; what the outputs may take is less, and is checked after parsing
_LINE = 65_536  # bytes of a line of the container's in one log record
_GRACE = 5  # seconds between SIGTERM and SIGKILL in the container, within the stage's own grace
_ENGINE_FAILED, _CANNOT_RUN, _NOT_FOUND, _KILLED = 125, 126, 127, 137


class ContainerFailedError(AdutoraError):
    """The container ended with a code that has no meaning of its own; the stage is tried again."""

    reason: ClassVar[str] = "ContainerFailed"


def run(spec: Container, ctx: "StageContext") -> None:
    """Run the image to its end and take its outputs.

    Exit codes keep their meaning: 65 DataError, 75 TemporaryError, 78 ConfigError, any other ContainerFailedError.
    Raises ConfigError where no engine works, or the image does not exist.
    """
    engine = find_engine()
    place = _place(ctx)
    command = run_command(engine.path, spec, place)
    engine.need_image(spec.image)
    engine.remove(place.labels)
    with _folders(place, [ctx.connection(name) for name in spec.connections or []]):
        ctx.log.info("%s runs image %s as %s", engine.name, spec.image, place.name)
        code = _attend(engine, command, place.name, ctx.log)
        _judge(code, spec, engine)
        ctx.outcome.outputs.update(read_outputs(place.exchange / OUTPUTS))


def _place(ctx: "StageContext") -> Place:
    task, resources = ctx.task, ctx.stage.resources
    name = re.sub(r"[^a-zA-Z0-9_.-]", "-", f"adutora-{task.run_id}-{task.label}-{task.attempt}")
    exchange = ctx.scratch.resolve() / "exchange"
    return Place(
        name=name,
        labels={"dev.adutora.run": str(task.run_id), "dev.adutora.stage": task.label},
        exchange=exchange,
        connections=ctx.scratch.resolve() / "connections",
        files_root=Path(task.files_root).resolve(),
        memory=task.memory or resources.memory,
        cpu=resources.cpu,
        hidden=_hidden(Path(task.files_root).resolve(), Path(task.project_root).resolve()),
    )


def _hidden(files_root: Path, project_root: Path) -> tuple[str, ...]:
    """The folder of all secrets, where it lies in what is mounted: an image sees those of its own connections."""
    own = project_root / ".adutora"
    return (str(own.relative_to(files_root)),) if own.is_dir() and own.is_relative_to(files_root) else ()


@contextlib.contextmanager
def _folders(place: Place, connections: "list[Connection]") -> Iterator[None]:
    """Make the folders that are mounted, and remove the secrets in them whatever happens.

    The image's user is unknown and may read and write in them; the folder above them is this user's alone.
    """
    place.exchange.parent.chmod(0o700)
    (place.exchange / "connections").mkdir(parents=True, exist_ok=True)
    place.exchange.chmod(0o777)
    (place.exchange / OUTPUTS).unlink(missing_ok=True)
    place.connections.mkdir(exist_ok=True)
    place.connections.chmod(0o755)
    written: list[Path] = []
    try:
        for connection in connections:
            write_connection(connection, place.connections / connection.name, written)
        yield
    finally:
        for file in written:
            file.unlink(missing_ok=True)


def write_connection(connection: "Connection", folder: Path, written: list[Path]) -> None:
    """Write settings and secrets as files that any user may read; `written` lists each before it exists."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    settings = {"name": connection.name, "type": connection.type, **connection.settings.canonical()}
    for name, text in {"settings.json": json.dumps(settings), **connection.secrets()}.items():
        file = folder / name
        written.append(file)
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o444)


def _attend(engine: Engine, command: list[str], name: str, log: "logging.Logger") -> int:
    """Run the command and pass its lines on to the log; stop the container if this process is told to end."""
    # A session of its own: a signal to the stage's process group must reach the container through `stop`, once.
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            while line := process.stdout.readline(_LINE):
                log.info("%s", line.decode(errors="replace").rstrip("\r\n"))
            return process.wait()
        except BaseException:
            try:
                _stop(engine, name)
            finally:
                process.kill()
            raise


def _stop(engine: Engine, name: str) -> None:
    # If the engine does not answer, the next try removes the container by its labels.
    with contextlib.suppress(AdutoraError):
        engine.ask("stop", "-t", str(_GRACE), name)
        engine.ask("rm", "--force", name)


def _judge(code: int, spec: Container, engine: Engine) -> None:
    if code == 0:
        return
    message = f"image {spec.image} ended with code {code}"
    hint = "see the stage's log"
    if code == EXIT_DATA:
        raise DataError(message, hint=hint)
    if code == EXIT_TEMPORARY:
        raise TemporaryError(message, hint=hint)
    if code == EXIT_CONFIG:
        raise ConfigError(message, hint=hint)
    if code in (_CANNOT_RUN, _NOT_FOUND):
        raise ConfigError(f"{message}: its command cannot be run", hint=f"command: {spec.command or 'the image own'}")
    if code == _ENGINE_FAILED:
        raise ConfigError(f"{engine.name} cannot run image {spec.image}: code {code}", hint=hint)
    if code == _KILLED:
        raise ContainerFailedError(f"{message}: it was killed", hint="perhaps for want of memory: see resources.memory")
    raise ContainerFailedError(message, hint=hint)


def read_outputs(path: Path) -> dict[str, Any]:
    """Return what the container left as outputs, or none. Raises DataError for what is no small JSON object."""
    try:
        data = _read_plain(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise DataError(f"{OUTPUTS} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_OUTPUT_FILE:
        raise DataError(f"{OUTPUTS} is larger than {_MAX_OUTPUT_FILE} bytes")
    try:
        outputs = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{OUTPUTS} is no JSON: {error}") from None
    if not isinstance(outputs, dict):
        raise DataError(f"{OUTPUTS} holds no JSON object")
    return checked_outputs(outputs)


def _read_plain(path: Path) -> bytes:
    """Read a file that the container made: never through a link, which would lead out on our side, nor a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(f"{OUTPUTS} is no ordinary file")
        return os.read(descriptor, _MAX_OUTPUT_FILE + 1)
    finally:
        os.close(descriptor)
