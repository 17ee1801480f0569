"""`adutora test FILE`: stages against given rows and expected rows."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from adutora.errors import EXIT_DATA, EXIT_OK


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "test",
        help="test the SQL of stages with rows of your own",
        description="Run stages of type sql and clean on given rows, and compare what they write with expected rows. "
        "Tests stand in <pipeline>.tests.yaml or tests.yaml beside the pipeline. Exit code 65 if one fails.",
    )
    parser.add_argument("file", metavar="FILE", help="the pipeline file")
    parser.add_argument("--tests", metavar="FILE", help="the tests (default: beside the pipeline)")
    parser.add_argument("--pipeline", metavar="NAME", help="which pipeline, where the file has several")
    parser.add_argument("--with", dest="others", metavar="FILE", action="append", default=[], help="validate with FILE")
    parser.add_argument("--output", choices=("text", "json"), default="text", help="how to show it (default: text)")
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
        result = run_case(case, config)
        results.append(result)
        if args.output == "text":
            sys.stdout.write(result_text(result))
            sys.stdout.flush()
    if args.output == "json":
        sys.stdout.write(json.dumps(as_json(results), indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(summary(results))
    return EXIT_OK if all(result.passed for result in results) else EXIT_DATA
