"""Entry point of a stage's process: read the task, run the stage, leave an outcome, exit by its code."""

import logging
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from adutora import stages
from adutora.errors import EXIT_INTERRUPTED, EXIT_TEMPORARY, AdutoraError, ConfigError
from adutora.io.secrets import SecretFilter, redact
from adutora.runtime.context import StageContext
from adutora.runtime.outcome import Outcome, mask
from adutora.runtime.stopping import ASKED, stop
from adutora.runtime.task import OUTCOME, TASK, Task


def main(task_dir: Path, config_path: Path) -> int:
    """Run the task that stands in `task_dir`. Returns the exit code; the outcome stands beside the task."""
    signal.signal(signal.SIGTERM, stop)
    log = stage_log()
    try:
        task = Task.load(task_dir / TASK, config_path)
    except Exception as error:
        outcome = Outcome()
        outcome.fail(error)
        return _leave(outcome, task_dir, log)
    outcome = run_task(task, log)
    outcome.peak_memory = peak_memory()
    return _leave(outcome, task_dir, log)


def _leave(outcome: Outcome, task_dir: Path, log: logging.Logger) -> int:
    """Leave the outcome. Where that cannot be, the stage is tried again: its write is known and not repeated."""
    try:
        outcome.save(task_dir / OUTCOME)
    except OSError as error:
        log.error("no outcome can be left in %s: %s", task_dir, error)
        return EXIT_TEMPORARY
    return outcome.exit_code


def run_task(task: Task, log: logging.Logger) -> Outcome:
    """Run one try of a stage in this process."""
    ctx = StageContext(task, log)
    started = time.monotonic()
    log.info("stage %s of run %s, try %d", task.label, task.run_id, task.attempt)
    try:
        run = _runner(ctx)
        if task.stage.cache and _is_cached(ctx):
            ctx.outcome.cached = True
            log.info("nothing has changed since the last success: no work")
        else:
            run(ctx.spec, ctx)
            if task.stage.cache:
                _remember(ctx)
    except AdutoraError as error:
        log.error("%s", error)
        log.debug("traceback", exc_info=True)
        ctx.outcome.fail(error)
    except BaseException as error:
        sys.stderr.write(redact(traceback.format_exc()))
        ctx.outcome.fail(error)
    finally:
        shutil.rmtree(task.task_dir / "scratch", ignore_errors=True)
    if ASKED.is_set() and ctx.outcome.exit_code:  # DuckDB turns the exception of a signal into one of its own
        ctx.outcome.exit_code, ctx.outcome.reason = EXIT_INTERRUPTED, "Stopped"
    mask(ctx.outcome)
    for warning in ctx.outcome.warnings:
        log.warning("%s", warning)
    log.info("stage %s ended with code %d after %.2f s", task.label, ctx.outcome.exit_code, time.monotonic() - started)
    return ctx.outcome


def _runner(ctx: StageContext):  # type: ignore[no-untyped-def]
    reason = stages.why_not_runnable(ctx.config.type, ctx.config.block)
    if reason:
        raise ConfigError(f"stage {ctx.config.name!r}: {reason} cannot be run by this version")
    return stages.runner(ctx.config.type)


def _is_cached(ctx: StageContext) -> bool:
    from adutora.runtime.cache import is_cached

    return is_cached(ctx)


def _remember(ctx: StageContext) -> None:
    from adutora.runtime.cache import remember

    remember(ctx)


def peak_memory() -> int:
    """Peak resident memory of this process, in bytes."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def stage_log() -> logging.Logger:
    """Return the log of a stage: lines on standard error, secrets masked."""
    log = logging.getLogger("adutora.stage")
    log.handlers.clear()
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(SecretFilter())
    log.addHandler(handler)
    log.setLevel(os.environ.get("ADUTORA_LOG_LEVEL", "INFO"))
    log.propagate = False
    return log


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
