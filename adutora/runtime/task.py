"""A task: one try of one stage (or of one item of a fan-out), as its process is told of it."""

import datetime as dt
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adutora.dagconfig import DagConfig, Json, StageConfig

# Files in a task's folder.
TASK = "task.json"
OUTCOME = "outcome.json"


@dataclass(frozen=True)
class RunInfo:
    """The run that a task belongs to. Times are ISO 8601 in UTC; `date` is in the pipeline's zone."""

    id: str
    date: str
    scheduled_at: str | None
    interval_start: str | None
    interval_end: str | None
    started_at: str
    trigger: str = "manual"


@dataclass(frozen=True)
class Task:
    """What a stage's process reads first. Folders are absolute."""

    config: DagConfig
    stage_name: str
    run: RunInfo
    params: Json
    given_params: tuple[str, ...]
    attempt: int
    files_root: Path
    project_root: Path
    state_dir: Path
    task_dir: Path
    cwd: Path
    lake_root: str
    lake_layers: dict[str, str] = field(default_factory=dict)
    item: Any = None
    item_index: int | None = None
    full_refresh: bool = False
    outputs: dict[str, Json] = field(default_factory=dict)
    memory: int | None = None  # bytes, where a retry was given more than the stage asked for
    threads: int | None = None  # of the engine, where more cores are free than the stage asked for

    @property
    def stage(self) -> StageConfig:
        """The stage as compiled."""
        return self.config.stage(self.stage_name)

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self.run.id

    @property
    def label(self) -> str:
        """`stage`, or `stage[i]` for an item of a fan-out."""
        return self.stage_name if self.item_index is None else f"{self.stage_name}[{self.item_index}]"

    @property
    def started_at(self) -> dt.datetime:
        """When the run began, in UTC."""
        return dt.datetime.fromisoformat(self.run.started_at)

    def save(self, path: Path) -> None:
        """Write the task as JSON; the DagConfig goes by its path in the run's folder."""
        data = {
            name: str(value) if isinstance(value, Path) else value
            for name, value in ((f, getattr(self, f)) for f in self.__dataclass_fields__)
            if name != "config"
        }
        data["run"] = asdict(self.run)
        path.write_text(json.dumps(data))

    @classmethod
    def load(cls, path: Path, config_path: Path) -> "Task":
        """Read a task and the DagConfig beside it."""
        data = json.loads(path.read_text())
        data["run"] = RunInfo(**data["run"])
        data["given_params"] = tuple(data["given_params"])
        for name in ("files_root", "project_root", "state_dir", "task_dir", "cwd"):
            data[name] = Path(data[name])
        return cls(config=DagConfig.from_json(json.loads(config_path.read_text())), **data)
