"""`adutora online [KEY]`: look into the online store."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from adutora.cli.common import Home, add_home_arguments, add_output_argument, home_here
from adutora.errors import EXIT_OK, ConfigError

if TYPE_CHECKING:
    from adutora.io.online import OnlineStore


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "online",
        help="list the online store's keys, or show one",
        description="List the keys of the online store by prefix, or show the hash of one key. Prefixes are those of "
        "the project's pipelines and runs.",
    )
    parser.add_argument("key", nargs="?", metavar="KEY", help="a whole key, such as city:Recife")
    parser.add_argument("--connection", metavar="NAME", default="online", help="which store (default: online)")
    parser.add_argument("--prefix", metavar="P", action="append", default=[], help="only this prefix; repeatable")
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="most keys of a prefix (default: 20)")
    add_output_argument(parser)
    add_home_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List keys, or show one. Returns the exit code; raises ConfigError for a key that is not there."""
    from adutora.local.online_report import hash_text, listing, listing_text

    if args.limit < 0:
        raise ConfigError(f"--limit {args.limit} is less than 0", hint="--limit 0 only counts")
    home = home_here(args)
    with open_named(home, args.connection) as store:
        if args.key is not None:
            fields = found(store, args.key, home, args.connection)
            data: Any = {"key": args.key, "fields": fields}
            text = hash_text(args.key, fields)
        else:
            names = args.prefix or known_prefixes(home, args.connection)
            data = listing(store, names, args.limit)
            nothing = f"no pipeline or run of {home.root} publishes to {args.connection}; name a prefix with --prefix\n"
            text = listing_text(data) if data else nothing
    sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n" if args.output == "json" else text)
    return EXIT_OK


def open_named(home: Home, name: str) -> "OnlineStore":
    """Open the store of a connection of the project. Raises ConfigError, with the nearest name, where there is none."""
    from adutora.io.connections import resolve
    from adutora.io.online import open_store
    from adutora.spec.project import EMBEDDED_ONLINE

    specs = {connection.name: connection for connection in home.project.spec.connections}
    specs.setdefault(EMBEDDED_ONLINE.name, EMBEDDED_ONLINE)
    connection = resolve(specs, name, home.root)
    if connection.type == "sqlite":
        path = connection.path(connection.settings.path)
        if not path.is_file():  # to open it would make it
            raise ConfigError(f"there is no online store {path}", hint="a publish stage makes it")
    return open_store(connection, home.root)


def known_prefixes(home: Home, connection: str) -> list[str]:
    """Return the prefixes that the project's runs and pipelines publish."""
    from adutora.local.configs import configs_of_runs
    from adutora.local.online_report import configs_of_files, prefixes

    return prefixes([*configs_of_runs(home.state_dir), *configs_of_files(home.root)], connection)


def found(store: "OnlineStore", key: str, home: Home, connection: str) -> dict[str, str]:
    """Return a hash. Raises ConfigError, with the nearest key of its prefix, where there is none."""
    from itertools import islice

    from adutora.spec.nearest import did_you_mean

    fields = store.get(key)
    if fields is not None:
        return fields
    mine = [name for name in known_prefixes(home, connection) if key == name or key.startswith(f"{name}:")]
    near = [each for name in mine for each in islice(store.keys(name), 1000)]
    raise ConfigError(f"there is no key {key}", hint=did_you_mean(key, near))
