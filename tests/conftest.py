"""A stage with a real lake under a temporary folder and a real DuckDB, without a process of its own."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from adutora.dagconfig import DagConfig, StageConfig
from adutora.runtime.context import StageContext
from adutora.runtime.task import RunInfo, Task

StageMaker = Callable[..., StageContext]


def _task(root: Path, stage: StageConfig, tables: dict[str, Any], run: str, at: str) -> Task:
    config = DagConfig(name="shop", namespace="team", stages=(stage,), timezone="UTC", lake={}, tables=tables)
    folder = root / "runs" / run
    folder.mkdir(parents=True, exist_ok=True)
    info = RunInfo(run, at[:10], None, None, None, at)
    return Task(
        config=config, stage_name=stage.name, run=info, params={}, given_params=(), attempt=1, files_root=root,
        project_root=root, state_dir=root / ".adutora", task_dir=folder, cwd=root, lake_root=str(root / "lake"),
    )  # fmt: skip


@pytest.fixture
def stage_context(tmp_path: Path) -> Iterator[StageMaker]:
    """Make the context of one stage: `tables` as a pipeline describes them, `block` and `output` of the stage."""
    made: list[StageContext] = []

    def make(
        *tables: dict[str, Any],
        kind: str = "sql",
        block: dict[str, Any] | None = None,
        inputs: tuple[dict[str, Any], ...] = (),
        output: dict[str, Any] | None = None,
        run: str = "r-1",
        at: str = "2026-05-10T12:00:00+00:00",
    ) -> StageContext:
        stage = StageConfig(
            name="stage", type=kind, block=block or {"query": "SELECT 1"}, depends_on=(), retries=0, retry_delay=1,
            timeout=60, resources={"cpu": 1000, "memory": 1 << 30}, inputs=inputs, output=output,
        )  # fmt: skip
        task = _task(tmp_path, stage, {table["name"]: table for table in tables}, run, at)
        made.append(StageContext(task, logging.getLogger("adutora.stage")))
        return made[-1]

    yield make
    for one in made:
        if "con" in vars(one):
            one.con.close()
