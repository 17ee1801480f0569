"""A warm process that forks one process for each try of a stage, so that the imports are paid for once.

It speaks JSON lines: on standard input `{"start": id, "task": path, "config": file, "log": file, "call":
"module:function"}` and `{"signal": id, "number": n}`; on standard output `{"started": id, "pid": n}` and `{"ended": id,
"code": n, "signal": n, "peak": bytes}`. It starts no thread, so that forking is safe. Each try leads a process group of
its own. When its standard input closes, because the runner has gone, it ends every group that is left.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from adutora.errors import EXIT_TEMPORARY
from adutora.io.memory import give_back

_PR_SET_PDEATHSIG = 1
STOPPING = 5.0  # seconds between SIGTERM and SIGKILL when the runner has gone


def main() -> int:
    """Serve until standard input closes."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a Ctrl-C reaches the runner, which decides
    wake, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    # What a stage prints must never reach the runner's pipe.
    answers = os.dup(1)
    os.dup2(2, 1)
    _preload()
    nursery = Nursery(answers, (wake, wakeup))
    buffer = b""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
            nursery.reap()
        if 0 in ready:
            data = os.read(0, 65_536)
            if not data:
                nursery.stop_all()
                return 0
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                nursery.take(json.loads(line))


def _preload() -> None:
    """Import what most stages need. None of these starts a thread when it is imported."""
    import ctypes  # noqa: F401

    gc.disable()  # collections amid imports find nothing to free
    import deltalake  # noqa: F401
    import duckdb  # noqa: F401

    import adutora.runtime.entry
    import adutora.runtime.inputs
    import adutora.runtime.output
    import adutora.stages.sql.run  # noqa: F401

    gc.freeze()  # a collection in a child would write to every page that it shares with us
    gc.enable()
    give_back()  # from here on we only wait


class Nursery:
    """The processes that were started and have not ended."""

    def __init__(self, answers: int, own: tuple[int, ...]) -> None:
        self._answers = answers
        self._own = own
        self._ids: dict[int, str] = {}
        self._parent = os.getpid()

    def take(self, order: dict[str, Any]) -> None:
        """Carry out one order of the runner."""
        if "start" in order:
            try:
                pid = self._fork(order)
            except OSError as error:  # no process or memory is left: this may pass
                sys.stderr.write(f"adutora: {order['start']} cannot be started: {error}\n")
                self._say({"ended": order["start"], "code": EXIT_TEMPORARY, "signal": 0, "peak": 0})
                return
            self._ids[pid] = order["start"]
            self._say({"started": order["start"], "pid": pid})
        else:
            for pid, identity in list(self._ids.items()):
                if identity == order["signal"]:
                    _kill(pid, int(order["number"]))

    def reap(self) -> None:
        """Tell the runner of every process that has ended; what is left of its group goes with it."""
        while self._ids:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            identity = self._ids.pop(pid, None)
            _kill(pid, signal.SIGKILL)
            if identity is None:
                continue
            signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + signalled
            peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
            self._say({"ended": identity, "code": code, "signal": signalled, "peak": peak})

    def stop_all(self) -> None:
        """End every group: asked first, then forced."""
        for pid in self._ids:
            _kill(pid, signal.SIGTERM)
        waited = 0.0
        while self._ids and waited < STOPPING:
            with contextlib.suppress(ChildProcessError):
                pid, _ = os.waitpid(-1, os.WNOHANG)
                if self._ids.pop(pid, None) is not None:
                    _kill(pid, signal.SIGKILL)  # a child of the stage may not have listened
                    continue
            select.select([], [], [], 0.05)
            waited += 0.05
        for pid in self._ids:
            _kill(pid, signal.SIGKILL)

    def _say(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._answers, json.dumps(answer).encode() + b"\n")

    def _fork(self, order: dict[str, Any]) -> int:
        pid = os.fork()
        if pid:
            return pid
        code = 70
        try:
            code = self._child(order)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _child(self, order: dict[str, Any]) -> int:
        os.setsid()
        _end_with_parent(self._parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in (self._answers, *self._own):
            os.close(descriptor)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(null)
        os.close(log)
        module, _, function = str(order["call"]).partition(":")
        call = getattr(importlib.import_module(module), function)
        return int(call(Path(order["task"]), Path(order["config"])))


def _end_with_parent(parent: int) -> None:
    """Let the system kill this process if the nursery is killed; only Linux can."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it was killed before we could ask
        os._exit(128 + signal.SIGKILL)


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


if __name__ == "__main__":
    os._exit(main())  # nothing is left to tidy, and taking the libraries down would take as long as a small stage
