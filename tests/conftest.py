"""What all tests share: a stage with a real lake and a real DuckDB, and programs that tests start.

What could not be run here is told by name at the end, with the reason; nothing is skipped in silence.
"""

import logging
import os
import shutil
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


CACHE = Path(os.environ.get("ADUTORA_CACHE") or Path.home() / ".cache" / "adutora")
# Name -> where else than on PATH it may stand, and how to get it.
PROGRAMS = {
    "redis-server": ("ADUTORA_TEST_REDIS_SERVER", None, "apt-get install redis-server"),
    "openssl": ("ADUTORA_TEST_OPENSSL", None, "apt-get install openssl"),
    "faketime": ("ADUTORA_TEST_FAKETIME", None, "apt-get install faketime"),
    "versitygw": ("ADUTORA_TEST_VERSITYGW", CACHE / "versitygw", "make servers, which builds it with Go"),
}


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Return a server's path by its name. Where it is missing the test is not run; with CI=true it fails."""

    def find(name: str) -> str:
        variable, folder, how = PROGRAMS[name]
        built = sorted(folder.glob(f"*/{name}")) if folder else []
        found = os.environ.get(variable) or (str(built[-1]) if built else shutil.which(name))
        if found is None:
            reason = f"{name} is not installed ({how})"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tell what was not run, by name."""
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"not run: {report.nodeid}: {reason.removeprefix('Skipped: ')}", yellow=True)
