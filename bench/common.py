"""What benchmarks share: a process tree measured from outside, the cache, the lines that are printed."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("ADUTORA_CACHE") or Path.home() / ".cache" / "adutora")
ADUTORA = str(Path(sys.executable).parent / "adutora")
SAMPLING = 0.05  # seconds between two looks at the memory of a tree


@dataclass(frozen=True)
class Measured:
    """A command that ended well: wall seconds from start to end, and the peak memory of its whole tree in bytes.

    Memory is the sum of proportional set sizes of all its processes at one moment, sampled; pages that processes
    share count once.
    """

    seconds: float
    peak: int
    stdout: str


def measure(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Measured:
    """Run a command to its end and measure its tree. Ends the benchmark if the command fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=env, cwd=cwd)
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(proportional, tree(process.pid))))
            time.sleep(SAMPLING)
        # Poll wakes up at most one sampling interval late; where that matters, `timed` is used instead.
        seconds = time.perf_counter() - begun
        for stream in (out, err):
            stream.seek(0)
        stdout, stderr = out.read(), err.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with code {process.returncode}:\n{stdout}\n{stderr}")
    return Measured(seconds, peak, stdout)


def timed(command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> float:
    """Run a command to its end. Returns wall seconds; ends the benchmark if the command fails."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, check=False)
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return seconds


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
        except OSError:  # it has just ended
            continue
    return found


def proportional(pid: int) -> int:
    """Return the proportional set size of a process in bytes; 0 if it has ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)


def environment(name: str, *options: str) -> Path:
    """Return `bin/python` of an environment in the cache, from uv.lock; makes it if needed. Options are uv's."""
    home = CACHE / "bench" / name
    env = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(home)}
    command = [str(ROOT / "tools" / "uv"), "sync", "--frozen", "--quiet", "--compile-bytecode"]
    command += ["--no-dev", "--inexact", "--no-install-project", *options]
    subprocess.run(command, check=True, env=env, cwd=ROOT)
    return home / "bin" / "python"


def need(program: str, why: str) -> None:
    """End the benchmark with the reason if a program is missing."""
    if shutil.which(program) is None:
        sys.exit(f"not run: {program} is missing, {why}")


def verdict(name: str, ratio: float, goal: float, *, at_most: bool = False) -> bool:
    """Print the line of a goal. Returns whether it is met."""
    met = ratio <= goal if at_most else ratio >= goal
    print(f"{name} ratio={ratio:.2f} goal={goal:g} {'ok' if met else 'short'}", flush=True)
    return met


def machine() -> str:
    """Say what machine this is: cores and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{os.cpu_count()} cores, {memory / 2**30:.0f} GiB"
