"""`adutora runs [RUN]`: what was run here, or one run with its stages and logs."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from adutora.cli.common import add_home_arguments, add_output_argument, home_here
from adutora.errors import EXIT_OK

if TYPE_CHECKING:
    from adutora.local.state import RunFolder


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "runs",
        help="list runs, or show one",
        description="List the runs of a project, the newest last, or show one with its stages.",
    )
    parser.add_argument("name", nargs="?", metavar="RUN", help="a run, the beginning of its id, or `last`")
    parser.add_argument(
        "--logs", nargs="?", const="", metavar="STAGE", help="print the logs of the run, or of one stage of it"
    )
    add_output_argument(parser)
    add_home_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the runs, or show one. Returns the exit code; raises ConfigError for a run or stage that is not there."""
    from adutora.local.history import listing, listing_text, one, one_text
    from adutora.local.state import find_run

    state_dir = home_here(args).state_dir
    if args.name is None and args.logs is None:
        rows = listing(state_dir)
        if args.output == "json":
            sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        else:
            sys.stdout.write(listing_text(rows) if rows else f"no runs in {state_dir}\n")
        return EXIT_OK
    folder = find_run(state_dir, args.name or "last")
    if args.logs is not None:
        print_logs(folder, args.logs or None)
    elif args.output == "json":
        sys.stdout.write(json.dumps(one(folder), indent=2, default=str) + "\n")
    else:
        sys.stdout.write(one_text(folder))
    return EXIT_OK


def print_logs(folder: "RunFolder", stage: str | None) -> None:
    """Print logs as they are; before each its stage's name, where there are several."""
    from adutora.local.history import logs

    found = list(logs(folder, stage))
    if not found:
        sys.stderr.write(f"no logs{f' of stage {stage}' if stage else ''} in {folder.path}\n")
    for label, path in found:
        if len(found) > 1:
            sys.stdout.write(f"── {label} ──\n")
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                sys.stdout.write(line)
