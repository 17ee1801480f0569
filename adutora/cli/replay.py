"""`adutora replay TABLE`: rejected rows again, by the table's rules as they are today."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.cli.common import add_home_arguments, home_of
from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.runtime.replay import Replayed
    from adutora.spec.base import Output, Table
    from adutora.spec.pipeline import Pipeline


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "replay",
        help="write a table's rejected rows that pass its rules now",
        description="Judge a table's rejected rows by its rules as they are today. Those that pass are written as the "
        "stage writes them, and leave the rejected rows; the others stay, and are told with their reasons.",
    )
    parser.add_argument("table", metavar="TABLE", help="the table, layer.name")
    parser.add_argument("--file", default="pipeline.yaml", help="the pipeline that writes it (default: pipeline.yaml)")
    add_home_arguments(parser, project=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, and print what was done. Returns the exit code; raises ConfigError for an unknown table."""
    from adutora.io import duck
    from adutora.runtime.replay import Replay
    from adutora.validate import load_pipeline

    if not Path(args.file).is_file():
        raise ConfigError(
            f"there is no {args.file} here, and the pipeline that writes {args.table} is needed",
            hint="name it with --file FILE",
        )
    loaded = load_pipeline(args.file)
    table, output = find_table(loaded.pipeline, args.table)
    lake = home_of(loaded, args).lake()
    metadata = loaded.pipeline.metadata
    with tempfile.TemporaryDirectory(prefix="adutora-replay-") as scratch:
        con = duck.connect(None, None, Path(scratch))
        try:
            name = f"{metadata.namespace or 'default'}.{metadata.name}"
            done = Replay(con, lake, table, output, name).run()
        finally:
            con.close()
    sys.stdout.write(rendered(done))
    return EXIT_OK


def find_table(pipeline: "Pipeline", name: str) -> "tuple[Table, Output]":
    """Return a table's description and the output of the stage that writes it. Raises ConfigError."""
    from adutora.spec.base import Table
    from adutora.spec.nearest import did_you_mean

    outputs = {stage.output.table: stage.output for stage in pipeline.spec.stages if stage.output}
    if name not in outputs:
        raise ConfigError(f"no stage of {pipeline.metadata.name} writes {name}", hint=did_you_mean(name, outputs))
    described = {table.name: table for table in pipeline.spec.tables}
    return described.get(name) or Table(name=name), outputs[name]


def rendered(done: "Replayed") -> str:
    """Return the report: a line of counts, then one for each reason."""
    rows = "row" if done.replayed == 1 else "rows"
    lines = [f"{done.table}: {done.replayed} {rows} replayed, {done.rejected} still rejected"]
    lines += [f"  {count:>8}  {reason}" for reason, count in done.reasons]
    return "\n".join(lines) + "\n"
