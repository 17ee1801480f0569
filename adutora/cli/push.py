"""`adutora push FILE`: bring the files beside a pipeline to where its pods look for them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.io.stored import Objects
    from adutora.local.upload import Change
    from adutora.validate import LoadedPipeline


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "push",
        help="bring the files beside a pipeline to a cluster",
        description="Bring the files that a pipeline reads from its own folder, and its Python modules, to "
        "<filesRoot>/<namespace>/<pipeline>/, where its pods look for them. Files that are there already are left out.",
    )
    parser.add_argument("file", metavar="FILE", help="the pipeline file")
    parser.add_argument("--pipeline", metavar="NAME", help="which pipeline, where the file has several")
    parser.add_argument("--namespace", metavar="NAME", help="namespace of the pipeline (default: the file's)")
    parser.add_argument("--to", metavar="URL|DIR", help="in place of the Project's filesRoot")
    parser.add_argument(
        "--prune", action="store_true", help="remove what an earlier push brought and is not needed now"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--with", dest="others", metavar="FILE", action="append", default=[], help="validate with FILE")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Push. Returns the exit code; raises AdutoraError for what is not there, or does not answer."""
    from adutora.compile import compile_pipeline
    from adutora.local.upload import files_of, push
    from adutora.validate import load_pipeline

    loaded = load_pipeline(args.file, others=args.others, name=args.pipeline)
    config = compile_pipeline(loaded.pipeline, loaded.project)
    files = files_of(config, loaded.path.resolve().parent, _warn)
    objects = _target(loaded, args)
    if not files:
        sys.stdout.write(f"pipeline {config.name} reads no files of its own folder\n")
        return EXIT_OK
    changes = push(files, objects, _tell, dry_run=args.dry_run, prune=args.prune)
    sys.stdout.write(_summary(changes, objects, args))
    return EXIT_OK


def _target(loaded: "LoadedPipeline", args: argparse.Namespace) -> "Objects":
    """Open the pipeline's folder below the Project's filesRoot, with the lake's connection."""
    from adutora.cli.common import address, home_of
    from adutora.io.connections import resolve
    from adutora.io.stored import open_objects

    spec = loaded.project.spec
    root = address(args.to, Path.cwd()) if args.to else spec.filesRoot
    if root is None:
        raise ConfigError(
            "the Project does not say where files belong: spec.filesRoot is not set",
            hint="set it, for example to s3://bucket/files, or give --to URL",
        )
    if "://" not in root and not Path(root).is_absolute():
        raise ConfigError(f"spec.filesRoot is the relative path {root!r}", hint="an s3:// URL, or an absolute path")
    connection = None
    if spec.lake.connection and "://" in root:
        specs = {each.name: each for each in spec.connections}
        connection = resolve(specs, spec.lake.connection, home_of(loaded, args).root)
    return open_objects(root, connection).below(f"{_namespace(loaded, args.namespace)}/{loaded.pipeline.metadata.name}")


def _namespace(loaded: "LoadedPipeline", given: str | None) -> str:
    from pydantic import ValidationError

    from adutora.spec.metadata import Metadata

    metadata = loaded.pipeline.metadata
    if given is None:
        return metadata.namespace or "default"
    try:
        Metadata.model_validate({"name": metadata.name, "namespace": given})
    except ValidationError:
        raise ConfigError(f"--namespace {given!r} is no name of a namespace", hint="such as team-a") from None
    return given


def _warn(text: str) -> None:
    sys.stderr.write(f"warning: {text}\n")


def _tell(change: "Change") -> None:
    from adutora.local.lake_report import size_text

    if change.state != "unchanged":
        size = f"  {size_text(change.size)}" if change.state in ("new", "changed") else ""
        sys.stderr.write(f"{change.state:9} {change.path}{size}\n")


def _summary(changes: "list[Change]", objects: "Objects", args: argparse.Namespace) -> str:
    counts = {state: sum(each.state == state for each in changes) for state in _STATES}
    told = ", ".join(f"{count} {words}" for state, words in _STATES.items() if (count := counts[state]))
    note = "; --prune removes what is left" if counts["left"] and not args.prune else ""
    return f"{'dry run: ' if args.dry_run else ''}{objects.uri}: {told or 'nothing'}{note}\n"


_STATES = {
    "new": "new", "changed": "changed", "unchanged": "unchanged", "removed": "removed",
    "left": "left from an earlier push",
}  # fmt: skip
