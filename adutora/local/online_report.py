"""What stands in the online store: keys by prefix, or one hash."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from adutora.dagconfig import DagConfig, Json
from adutora.local.summary import aligned
from adutora.spec.diagnostics import printable

if TYPE_CHECKING:
    from adutora.io.online import OnlineStore


def prefixes(configs: Iterable[DagConfig], connection: str) -> list[str]:
    """Return the prefixes that stages of these pipelines publish to a connection."""
    return sorted(
        {
            str(stage.block["prefix"])
            for config in configs
            for stage in config.stages
            if stage.type == "publish" and stage.block["connection"] == connection
        }
    )


def configs_of_files(root: Path) -> list[DagConfig]:
    """Compile the pipelines below a folder; those with errors are left out."""
    from adutora.compile import compile_pipeline
    from adutora.validate import validate_files

    found = validate_files([root])
    bad = {each.file for each in found.diagnostics if each.severity == "error"}
    return [compile_pipeline(each.pipeline, each.project) for each in found.pipelines if str(each.path) not in bad]


def listing(store: "OnlineStore", names: Iterable[str], limit: int) -> list[Json]:
    """Return for each prefix how many keys it has, and the first `limit` of them in order.

    Keys come in no order, so all of them are looked at; only `limit` are kept at a time.
    """
    out = []
    for name in names:
        count, first = _first(store, name, limit)
        out.append({"prefix": name, "current": store.current(name), "keys": count, "first": first})
    return out


def _first(store: "OnlineStore", prefix: str, limit: int) -> tuple[int, list[str]]:
    keys = iter(store.keys(prefix))
    count, first = 0, list[str]()
    while batch := list(islice(keys, 10_000)):
        count += len(batch)
        first = sorted([*first, *batch])[:limit]
    return count, first


def listing_text(rows: list[Json]) -> str:
    """Return the rows of `listing` for people."""
    parts = []
    for row in rows:
        noun = "key" if row["keys"] == 1 else "keys"
        version = f" (now {row['current']})" if row["current"] != row["prefix"] else ""
        lines = [f"{row['prefix']}: {row['keys']:,} {noun}{version}", *(f"  {printable(key)}" for key in row["first"])]
        more = row["keys"] - len(row["first"])
        parts.append("\n".join([*lines, *([f"  … {more:,} more"] if more else [])]) + "\n")
    return "\n".join(parts)


def hash_text(key: str, fields: dict[str, str]) -> str:
    """Return one hash for people."""
    rows = [[printable(name), printable(value)] for name, value in sorted(fields.items())]
    return f"{printable(key)}\n" + aligned([["field", "value"], *rows])
