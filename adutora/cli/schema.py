"""`adutora schema`: print the JSON Schema that editors complete and check with."""

import argparse
import sys
from importlib import resources
from typing import Any

from adutora.errors import EXIT_OK

KINDS = ("pipeline", "project", "model-service")


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "schema",
        help="print the JSON Schema of a kind, for editors",
        description="Print the JSON Schema of a kind. Save it, and name it in the first line of a file: "
        "# yaml-language-server: $schema=pipeline.json",
    )
    parser.add_argument("kind", nargs="?", choices=KINDS, default="pipeline", help="which kind (default: pipeline)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the schema. Returns the exit code."""
    sys.stdout.write(schema_text(args.kind))
    return EXIT_OK


def schema_text(kind: str) -> str:
    """Return the schema's text, as it came with the package."""
    return resources.files("adutora").joinpath("schema", f"{kind}.json").read_text(encoding="utf-8")
