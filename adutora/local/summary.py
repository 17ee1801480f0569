"""The end of a run: what each stage did, and what stands in the tables now."""

import json
from collections.abc import Sequence
from dataclasses import asdict

from adutora.dagconfig import DagConfig
from adutora.local.state import RunFolder, RunState, StageState


def json_summary(state: RunState, folder: RunFolder) -> str:
    """Return the run as JSON, for programs."""
    data = asdict(state)
    data["folder"] = str(folder.path)
    return json.dumps(data, indent=2, default=str) + "\n"


def text_summary(state: RunState, folder: RunFolder, samples: Sequence[str]) -> str:
    """Return a table of stages, the samples of its results, and where to look further."""
    parts = [_stages(state), *_troubles(state, folder), *samples]
    parts.append(f"{state.status} in {state.seconds or 0:.1f} s · run {state.id} · {folder.path}")
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _stages(state: RunState) -> str:
    head = ["stage", "type", "status", "in", "out", "rejected", "seconds", "peak MiB", "tries"]
    rows = [_row(stage) for stage in state.stages if stage.status != "waiting" or stage.name in state.selected]
    return "\n" + aligned([head, *rows], right=frozenset({3, 4, 5, 6, 7, 8}))


def _row(stage: StageState) -> list[str]:
    return [
        stage.name,
        stage.type,
        "cached" if stage.cached and stage.status == "succeeded" else stage.status,
        *("" if count is None else f"{count:,}" for count in (stage.rows_in, stage.rows_out, stage.rows_rejected)),
        "" if stage.duration is None else f"{stage.duration:.2f}",
        "" if stage.peak_memory is None else f"{stage.peak_memory / 2**20:.0f}",
        str(stage.tries or ""),
    ]


def _troubles(state: RunState, folder: RunFolder) -> list[str]:
    out = []
    for stage in state.stages:
        if stage.status == "failed":
            lines = [f"{stage.name} failed with code {stage.exit_code}: {stage.error}"]
            lines += [f"  right: {stage.hint}"] if stage.hint else []
            lines += [f"  log:   {folder.log_path(stage.name)}"]
            out.append("\n".join(lines))
    if out or state.status == "stopped":
        out.append(f"go on with: adutora run {state.file} --resume {state.id}")
    return out


def results(state: RunState, config: DagConfig) -> list[str]:
    """Return the tables of this run that no other stage of it made a table from."""
    done = {stage.name for stage in state.stages if stage.status == "succeeded"}
    ran = [stage for stage in config.stages if stage.name in done and stage.output]
    consumed = {item.get("table") for stage in ran for item in stage.inputs}
    names = [str(stage.output["table"]) for stage in ran if stage.output and stage.output["table"] not in consumed]
    return list(dict.fromkeys(names))


def fitting(names: list[str], rows: list[list[str]], width: int = 150) -> tuple[list[str], list[list[str]]]:
    """Return the first columns, as many as fit into a width in characters; the head says how many do not."""
    kept, used = 0, 0
    for index, name in enumerate(names):
        used += 2 + max(len(name), *(len(row[index]) for row in rows), 0)
        if used > width and kept:
            break
        kept += 1
    if kept == len(names):
        return names, rows
    return [*names[:kept], f"… {len(names) - kept} more"], [[*row[:kept], ""] for row in rows]


def short(text: str, most: int = 40) -> str:
    flat = " ".join(text.split("\n"))
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def aligned(rows: list[list[str]], right: frozenset[int] = frozenset()) -> str:
    """Return rows as columns of equal width; the first row is the head."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
        if number == 0:
            lines.append("  " + "  ".join("─" * width for width in widths))
    return "\n".join(lines) + "\n"
