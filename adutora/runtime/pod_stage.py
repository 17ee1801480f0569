"""What a pod does for its stage: folders as a laptop's, the pipeline's files, connection files for a user's image."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.errors import EXIT_TEMPORARY, ConfigError
from adutora.io.stored import SYSTEM, Objects, open_objects
from adutora.runtime.context import StageContext
from adutora.runtime.entry import peak_memory, run_task, stage_log
from adutora.runtime.outcome import Outcome
from adutora.runtime.params import check_params
from adutora.runtime.pod_files import fetch_files, full_disk, wanted
from adutora.runtime.pod_report import OUTCOMES
from adutora.runtime.pod_task import check_connections
from adutora.runtime.task import Task
from adutora.stages.container.run import write_connection

if TYPE_CHECKING:
    from adutora.io.connections import Connection

CONNECTIONS_DIR, CONNECTIONS_DIR_ENV = "/var/run/adutora/connections", "ADUTORA_CONNECTIONS_DIR"


def run_stage(task: Task, outputs_uris: Mapping[str, str]) -> Outcome:
    """Prepare folders and files, and run the stage. Raises AdutoraError for what is not there."""
    log = stage_log()
    ctx = StageContext(task, log)
    check_params(task.config, task.params)
    check_connections(task)
    with _full_disk_told(ctx):
        ctx.scratch.mkdir(parents=True, exist_ok=True)
        task = replace(task, outputs={**task.outputs, **_outputs(ctx, outputs_uris)})
        ctx = StageContext(task, log)
        shown = _bring_files(ctx)
    outcome = run_task(task, log)
    outcome.peak_memory = peak_memory()
    _tell_full_disk(outcome)
    # The user knows where the files come from, and never sees the folder that they were fetched into.
    outcome.redact(lambda text: text.replace(str(task.files_root), shown))
    return outcome


def look_for_files(task: Task) -> Outcome:
    """Say whether the stage has anything new to read. Raises AdutoraError for what is not there."""
    from adutora.runtime.look import look

    ctx = StageContext(task, stage_log())
    check_params(task.config, task.params)
    check_connections(task)
    with _full_disk_told(ctx):
        ctx.scratch.mkdir(parents=True, exist_ok=True)
        _bring_files(ctx)
    outcome = look(ctx)
    ctx.log.info("stage %s: %s", task.label, outcome.message)
    return outcome


def write_connections(task: Task, env: Mapping[str, str]) -> Outcome:
    """Write settings and secrets of the stage's connections, for the user's image to read. Raises ConfigError."""
    ctx = StageContext(task, stage_log())
    check_params(task.config, task.params)
    check_connections(task)
    root = Path(env.get(CONNECTIONS_DIR_ENV) or CONNECTIONS_DIR)
    names = task.stage.block.get("connections") or []
    with _full_disk_told(ctx):
        root.mkdir(parents=True, exist_ok=True)
        for name in names:
            write_connection(ctx.connection(name), root / name, [])
    ctx.log.info("connections of stage %s: %s", task.label, ", ".join(names) or "none")
    return ctx.outcome


def system_objects(ctx: StageContext) -> Objects:
    """Return the folder of the system beside the lake's tables."""
    return open_objects(ctx.task.lake_root, _lake_connection(ctx)).below(SYSTEM)


def _lake_connection(ctx: StageContext) -> "Connection | None":
    name = ctx.task.config.lake.get("connection")
    return None if name is None else ctx.connection(name)


@contextlib.contextmanager
def _full_disk_told(ctx: StageContext) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise full_disk(error, ctx) from error


def _tell_full_disk(outcome: Outcome) -> None:
    """Say plainly what a library said in its own words."""
    text = outcome.error or ""
    if outcome.exit_code == EXIT_TEMPORARY and "No space left" in text:
        if "full" not in text:
            outcome.error = f"the disk is full: {text}"
        outcome.hint = "raise resources.scratch of the stage, or free space where the lake is"


def _bring_files(ctx: StageContext) -> str:
    """Fetch the files that the stage needs. Returns where they come from, as people know it."""
    config = ctx.task.config
    if not wanted(ctx):
        return str(ctx.task.files_root)
    if config.files_root is None:
        raise ConfigError(
            f"stage {ctx.name!r} reads files of its own pipeline, and Project field spec.filesRoot is not set",
            hint="set it to an s3:// URL, and bring files there with `adutora push FILE`",
        )
    place = open_objects(config.files_root, _lake_connection(ctx)).below(f"{config.namespace}/{config.name}")
    fetch_files(ctx, place.source)
    return place.uri


def _outputs(ctx: StageContext, uris: Mapping[str, str]) -> dict[str, Any]:
    """Return outputs that were too large for a termination message, from the whole outcomes of this pipeline."""
    if not uris:
        return {}
    objects = system_objects(ctx)
    found = {}
    for stage, uri in uris.items():
        own = f"{objects.uri}/{OUTCOMES}/{ctx.task.config.dag_id}/"
        if not uri.startswith(own):
            raise ConfigError(f"outputs of stage {stage!r} are said to be at {uri}, which is not below {own}")
        content = objects.read(uri.removeprefix(f"{objects.uri}/"))
        if content is None:
            raise ConfigError(f"outputs of stage {stage!r} are not at {uri}", hint="run that stage again")
        found[stage] = json.loads(content)["outputs"]
    return found
