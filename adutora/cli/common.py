"""What several commands share: the project's home, its state and its lake."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adutora.errors import ConfigError

if TYPE_CHECKING:
    from adutora.io.lake import Lake
    from adutora.spec.project import Project
    from adutora.validate import LoadedPipeline

PROJECT_FILE = "adutora.yaml"
STATE = ".adutora"


@dataclass(frozen=True)
class Home:
    """A project on this machine: its folder, what it says, where runs are kept and where tables are."""

    root: Path
    project: "Project"
    state_dir: Path
    lake_root: str
    lake_layers: dict[str, str]

    def lake(self) -> "Lake":
        """Open the lake."""
        from adutora.io.connections import lake_options
        from adutora.io.lake import Lake

        specs = {connection.name: connection for connection in self.project.spec.connections}
        options = lake_options(specs, self.project.spec.lake.connection, self.root)
        return Lake(self.lake_root, self.lake_layers, options)


def add_home_arguments(parser: argparse.ArgumentParser, *, project: bool = True) -> None:
    """Add `--lake` and `--state`, and `--project` for commands that are given no pipeline file."""
    parser.add_argument("--lake", metavar="DIR|URL", help="root of the lake (default: the project's)")
    parser.add_argument("--state", metavar="DIR", help="folder of runs (default: .adutora in the project's folder)")
    if project:
        parser.add_argument(
            "--project", metavar="DIR", help="the project's folder (default: the nearest with adutora.yaml or .adutora)"
        )


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the pipeline file, which of its pipelines, and the files that are validated with it."""
    parser.add_argument("file", metavar="FILE", help="the pipeline file")
    parser.add_argument("--pipeline", metavar="NAME", help="which pipeline, where the file has several")
    parser.add_argument("--with", dest="others", metavar="FILE", action="append", default=[], help="validate with FILE")


def add_output_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--output text|json`."""
    parser.add_argument("--output", choices=("text", "json"), default="text", help="how to show it (default: text)")


def home_of(loaded: "LoadedPipeline", args: argparse.Namespace) -> Home:
    """Return the home of a pipeline: the folder of its adutora.yaml, else its own."""
    root = (loaded.project_path or loaded.path).resolve().parent
    return _home(root, loaded.project, args)


def home_here(args: argparse.Namespace) -> Home:
    """Return the home that `--project` names, or the nearest one from here upwards. Raises ConfigError."""
    from adutora.spec.project import EMBEDDED, Project

    root = _root(args)
    path = root / PROJECT_FILE
    project = EMBEDDED
    if path.is_file():
        from adutora.validate import ValidationFailed, validate_files

        found = validate_files([path])
        if not found.ok:
            raise ValidationFailed(found.diagnostics, found.sources)
        project = next((each for each in found.projects if isinstance(each, Project)), EMBEDDED)
    return _home(root, project, args)


def _root(args: argparse.Namespace) -> Path:
    here = Path.cwd()
    given = getattr(args, "project", None)
    if given:
        root = Path(given).resolve()
        if root.is_file():
            root = root.parent
        if not root.is_dir():
            raise ConfigError(f"there is no folder {given}")
        return root
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file() or (folder / STATE).is_dir():
            return folder
    return here


def _home(root: Path, project: "Project", args: argparse.Namespace) -> Home:
    state = getattr(args, "state", None) or os.environ.get("ADUTORA_STATE")
    state_dir = Path(state).resolve() if state else root / STATE
    given = getattr(args, "lake", None)
    if given:
        return Home(root, project, state_dir, address(given, Path.cwd()), {})
    lake = project.spec.lake
    layers = {layer.name: address(layer.root, root) for layer in lake.layers}
    return Home(root, project, state_dir, address(lake.root, root), layers)


def address(root: str, base: Path) -> str:
    """Return a lake's root as an absolute folder or a URL."""
    return root if "://" in root else str((base / Path(root).expanduser()).resolve())
