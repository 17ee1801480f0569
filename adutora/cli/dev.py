"""`adutora dev FILE…`: the DAGs of a cluster in a local Airflow with its pages, stages as processes of this machine."""

import argparse
import importlib.util
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.dev.pipelines import Pipelines

PORT = 8080


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "dev",
        help="run pipelines in a local Airflow with its pages",
        description="Run pipelines in an Airflow on this machine, with its pages, on SQLite, without a cluster: stages "
        "are processes, tables stand in the local lake. A file that changes is a new revision within seconds.",
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="pipeline files or folders")
    parser.add_argument("--port", type=int, default=PORT, help=f"port of the pages on 127.0.0.1 (default: {PORT})")
    parser.add_argument("--lake", metavar="DIR|URL", help="root of the lake (default: the project's)")
    parser.add_argument("--state", metavar="DIR", help="folder of runs (default: .adutora in the project's folder)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop. Returns the exit code."""
    python_path = _airflow_side()
    from adutora.dev.airflow import LocalAirflow
    from adutora.dev.pipelines import Pipelines
    from adutora.validate import ValidationFailed

    home = _home(args)
    pipelines = Pipelines(args.files, home / "bundle", args, _tell)
    found = pipelines.load()
    if not found.ok:
        raise ValidationFailed(found.diagnostics, found.sources)
    if not found.pipelines:
        raise ConfigError("these files hold no pipeline", hint="name a file with a document `kind: Pipeline`")
    airflow = LocalAirflow(home, home / "bundle", args.port, python_path)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        _tell("starting Airflow; this takes half a minute")
        airflow.migrate()
        airflow.start()
        airflow.wait_ready()
        _tell(f"Airflow is at {airflow.url} (Ctrl-C ends it; its logs are in {home})")
        while True:
            airflow.check()
            if pipelines.changed():
                _again(pipelines)
            time.sleep(1.0)
    except KeyboardInterrupt:
        _tell("ending Airflow")
        return EXIT_OK
    finally:
        airflow.stop()


def _again(pipelines: "Pipelines") -> None:
    """Load files that have changed. What is wrong is told, and the last good revisions stay."""
    from adutora.spec.diagnostics import render_text

    found = pipelines.load()
    if not found.ok:
        sys.stderr.write(render_text(found.diagnostics, found.sources))


def _airflow_side() -> list[str]:
    """Return folders that Airflow has to find modules in. Raises ConfigError where Airflow is not installed."""
    if importlib.util.find_spec("airflow") is None:
        raise ConfigError(
            "adutora dev needs Apache Airflow, which is not installed here", hint="pip install 'adutora[airflow]'"
        )
    if importlib.util.find_spec("adutora_airflow") is None:  # in a clone it stands beside the package
        beside = Path(__file__).parents[2] / "dags"
        if not (beside / "adutora_airflow").is_dir():
            raise ConfigError("the package adutora_airflow is missing", hint="install Adutora anew")
        sys.path.insert(0, str(beside))
    return [folder for folder in sys.path if folder and Path(folder, "adutora_airflow").is_dir()][:1]


def _home(args: argparse.Namespace) -> Path:
    """Return the folder of this Airflow: beside the runs of the first file's project."""
    if args.state:
        return Path(args.state).resolve() / "airflow"
    first = Path(args.files[0]).resolve()
    start = first if first.is_dir() else first.parent
    root = next((each for each in (start, *start.parents) if (each / "adutora.yaml").is_file()), start)
    return root / ".adutora" / "airflow"


def _tell(text: str) -> None:
    sys.stderr.write(f"adutora: {text}\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
