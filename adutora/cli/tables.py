"""`adutora tables [TABLE]`: the lake's tables, or one with its schema, versions and some rows."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from adutora.cli.common import Home, add_home_arguments, add_output_argument, home_here
from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.dagconfig import Json


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "tables",
        help="list the lake's tables, or show one",
        description="List the lake's tables, or show one: its columns, versions, rejected rows, and some of its rows.",
    )
    parser.add_argument("table", nargs="?", metavar="TABLE", help="a table, layer.name")
    parser.add_argument("--rows", metavar="N", type=int, default=10, help="how many rows to show (default: 10)")
    add_output_argument(parser)
    add_home_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the tables, or show one. Returns the exit code; raises ConfigError for a table that is not there."""
    from adutora.local.lake_report import listing, listing_text, one, one_text

    if args.rows < 0:
        raise ConfigError(f"--rows {args.rows} is less than 0", hint="--rows 0 shows none")
    home = home_here(args)
    lake = home.lake()
    if args.table is None:
        rows = listing(lake)
        if args.output == "json":
            sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(listing_text(rows) if rows else f"no tables in {home.lake_root}\n")
        return EXIT_OK
    typed = args.output == "json"
    table = one(lake, args.table, args.rows, declared(home, args.table), typed=typed)
    text = json.dumps(table, indent=2, ensure_ascii=False) + "\n" if typed else one_text(table)
    sys.stdout.write(text)
    return EXIT_OK


def declared(home: Home, table: str) -> "Json | None":
    """Return what the newest run that described a table said of it, None if none did."""
    from adutora.local.configs import configs_of_runs

    return next((config.tables[table] for config in configs_of_runs(home.state_dir) if table in config.tables), None)
