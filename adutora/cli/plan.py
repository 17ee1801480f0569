"""What `adutora run` has to know before it starts: worked out in a process of its own.

Validation and compilation load a good deal that a run does not need; here its memory is free again before the first
stage wants it.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adutora.dagconfig import DagConfig
from adutora.errors import EXIT_INTERRUPTED, EXIT_OK, AdutoraError


@dataclass(frozen=True)
class Plan:
    """A compiled pipeline, the folders that it runs with, and the values of its parameters."""

    config: DagConfig
    root: Path
    state_dir: Path
    lake_root: str
    lake_layers: dict[str, str]
    files_root: Path
    warnings: list[str]
    params: dict[str, Any]
    given: list[str]


def planned(args: argparse.Namespace) -> Plan | int:
    """Validate and compile the file of `adutora run`; return the exit code where that fails, which is told already."""
    names = ("file", "others", "pipeline", "lake", "state", "param", "resume")
    asked = json.dumps({name: getattr(args, name) for name in names})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "adutora.cli.plan"], input=asked, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != EXIT_OK:
        return done.returncode if done.returncode > 0 else EXIT_INTERRUPTED
    data = json.loads(done.stdout)
    data["config"] = DagConfig.from_json(data["config"])
    for name in ("root", "state_dir", "files_root"):
        data[name] = Path(data[name])
    return Plan(**data)


def _plan(args: argparse.Namespace) -> dict[str, Any]:
    from adutora.cli.common import home_of
    from adutora.compile import compile_pipeline
    from adutora.local.params import parse_params
    from adutora.validate import load_pipeline

    loaded = load_pipeline(args.file, others=args.others, name=args.pipeline)
    config = compile_pipeline(loaded.pipeline, loaded.project)
    home = home_of(loaded, args)
    # A resumed run has the values that it was begun with.
    params, given = ({}, []) if args.resume is not None else parse_params(config.params, args.param)
    return {
        "config": config.to_json(),
        "root": str(home.root),
        "state_dir": str(home.state_dir),
        "lake_root": home.lake_root,
        "lake_layers": home.lake_layers,
        "files_root": str(loaded.path.resolve().parent),
        "warnings": [str(warning) for warning in loaded.warnings],
        "params": params,
        "given": given,
    }


def main() -> int:
    """Read what is asked from standard input, write the plan to standard output. Returns the exit code."""
    from adutora.cli import print_error

    try:
        json.dump(_plan(argparse.Namespace(**json.load(sys.stdin))), sys.stdout)
    except AdutoraError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
