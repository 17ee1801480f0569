"""`adutora init [DIR]`: a project that runs."""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from adutora.cli.common import add_output_argument
from adutora.errors import EXIT_OK


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "init",
        help="make a new project that runs",
        description="Write a small project that runs: a pipeline with data, tests and a project file. Nothing that "
        "stands is overwritten.",
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", default=".", help="where (default: here)")
    parser.add_argument("--name", metavar="N", help="name of project and pipeline (default: the folder's)")
    add_output_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the project. Returns the exit code; raises ConfigError where it would overwrite something."""
    from adutora.starter import make_project

    made = make_project(Path(args.folder), args.name)
    commands = [] if args.folder in (".", "./") else [f"cd {shlex.quote(args.folder)}"]
    commands.append("adutora run pipeline.yaml")
    if args.output == "json":
        data = {"folder": str(made.folder), "name": made.name, "files": made.files, "kept": made.kept, "next": commands}
        sys.stdout.write(json.dumps(data, indent=2) + "\n")
        return EXIT_OK
    lines = [f"made project {made.name}:", *(f"  {made.folder / path}" for path in made.files)]
    lines += [f"kept as it was: {made.folder / path}" for path in made.kept]
    sys.stdout.write("\n".join([*lines, "", "next:", *(f"  {command}" for command in commands)]) + "\n")
    return EXIT_OK
