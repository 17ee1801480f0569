"""Runs of the past as people and programs read them: one line each, or one of them whole."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from adutora.dagconfig import Json
from adutora.errors import ConfigError
from adutora.local.state import RunFolder, RunState, StageState, all_runs, runs_dir
from adutora.local.summary import aligned
from adutora.spec.nearest import did_you_mean

INTERRUPTED = "interrupted"  # a run that says `running`, and whose process is gone


def status_of(state: RunState, folder: RunFolder) -> str:
    """Return a run's status; `interrupted` where its process died before it could write another."""
    return INTERRUPTED if state.status == "running" and not folder.alive() else state.status


def seconds_of(state: RunState) -> float | None:
    """Return how long a run worked, without pauses before it was resumed; None for one that did not end."""
    if state.ended_at is None or state.seconds is None:
        return None
    return round(state.seconds, 3)


def listing(state_dir: Path) -> list[Json]:
    """Return a row for each run, the oldest first."""
    return [_line(state, RunFolder(runs_dir(state_dir) / state.id)) for state in all_runs(state_dir)]


def _line(state: RunState, folder: RunFolder) -> Json:
    return {
        "id": state.id,
        "pipeline": state.pipeline,
        "status": status_of(state, folder),
        "startedAt": state.run.started_at,
        "seconds": seconds_of(state),
        "date": state.run.date,
        "failed": [stage.name for stage in state.stages if stage.status == "failed"],
    }


def listing_text(rows: list[Json]) -> str:
    """Return the rows of `listing` as a table."""
    head = ["run", "pipeline", "status", "started (UTC)", "seconds", "failed"]
    body = [
        [
            row["id"],
            row["pipeline"],
            row["status"],
            _moment(row["startedAt"]),
            "" if row["seconds"] is None else f"{row['seconds']:.1f}",
            ", ".join(row["failed"]),
        ]
        for row in rows
    ]
    return aligned([head, *body], right=frozenset({4}))


def one(folder: RunFolder) -> Json:
    """Return everything that is known of a run."""
    state = folder.load()
    return {**asdict(state), "status": status_of(state, folder), "folder": str(folder.path)}


def one_text(folder: RunFolder) -> str:
    """Return a run for people: what it was, its parameters and its stages."""
    state = folder.load()
    status, seconds = status_of(state, folder), seconds_of(state)
    took = "" if seconds is None else f" after {seconds:.1f} s"
    lines = [
        f"run {state.id} of {state.pipeline}: {status}{took}",
        f"  file     {state.file}",
        f"  started  {_moment(state.run.started_at)} UTC, for {state.run.date}",
        f"  lake     {state.lake}",
    ]
    given = set(state.given_params)
    for name, value in state.params.items():
        lines.append(f"  param    {name} = {value!r}{'' if name in given else ' (default)'}")
    parts = ["\n".join(lines), _stages(state), *_troubles(state)]
    if status in (INTERRUPTED, "failed", "stopped"):
        parts.append(f"go on with: adutora run {state.file} --resume {state.id}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _stages(state: RunState) -> str:
    head = ["stage", "type", "status", "in", "out", "rejected", "seconds", "tries", "tables"]
    return aligned([head, *(_stage(stage) for stage in state.stages)], right=frozenset({3, 4, 5, 6, 7}))


def _stage(stage: StageState) -> list[str]:
    counts = (stage.rows_in, stage.rows_out, stage.rows_rejected)
    return [
        stage.name,
        stage.type,
        "cached" if stage.cached and stage.status == "succeeded" else stage.status,
        *("" if count is None else f"{count:,}" for count in counts),
        "" if stage.duration is None else f"{stage.duration:.2f}",
        str(stage.tries or ""),
        ", ".join(f"{table.get('table')}@{table.get('version')}" for table in stage.tables),
    ]


def _troubles(state: RunState) -> list[str]:
    out = []
    for stage in state.stages:
        if stage.error:
            lines = [f"{stage.name} failed with code {stage.exit_code}: {stage.error}"]
            out.append("\n".join([*lines, *([f"  right: {stage.hint}"] if stage.hint else [])]))
        out.extend(f"{stage.name}: warning: {warning}" for warning in stage.warnings)
    return out


def logs(folder: RunFolder, stage: str | None) -> Iterator[tuple[str, Path]]:
    """Yield the stages of a run that left a log, with its file; those of a fan-out's items as `stage[i]`.

    Raises ConfigError, with the nearest name, for a stage that the run does not have.
    """
    names = [each.name for each in folder.load().stages]
    if stage is not None and stage not in names:
        raise ConfigError(f"run {folder.path.name} has no stage {stage!r}", hint=did_you_mean(stage, names))
    for name in names if stage is None else [stage]:
        items = folder.stage_dir(name) / "items"
        indices = sorted(int(path.name) for path in items.iterdir() if path.name.isdigit()) if items.is_dir() else []
        paths = [(name, folder.log_path(name)), *((f"{name}[{i}]", folder.log_path(name, i)) for i in indices)]
        yield from ((label, path) for label, path in paths if path.is_file())


def _moment(text: str) -> str:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
