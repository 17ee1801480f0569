"""Files of pipelines as Airflow's folder of revisions: compiled again whenever a file changes."""

import importlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.dagconfig import DagConfig

if TYPE_CHECKING:
    import argparse

    from adutora.validate import LoadedPipeline, Validation

PLACES = "places.json"  # where each pipeline's stages run, for the operator


class Pipelines:
    """Brings the pipelines of `files` into the folder at `root`. `tell` is told what happens, in words."""

    def __init__(
        self, files: Sequence[str], root: Path, args: "argparse.Namespace", tell: Callable[[str], None]
    ) -> None:
        self._files, self._root, self._args, self._tell = files, root, args, tell
        # Beside Airflow, which is no part of the core: loaded where it is there.
        self._module: Any = importlib.import_module("adutora_airflow.folder")
        self._folder: Any = self._module.Folder(root)
        self._seen: dict[Path, int] = {}

    def load(self) -> "Validation":
        """Validate all files together, and show those pipelines that are right."""
        from adutora.compile import compile_pipeline
        from adutora.validate import validate_files

        found = validate_files(self._files)
        self._watch(found)
        if found.ok:
            loaded = {}
            for each in found.pipelines:
                config = compile_pipeline(each.pipeline, each.project)
                loaded[config.dag_id] = (config, each)
            self._write_places(loaded)
            for config, _ in loaded.values():
                self._show(config)
            for dag_id in self._folder.dag_ids() - set(loaded):
                self._remove(dag_id)
            self._folder.publish(_now(), None)
        return found

    def changed(self) -> bool:
        """Say whether a file is another than when it was loaded."""
        return any(_stamp(path) != stamp for path, stamp in self._seen.items())

    def _watch(self, found: "Validation") -> None:
        paths = {Path(file) for file in self._files} | {each.path for each in found.pipelines}
        paths |= {each.project_path for each in found.pipelines if each.project_path}
        self._seen = {path: _stamp(path) for path in paths}

    def _show(self, config: DagConfig) -> None:
        history = self._folder.history(config.dag_id) or self._module.History("dev", config.namespace, config.name)
        number = history.at(None) or 0
        path = self._folder.config_path(config.dag_id, number)
        if number and path.exists() and json.loads(path.read_text())["hash"] == config.hash:
            return
        self._folder.keep(config.dag_id, number + 1, config.to_json())
        version = _now()
        history.add(version, number + 1)
        published = self._folder.show(config.dag_id, history, version)
        self._folder.publish(version, None if published else version)
        self._tell(f"{config.dag_id}: revision {number + 1}")

    def _remove(self, dag_id: str) -> None:
        self._folder.remove(dag_id)
        self._folder.publish(_now(), _now())
        self._tell(f"{dag_id}: gone")

    def _write_places(self, loaded: "dict[str, tuple[DagConfig, LoadedPipeline]]") -> None:
        from adutora.cli.common import home_of

        places = {}
        for dag_id, (_, each) in loaded.items():
            home = home_of(each, self._args)
            places[dag_id] = {
                "files_root": str(each.path.resolve().parent),
                "project_root": str(home.root),
                "state_dir": str(home.state_dir),
                "lake_root": home.lake_root,
                "lake_layers": home.lake_layers,
            }
        self._module.replace(self._root / PLACES, json.dumps(places))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _now() -> int:
    """Return a version: here the clock orders changes."""
    return time.time_ns() // 1_000_000
