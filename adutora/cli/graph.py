"""`adutora graph FILE`: stages and tables as text and as a picture."""

import argparse
import json
import sys
from typing import Any

from adutora.cli.common import add_file_arguments, add_output_argument
from adutora.errors import EXIT_OK


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "graph",
        help="draw a pipeline's stages and tables",
        description="Show which stage reads and writes which table, as text, and with --svg as a picture.",
    )
    add_file_arguments(parser)
    parser.add_argument("--svg", metavar="OUT.svg", help="write a picture to OUT.svg; `-` is standard output")
    add_output_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw the pipeline. Returns the exit code; raises ValidationFailed for a file with errors."""
    from adutora.cli.compile import write
    from adutora.compile import compile_pipeline
    from adutora.drawing import graph_of, svg, text
    from adutora.validate import load_pipeline

    loaded = load_pipeline(args.file, others=args.others, name=args.pipeline)
    graph = graph_of(compile_pipeline(loaded.pipeline, loaded.project))
    if args.svg is not None:
        write(svg(graph), None if args.svg == "-" else args.svg)
        if args.svg == "-":
            return EXIT_OK
    if args.output == "json":
        sys.stdout.write(json.dumps(graph.to_json(), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(text(graph))
    return EXIT_OK
