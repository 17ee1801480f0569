"""A project in a temporary folder, driven through the real command line; and what the tests look at afterwards."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

PROGRAM = [sys.executable, "-c", "from adutora.cli import console; console()"]
_LOADED = re.compile(r',"_loaded_at":"[^"]*"')
SYSTEM = ("_run_id", "_loaded_at", "_source", "_stage", "_rejected_at")


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, both streams, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def text(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found

    def stage(self, name: str) -> dict[str, Any]:
        return next(stage for stage in self.json["stages"] if stage["name"] == name)

    def statuses(self) -> dict[str, str]:
        return {stage["name"]: stage["status"] for stage in self.json["stages"]}


@dataclass
class Lab:
    """A project's folder and the commands that are run in it."""

    root: Path
    state: Path
    lake: str
    env: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    before: int = -1  # version of a table that a test remembers

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content, encoding="utf-8")
        else:
            path.write_bytes(content)
        return path

    def pipeline(self, *stages: Mapping[str, Any], file: str = "pipeline.yaml", name: str = "p", **spec: Any) -> Path:
        """Write a pipeline; JSON is YAML. Retries are quick and two, unless a stage or `defaults` says otherwise."""
        whole = {"defaults": {"retries": 2, "retryDelay": "1s"}, **spec, "stages": list(stages)}
        return self._document(file, "Pipeline", name, whole)

    def project(self, **spec: Any) -> Path:
        return self._document("adutora.yaml", "Project", "default", spec)

    def _document(self, file: str, kind: str, name: str, spec: Mapping[str, Any]) -> Path:
        document = {"apiVersion": "adutora.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        return self.file(file, json.dumps(document, indent=1, ensure_ascii=False))

    def command(
        self, *args: str, file: str = "pipeline.yaml", state: Path | None = None, lake: str | None = None
    ) -> list[str]:
        where = lake or self.lake
        at = ["--lake", where] if where else []
        return [*PROGRAM, "run", file, "--state", str(state or self.state), *at, *args]

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, **where: Any
    ) -> subprocess.Popen[str]:
        """Start a run in a session of its own, so that a signal to its group is a Ctrl-C."""
        process = subprocess.Popen(
            self.command(*args, **where), cwd=cwd or self.root, env={**os.environ, **self.env, **(env or {})}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def wait(self, process: subprocess.Popen[str], timeout: float = 90) -> Result:
        begun = time.monotonic()
        out, err = process.communicate(timeout=timeout)
        return Result(process.returncode, out, err, time.monotonic() - begun)

    def run(self, *args: str, timeout: float = 90, **more: Any) -> Result:
        """Run the pipeline; the summary is JSON unless told otherwise."""
        shown = () if "--output" in args else ("--output", "json")
        return self.wait(self.start(*args, *shown, **more), timeout)

    def ok(self, *args: str, **more: Any) -> Result:
        result = self.run(*args, **more)
        assert result.code == 0, result.text
        return result

    def call(self, *args: str) -> Result:
        """Run another command."""
        begun = time.monotonic()
        done = subprocess.run(
            [*PROGRAM, *args],
            cwd=self.root,
            env={**os.environ, **self.env},
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)

    # What stands

    def table_path(self, table: str) -> Path:
        return Path(self.lake, *table.split("."))

    def exists(self, table: str) -> bool:
        return (self.table_path(table) / "_delta_log").is_dir()

    def version(self, table: str) -> int:
        return DeltaTable(self.table_path(table)).version() if self.exists(table) else -1

    def rows(self, table: str, *, system: bool = False) -> list[tuple[Any, ...]]:
        """All rows, sorted, without the columns that differ from run to run; read by delta-rs itself."""
        return rows_of(DeltaTable(self.table_path(table)), system=system)

    def rejected(self, table: str) -> list[tuple[Any, ...]]:
        return self.rows(f"{table}__rejected") if self.exists(f"{table}__rejected") else []

    def run_folder(self) -> Path:
        """The folder of the latest run. Raises FileNotFoundError before the first."""
        found = sorted((self.state / "runs").iterdir())
        if not found:
            raise FileNotFoundError(self.state)
        return found[-1]

    def log(self, stage: str) -> str:
        return (self.run_folder() / "stages" / stage / "log.txt").read_text()


def rows_of(table: DeltaTable, *, system: bool = False) -> list[tuple[Any, ...]]:
    found = table.to_pyarrow_table()
    names = sorted(name for name in found.column_names if system or name not in SYSTEM)
    columns = [found.column(name).to_pylist() for name in names]
    # A rejected row tells when its source was loaded, which is another time in each run.
    columns = [
        [_LOADED.sub("", value) for value in column] if name == "_row" else column
        for name, column in zip(names, columns, strict=True)
    ]
    rows = zip(*columns, strict=True)
    return sorted(rows, key=lambda row: [(value is not None, str(value)) for value in row])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    root = tmp_path / "project"
    root.mkdir()
    made = Lab(root, tmp_path / "state", str(tmp_path / "lake"))
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None and not process.stdout.closed:
            process.communicate()


def until(condition: Callable[[], Any], seconds: float = 30, step: float = 0.001) -> Any:
    """Wait for a condition and return what it returned. What is not there yet does not hold."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            found = condition()
            if found:
                return found
        time.sleep(step)
    raise AssertionError("it did not come about in time")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    return [pid, *(each for child in children(pid) for each in family(child))]


def links(pid: int) -> set[str]:
    """Files that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            found.add(str(link.readlink()))
        except OSError:
            continue
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stages_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the stages' processes: grandchildren of the command, children of the one that forks them."""
    return [stage for nursery in children(process.pid) for stage in children(nursery)]


def kill(*pids: int, number: int = signal.SIGKILL) -> None:
    for pid in pids:
        if alive(pid):
            os.kill(pid, number)


@pytest.fixture(autouse=True)
def _linux() -> None:
    if not Path("/proc/self/stat").exists():
        pytest.skip("these tests look at processes through /proc, which only Linux has")
