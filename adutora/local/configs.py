"""DagConfigs of past runs: what was true when they ran."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError
from adutora.local.state import RunFolder, all_runs, runs_dir

MOST = 200  # runs that are looked at


def configs_of_runs(state_dir: Path) -> Iterator[DagConfig]:
    """Yield the DagConfigs of the latest runs, the newest first; equal ones once, unreadable ones not at all."""
    seen: set[str] = set()
    for state in reversed(all_runs(state_dir)[-MOST:]):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, ConfigError):
            folder = RunFolder(runs_dir(state_dir) / state.id)
            data = json.loads(folder.config_path.read_text(encoding="utf-8"))
            if data["hash"] not in seen:
                config = DagConfig.from_json(data)
                seen.add(data["hash"])
                yield config
