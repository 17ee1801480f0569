"""`adutora validate FILE…`: everything that is wrong, at once. Reads files only, no network."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from adutora.errors import EXIT_CONFIG, EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from adutora.validate import Validation


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "validate",
        help="say everything that is wrong with pipeline and project files",
        description="Say everything that is wrong with pipeline and project files, each with its place and what "
        "would be right. Files that are given together see one another's tables. Exit code 78 if there are errors.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file, or a folder: all of its files that are ours")
    parser.add_argument(
        "--output", choices=("text", "json", "github"), default="text", help="how to show it (default: text)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Validate the files and print what was found. Returns the exit code."""
    from adutora.validate import validate_files

    found = validate_files(args.files)
    if not found.files:
        sys.stderr.write(f"adutora validate: no file of adutora.dev below {', '.join(args.files)}\n")
        return EXIT_USAGE
    sys.stdout.write(rendered(found, args.output))
    return EXIT_OK if found.ok else EXIT_CONFIG


def rendered(found: "Validation", output: str) -> str:
    """Return everything that was found, in one of the three forms."""
    from adutora.spec.diagnostics import render_github, render_json, render_text

    if output == "json":
        return render_json(found.diagnostics)
    if output == "github":
        return render_github(found.diagnostics)
    return render_text(found.diagnostics, found.sources) + _summary(found)


def _summary(found: "Validation") -> str:
    from adutora.spec.diagnostics import errors

    bad = len(errors(found.diagnostics))
    warnings = len(found.diagnostics) - bad
    parts = [_count(len(found.files), "file"), _count(bad, "error")]
    if warnings:
        parts.append(_count(warnings, "warning"))
    return ", ".join(parts) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"
