"""`adutora compile FILE`: the DagConfig that a laptop and a cluster run, or where each of its values comes from."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.cli.common import add_file_arguments
from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.explain import Effective
    from adutora.validate import LoadedPipeline

_SHOWN = 60  # characters of a value that --explain shows


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "compile",
        help="print the DagConfig of a pipeline",
        description="Print the DagConfig of a pipeline as JSON: defaults filled in, edges worked out, and a hash. The "
        "same meaning gives the same bytes.",
    )
    add_file_arguments(parser)
    parser.add_argument(
        "--explain", action="store_true", help="print each effective value, and which line or default it comes from"
    )
    parser.add_argument("--out", metavar="FILE", help="write to FILE (default: standard output)")
    parser.add_argument(
        "--output", choices=("text", "json"), help="form of --explain (default: text); a DagConfig is always JSON"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compile the pipeline. Returns the exit code; raises ValidationFailed for a file with errors."""
    from adutora.validate import load_pipeline

    if args.output == "text" and not args.explain:
        raise ConfigError("a DagConfig has no text form", hint="--explain shows its values, a line each")
    loaded = load_pipeline(args.file, others=args.others, name=args.pipeline)
    text = explained(loaded, args.output or "text") if args.explain else compiled(loaded)
    write(text, args.out)
    return EXIT_OK


def compiled(loaded: "LoadedPipeline") -> str:
    """Return the DagConfig as JSON: keys sorted, so that only meaning decides the bytes."""
    from adutora.compile import compile_pipeline

    config = compile_pipeline(loaded.pipeline, loaded.project)
    return json.dumps(config.to_json(), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def explained(loaded: "LoadedPipeline", output: str) -> str:
    """Return every effective value with its origin."""
    from adutora.explain import explain

    values = explain(loaded)
    if output == "json":
        rows = [{"path": each.path, "value": each.value, "origin": each.origin} for each in values]
        return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"
    from adutora.local.summary import aligned

    return aligned([["value", "is", "from"], *([each.path, shown(each), each.origin] for each in values)])


def shown(each: "Effective") -> str:
    """Return a value on one line, cut to what a terminal can show."""
    text = json.dumps(each.value, ensure_ascii=False) if not isinstance(each.value, str) else each.value
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"


def write(text: str, out: str | None) -> None:
    """Write a text to a file, or to standard output. Raises ConfigError if the file cannot be written."""
    if out is None:
        sys.stdout.write(text)
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror or error}") from error
