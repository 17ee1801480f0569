"""What a pod tells of its end: the whole outcome beside the lake, and a short one in the termination message.

The short one is what Airflow acts on: at most 2,048 bytes, always valid JSON. Where it is too long, metrics go first,
then texts are cut, then the outputs move to `outputsUri`, then the list of tables is cut. `truncated` says that
something is missing, and `uri` where the whole stands.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from adutora import __version__
from adutora.dagconfig import Json
from adutora.errors import EXIT_OK, EXIT_TEMPORARY
from adutora.runtime.outcome import Outcome

if TYPE_CHECKING:
    from adutora.runtime.task import Task

MOST: Final = 2048  # bytes of the termination message
TERMINATION_LOG, TERMINATION_LOG_ENV = "/dev/termination-log", "ADUTORA_TERMINATION_LOG"
OUTCOMES: Final = "outcomes"
_TEXTS = ("message", "hint", "error")  # cut in this order, each to what is worth reading, then to little
_SHORTER = (400, 160, 60)
_UNSAFE = re.compile(r"[/\\\x00-\x1f\x7f]|^\.+$")


def outcome_path(dag_id: str, run_id: str, label: str, attempt: int) -> str:
    """Return where the whole outcome of a try stands, below the lake's folder of the system."""
    return f"{OUTCOMES}/{dag_id}/{_UNSAFE.sub('-', run_id)}/{_UNSAFE.sub('-', label)}.{attempt}.json"


def whole(outcome: Outcome, task: "Task", started: str, ended: str) -> bytes:
    """Return everything that is known of a try's end, as JSON."""
    told = {
        "format": 1,
        "pipeline": task.config.dag_id,
        "configHash": task.config.hash,
        "run": task.run_id,
        "stage": task.stage_name,
        "itemIndex": task.item_index,
        "attempt": task.attempt,
        "startedAt": started,
        "endedAt": ended,
        "adutora": __version__,
        "peakMemory": outcome.peak_memory,
        **_told(outcome),
        "warnings": outcome.warnings,
        "tables": outcome.tables,
    }
    return json.dumps(told, ensure_ascii=False, indent=1, default=str).encode(errors="replace")


def _told(outcome: Outcome) -> Json:
    return {
        "exitCode": outcome.exit_code,
        "reason": outcome.reason,
        "error": outcome.error,
        "hint": outcome.hint,
        "message": outcome.message,
        "rowsIn": outcome.rows_in,
        "rowsOut": outcome.rows_out,
        "rowsRejected": outcome.rows_rejected,
        "cached": outcome.cached,
        "tables": [
            {"name": table.get("table"), "version": table.get("version"), "changed": bool(table.get("changed"))}
            for table in outcome.tables
        ],
        "outputs": outcome.outputs,
        "metrics": outcome.metrics,
    }


def short(outcome: Outcome, uri: str | None = None) -> bytes:
    """Return the termination message: JSON in UTF-8, at most `MOST` bytes. `uri` is where the whole stands."""
    told = {**_told(outcome), "truncated": False, "uri": uri}
    data = encoded(told)
    for shrink in _shrinking(uri):
        if len(data) <= MOST:
            break
        told["truncated"] = True
        shrink(told)
        data = encoded(told)
    return data


def _shrinking(uri: str | None) -> "list[Callable[[Json], None]]":
    """Return what makes an outcome shorter, the least loss first. The last step leaves less than the limit."""
    cuts = [_cutter(name, most) for most in _SHORTER for name in _TEXTS]
    return [_drop("metrics", {}), *cuts[: len(_TEXTS)], _move_outputs(uri), *cuts[len(_TEXTS) :], _cut_tables, _bare]


def _drop(name: str, empty: object) -> "Callable[[Json], None]":
    def drop(told: Json) -> None:
        told[name] = empty

    return drop


def _cutter(name: str, most: int) -> "Callable[[Json], None]":
    def cut(told: Json) -> None:
        text = told[name]
        if text and len(encoded(text)) > most:
            told[name] = cut_text(text, most)

    return cut


def cut_text(text: str, most: int) -> str:
    """Return the beginning of a text whose JSON takes at most `most` bytes, with `…` where something is missing."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(encoded(text[:middle] + "…")) <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low] + "…"


def _move_outputs(uri: str | None) -> "Callable[[Json], None]":
    def move(told: Json) -> None:
        if told["outputs"]:
            del told["outputs"]
            told["outputsUri"] = uri

    return move


def _cut_tables(told: Json) -> None:
    """Keep those that changed, for their events wake other pipelines; then as many as there is room for."""
    tables = sorted(told["tables"], key=lambda table: not table["changed"])
    told["tables"] = []
    room = MOST - len(encoded(told))
    for table in tables:
        room -= len(encoded(table)) + 1
        if room < 0:
            break
        told["tables"].append(table)


def _bare(told: Json) -> None:
    for name in [name for name in told if name not in {"exitCode", "truncated"}]:
        told[name] = None
    told["tables"], told["metrics"] = [], {}


def encoded(value: object) -> bytes:
    """Return JSON as UTF-8; what no Unicode text can hold, such as half a surrogate pair, becomes `?`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode(errors="replace")


def leave(data: bytes, env: Mapping[str, str], log: logging.Logger) -> None:
    """Write the termination message over what stood there. A place that is missing is told, and no failure."""
    path = env.get(TERMINATION_LOG_ENV) or TERMINATION_LOG
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, data)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)
    except OSError as error:
        log.error("no termination message can be left at %s: %s", path, error.strerror)


def unstored(outcome: Outcome, why: str) -> None:
    """Take in that the whole outcome is nowhere.

    What the stage did stands, so its code stays; but where later stages need outputs that only the whole outcome has
    room for, the try is one that must be made again.
    """
    note = f"the whole outcome could not be stored: {why}"
    if outcome.exit_code == EXIT_OK and "outputs" not in json.loads(short(outcome)):
        outcome.exit_code, outcome.reason = EXIT_TEMPORARY, "OutcomeLost"
        outcome.error, outcome.hint = f"{note}, and it has outputs that later stages need", "the next try may"
        return
    outcome.message = f"{outcome.message}; {note}" if outcome.message else note
