"""Entry point of a stage's pod: `python -P -m adutora.runtime.pod`.

Read the task from the environment, fetch the pipeline's files, run the stage in this process, tell of its end, exit by
its code. With the argument `connections` it is the init container of a `container` stage, and writes the files of the
stage's connections. With `files` it only looks whether the stage has new
files to read, with `notify` it tells people of a run's end. Whatever happens, a termination message says what
did.
"""

import contextlib
import datetime as dt
import logging
import os
import signal
import sys
from collections.abc import MutableMapping, Sequence
from typing import TYPE_CHECKING

from adutora.errors import EXIT_SOFTWARE, AdutoraError, ConfigError
from adutora.io.secrets import SECRETS_DIR_ENV, redact
from adutora.runtime import pod_report
from adutora.runtime.outcome import Outcome, mask
from adutora.runtime.pod_stop import stopped, watch
from adutora.runtime.pod_task import CONFIG, outputs_uris, read_task
from adutora.runtime.stopping import ASKED, Stopped, stop

if TYPE_CHECKING:
    from adutora.runtime.task import Task

SECRETS_DIR = "/run/adutora/secrets"
_MODES = ("stage", "connections", "files", "notify")
_LOG = logging.getLogger("adutora.stage")


def main(arguments: Sequence[str], env: MutableMapping[str, str]) -> int:
    """Run a stage, or write connection files. Returns the exit code of the container."""
    told = watch(env, _LOG)
    started = _now()
    outcome, task = Outcome(), None
    try:
        # Process 1 of a container does not get a signal that it has no handler for: so before all heavy imports.
        signal.signal(signal.SIGTERM, stop)
        mode = _mode(arguments)
        env.setdefault(SECRETS_DIR_ENV, SECRETS_DIR)
        if mode == "notify":
            outcome = _notify(env)
        else:
            given = read_task(env)
            uris = outputs_uris(env)
            _forget_config(env)
            if mode == "connections":
                outcome = _write_connections(given, env)
            elif mode == "files":
                outcome = _look(given)
            else:
                task = given
                outcome = _run_stage(task, uris)
        if ASKED.is_set() and outcome.exit_code:
            outcome = stopped()
    except BaseException as error:
        outcome = _taken(error)
    # What is left takes seconds, and is what a stop asks for.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    told.set()
    try:
        _tell(outcome, task, started, env)
    except Exception as error:
        _LOG.error("the outcome cannot be told: %s", redact(repr(error)))
        return outcome.exit_code or EXIT_SOFTWARE
    return outcome.exit_code


def _mode(arguments: Sequence[str]) -> str:
    mode = arguments[0] if arguments else "stage"
    if mode not in _MODES or len(arguments) > 1:
        raise ConfigError(
            f"arguments {' '.join(arguments)!r} are unknown", hint="none, `connections`, `files` or `notify`"
        )
    return mode


def _forget_config(env: MutableMapping[str, str]) -> None:
    """Let children, such as a user's own programs, not inherit a megabyte that they do not read."""
    for name in [name for name in env if name.startswith(CONFIG)]:
        del env[name]


def _run_stage(task: "Task", uris: dict[str, str]) -> Outcome:
    from adutora.runtime.pod_stage import run_stage

    return run_stage(task, uris)


def _write_connections(task: "Task", env: MutableMapping[str, str]) -> Outcome:
    from adutora.runtime.pod_stage import write_connections

    return write_connections(task, env)


def _look(task: "Task") -> Outcome:
    from adutora.runtime.pod_stage import look_for_files

    return look_for_files(task)


def _notify(env: MutableMapping[str, str]) -> Outcome:
    from adutora.runtime.pod_notify import notify

    return notify(env)


def _taken(error: BaseException) -> Outcome:
    """Return the outcome for what kept the stage from running, or from ending, at all."""
    outcome = stopped()
    if not isinstance(error, Stopped):
        outcome = Outcome()
        outcome.fail(error)
    _LOG.error("%s", redact(str(error) if isinstance(error, AdutoraError) else outcome.error or ""))
    if not isinstance(error, AdutoraError | Stopped):
        _LOG.error("traceback", exc_info=error)
    return outcome


def _tell(outcome: Outcome, task: "Task | None", started: str, env: MutableMapping[str, str]) -> None:
    """Leave the short outcome first, for the store may be slow, and again with the whole one's URI."""
    mask(outcome)
    pod_report.leave(pod_report.short(outcome), env, _LOG)
    if task is not None:
        uri = _keep(outcome, task, started)
        pod_report.leave(pod_report.short(outcome, uri), env, _LOG)


def _keep(outcome: Outcome, task: "Task", started: str) -> str | None:
    """Store the whole outcome. Returns its URI; None where it cannot be, which the outcome then says."""
    from adutora.runtime.context import StageContext
    from adutora.runtime.pod_stage import system_objects

    path = pod_report.outcome_path(task.config.dag_id, task.run_id, task.label, task.attempt)
    try:
        objects = system_objects(StageContext(task, _LOG))
        return objects.write(path, pod_report.whole(outcome, task, started, _now()))
    except (AdutoraError, OSError) as error:
        why = redact(error.message if isinstance(error, AdutoraError) else str(error))
        _LOG.error("the whole outcome cannot be stored: %s", why)
        pod_report.unstored(outcome, why)
        return None


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    code = main(sys.argv[1:], os.environ)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # nothing is left to tidy, and taking the libraries down would take as long as a small stage
