"""The command line. Each command is a module with `add_parser` and `run`, imported when it is asked for."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

from adutora import __version__
from adutora.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOFTWARE, AdutoraError

# Name -> what it does. In the order of the help page.
COMMANDS: Final = {
    "init": "make a new project that runs",
    "validate": "say everything that is wrong with pipeline and project files",
    "run": "run a pipeline on this machine",
    "runs": "list runs, or show one",
    "tables": "list the lake's tables, or show one",
    "online": "list the online store's keys, or show one",
    "graph": "draw a pipeline's stages and tables",
    "test": "test the SQL of stages with rows of your own",
    "replay": "write a table's rejected rows that pass its rules now",
    "dev": "run pipelines in a local Airflow with its pages",
    "push": "bring the files beside a pipeline to a cluster",
    "compile": "print the DagConfig of a pipeline",
    "schema": "print the JSON Schema of a kind, for editors",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; an error goes to standard error, with what would be right."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    parser = _parser(wanted)
    args = parser.parse_args(arguments)
    if not hasattr(args, "run"):
        parser.print_help()
        return EXIT_OK
    try:
        return int(args.run(args))
    except AdutoraError as error:
        print_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return EXIT_OK


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """Build the parser; only the wanted command's module is imported, so that the help page is quick."""
    parser = argparse.ArgumentParser(
        prog="adutora",
        description="Data and machine-learning pipelines from one YAML file, on a laptop or on Kubernetes.",
        epilog="Exit codes: 0 done, 65 bad data, 75 temporary, 78 bad configuration, 2 usage, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"adutora {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, what in COMMANDS.items():
        if name == wanted:
            importlib.import_module(f"adutora.cli.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=what)
    return parser


def print_error(error: AdutoraError) -> None:
    """Tell of an error on standard error: what is wrong, and what would be right."""
    from adutora.validate import ValidationFailed

    if isinstance(error, ValidationFailed):
        from adutora.spec.diagnostics import render_text

        sys.stderr.write(render_text(error.diagnostics, error.sources))
        return
    sys.stderr.write(f"adutora: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"  right: {error.hint}\n")


def console() -> None:
    """Entry point of the installed script."""
    code = EXIT_SOFTWARE
    try:
        code = main()
    finally:
        _flush()
    sys.exit(code)


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()


def _forget_output() -> None:
    """A reader that goes away, such as `head`, has all that it wanted: what is left goes nowhere, and is no error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
