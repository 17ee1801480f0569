"""A run's folder: `.adutora/runs/<id>/` holds the config, what became of each stage, and its logs."""

import contextlib
import datetime as dt
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from adutora.dagconfig import DagConfig, Json
from adutora.errors import ConfigError, TemporaryError
from adutora.runtime.task import RunInfo

Status = Literal["waiting", "running", "succeeded", "failed", "skipped", "stopped"]
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FINAL: frozenset[str] = frozenset({"succeeded", "failed", "skipped", "stopped"})


@dataclass
class StageState:
    """What became of a stage. Rows, tables and so on are those of its outcome; duration in seconds."""

    name: str
    type: str
    status: Status = "waiting"
    tries: int = 0
    exit_code: int | None = None
    duration: float | None = None
    peak_memory: int | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    rows_rejected: int | None = None
    cached: bool = False
    message: str | None = None
    error: str | None = None
    hint: str | None = None
    reason: str | None = None
    outputs: Json = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tables: list[Json] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class RunState:
    """What became of a run."""

    id: str
    pipeline: str
    file: str
    hash: str
    status: Status
    run: RunInfo
    params: Json
    given_params: list[str]
    lake: str
    stages: list[StageState]
    selected: list[str]
    ended_at: str | None = None
    exit_code: int | None = None
    full_refresh: bool = False
    lake_layers: dict[str, str] = field(default_factory=dict)
    number: int = 0  # counts the runs of a folder, whatever the clock says
    timed_out: bool = False  # it took longer than its timeout
    seconds: float | None = None  # of work: pauses between resumptions do not count

    def stage(self, name: str) -> StageState:
        """Return a stage by name. Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]


class RunFolder:
    """The folder of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config_path(self) -> Path:
        """The DagConfig that the run began with, or was resumed with."""
        return self.path / "config.json"

    def stage_dir(self, stage: str, item: int | None = None) -> Path:
        """Folder of a stage, or of an item of its fan-out."""
        path = self.path / "stages" / stage
        return path if item is None else path / "items" / str(item)

    def log_path(self, stage: str, item: int | None = None) -> Path:
        """Log of all tries of a stage."""
        return self.stage_dir(stage, item) / "log.txt"

    def save_config(self, config: DagConfig) -> None:
        """Keep the DagConfig."""
        replace_text(self.config_path, json.dumps(config.to_json(), indent=1, ensure_ascii=False))

    def save(self, state: RunState) -> None:
        """Write the state so that a reader sees it whole."""
        replace_text(self.path / "run.json", json.dumps(asdict(state), indent=1, default=str))

    def load(self) -> RunState:
        """Read the state. Raises ConfigError where there is none that can be read."""
        try:
            data = json.loads((self.path / "run.json").read_text())
            data["run"] = RunInfo(**data["run"])
            data["stages"] = [StageState(**stage) for stage in data["stages"]]
            return RunState(**data)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"run {self.path.name} cannot be read: {error}") from error

    def alive(self) -> bool:
        """Say whether a runner works on this run now."""
        try:
            with (self.path / "lock").open("a") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, durably."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def new_run_id(now: dt.datetime) -> str:
    """Return an id that sorts by time, such as `20260102T030405-1a2b3c`."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def runs_dir(state_dir: Path) -> Path:
    """Folder of all runs."""
    return state_dir / "runs"


def open_state_dir(state_dir: Path) -> None:
    """Make the folder of runs. Raises ConfigError where this cannot be done, TemporaryError if the disk is full."""
    with writable(state_dir):
        runs_dir(state_dir).mkdir(parents=True, exist_ok=True)
        ignore = state_dir / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")


@contextlib.contextmanager
def writable(state_dir: Path) -> Iterator[None]:
    """Say what keeps us from writing what becomes of a run."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"cannot write to {state_dir}: {error.strerror or error}"
        if error.errno in _FULL:
            raise TemporaryError(what, hint="free space, or name another folder with --state DIR") from error
        raise ConfigError(what, hint="name another folder with --state DIR") from error


def all_runs(state_dir: Path) -> list[RunState]:
    """Return every run that can be read, in the order in which they were begun."""
    states = []
    for path in sorted(runs_dir(state_dir).glob("*/run.json")):
        with contextlib.suppress(ConfigError):
            states.append(RunFolder(path.parent).load())
    return sorted(states, key=lambda state: (state.number, state.run.started_at, state.id))


def next_number(state_dir: Path) -> int:
    """Return the number of a new run: one more than the last one's, though the clock may have been set back since."""
    path = state_dir / "last-run"
    with (state_dir / "last-run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            last = int(path.read_text())
        except (OSError, ValueError):  # the first run, or the file is gone
            last = max((state.number for state in all_runs(state_dir)), default=0)
        replace_text(path, str(last + 1))
    return last + 1


def find_run(state_dir: Path, name: str) -> RunFolder:
    """Find a run by its id, the beginning of it, or `last`. Raises ConfigError."""
    ids = [state.id for state in all_runs(state_dir)]
    found = ids[-1:] if name == "last" else [each for each in ids if name and each.startswith(name)]
    if len(found) == 1 or name in found:
        return RunFolder(runs_dir(state_dir) / (name if name in found else found[0]))
    if not found:
        latest = f"the latest is {ids[-1]}" if ids else f"there are none in {state_dir}"
        raise ConfigError(f"there is no run {name or repr(name)}", hint=latest)
    raise ConfigError(f"{name} is the beginning of {len(found)} runs", hint=f"for example {found[0]}")


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a file's lock, which the system drops if this process dies. Raises TemporaryError if another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TemporaryError(f"{what} is being worked on by another process") from None
        yield


@contextlib.contextmanager
def slot(state_dir: Path, pipeline: str, count: int, tell: Callable[[str], Any]) -> Iterator[None]:
    """Hold one of a pipeline's `count` places for runs; wait for one while all are taken."""
    folder = state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    told = False
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context((folder / f"{pipeline}.{index}").open("a")) for index in range(count)]
        while True:
            for file in files:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield
                    return
            if not told:
                tell(f"waiting: {pipeline} is running already (concurrency {count})")
                told = True
            time.sleep(0.2)
