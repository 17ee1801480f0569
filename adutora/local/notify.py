"""Who is told of the end of a run on this machine: the same routes as on a cluster."""

import logging
from pathlib import Path

from adutora.dagconfig import DagConfig
from adutora.errors import AdutoraError
from adutora.local.state import RunState
from adutora.runtime.notices import Failed, Notice, State, concerns


def notify(config: DagConfig, state: RunState, project_root: Path) -> list[AdutoraError]:
    """Tell people. Returns what went wrong; a run that was stopped by hand, or had nothing to do, is no news."""
    notice = notice_of(state)
    if notice is None or not concerns(config, notice.state):
        return []
    from adutora.runtime.notify import Home, tell

    return tell(config, Home(project_root, state.lake), notice, logging.getLogger("adutora.notify"))


def notice_of(state: RunState) -> Notice | None:
    """Return what there is to tell of a run's end, None if there is nothing."""
    ends: dict[str, State] = {"succeeded": "success", "failed": "failure"}
    end: State | None = "deadline" if state.timed_out else ends.get(state.status)
    if end is None or not state.selected:
        return None
    failed = tuple(Failed(stage.name, stage.error) for stage in state.stages if stage.status == "failed")
    return Notice(state.pipeline, state.run.id, end, state.run.date, state.run.started_at, failed)
