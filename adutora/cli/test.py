"""`adutora test FILE`: stages against given rows and expected rows."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from adutora.cli.common import add_file_arguments, add_output_argument
from adutora.errors import EXIT_DATA, EXIT_OK


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "test",
        help="test stages with rows of your own",
        description="Run stages of type sql, clean and python on given rows, and compare what they write with "
        "expected rows. Tests stand in <pipeline>.tests.yaml or tests.yaml beside the pipeline. Exit code 65 if one "
        "fails.",
    )
    add_file_arguments(parser)
    parser.add_argument("--tests", metavar="FILE", help="the tests (default: beside the pipeline)")
    add_output_argument(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the tests. Returns the exit code; raises ValidationFailed for files that are wrong."""
    from adutora.compile import compile_pipeline
    from adutora.testing import load_cases, run_case, tests_path
    from adutora.testing.report import as_json, result_text, summary
    from adutora.validate import load_pipeline

    loaded = load_pipeline(args.file, others=args.others, name=args.pipeline)
    config = compile_pipeline(loaded.pipeline, loaded.project)
    path = Path(args.tests) if args.tests else tests_path(Path(args.file))
    results = []
    for case in load_cases(path, config):
        result = run_case(case, config, Path(args.file).parent)
        results.append(result)
        if args.output == "text":
            sys.stdout.write(result_text(result))
            sys.stdout.flush()
    if args.output == "json":
        sys.stdout.write(json.dumps(as_json(results), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(summary(results))
    return EXIT_OK if all(result.passed for result in results) else EXIT_DATA
