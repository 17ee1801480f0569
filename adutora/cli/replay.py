"""`adutora replay TABLE`: rejected rows again, by the table's rules as they are today."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.io.lake import Lake
    from adutora.io.lake.store import Store
    from adutora.runtime.replay import Replayed
    from adutora.spec.base import Output, Table
    from adutora.spec.pipeline import Pipeline
    from adutora.validate import LoadedPipeline


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
    parser.add_argument("--lake", metavar="DIR|URL", help="the lake's root (default: the project's)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Replay, and print what was done. Returns the exit code; raises ConfigError for an unknown table."""
    from adutora.io import duck
    from adutora.runtime.replay import Replay
    from adutora.validate import load_pipeline

    loaded = load_pipeline(args.file)
    table, output = find_table(loaded.pipeline, args.table)
    lake, store = open_lake(loaded, args.lake)
    metadata = loaded.pipeline.metadata
    with tempfile.TemporaryDirectory(prefix="adutora-replay-") as scratch:
        con = duck.connect(None, None, Path(scratch))
        try:
            name = f"{metadata.namespace or 'default'}.{metadata.name}"
            done = Replay(con, lake, store, table, output, name).run()
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


def open_lake(loaded: "LoadedPipeline", root: str | None) -> "tuple[Lake, Store]":
    """Return the lake of a pipeline, or the one at `root`."""
    from adutora.io.connections import resolve, s3_options
    from adutora.io.lake import Lake
    from adutora.io.lake.store import Store

    project = loaded.project.spec
    home = (loaded.project_path or loaded.path).resolve().parent
    layers = {} if root else {layer.name: _address(layer.root, home) for layer in project.lake.layers}
    address = _address(root, Path.cwd()) if root else _address(project.lake.root, home)
    options = None
    if project.lake.connection:
        connections = {connection.name: connection for connection in project.connections}
        options = s3_options(resolve(connections, project.lake.connection, home))
    return Lake(address, layers, options), Store(address, layers, options)


def rendered(done: "Replayed") -> str:
    """Return the report: a line of counts, then one for each reason."""
    rows = "row" if done.replayed == 1 else "rows"
    lines = [f"{done.table}: {done.replayed} {rows} replayed, {done.rejected} still rejected"]
    lines += [f"  {count:>8}  {reason}" for reason, count in done.reasons]
    return "\n".join(lines) + "\n"


def _address(root: str, base: Path) -> str:
    return root if "://" in root else str(base / root)
