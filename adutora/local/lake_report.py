"""Tables of the lake as people and programs read them: all of them in a line each, or one whole."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.dagconfig import Json
from adutora.local.summary import aligned
from adutora.spec.diagnostics import printable

if TYPE_CHECKING:
    import duckdb

    from adutora.io.lake import Lake, TableInfo, VersionInfo

VERSIONS = 10
_REASONS = 10
_VIEW = "__adutora_ref.rejected"


def listing(lake: "Lake") -> list[Json]:
    """Return a row for each table, in order of their names."""
    return [_line(lake.info(name, versions=VERSIONS)) for name in lake.tables()]


def _line(info: "TableInfo") -> Json:
    return {
        "table": info.name,
        "rows": info.rows,
        "size": info.size,
        "version": info.version,
        "description": info.description,
        "lastWriter": _version(info.last_writer) if info.last_writer else None,
    }


def _version(version: "VersionInfo") -> Json:
    return {
        "version": version.version,
        "at": version.at.isoformat(),
        "operation": version.operation,
        "pipeline": version.pipeline,
        "run": version.run,
        "stage": version.stage,
        "rows": version.rows,
        "rejected": version.rejected,
    }


def listing_text(rows: list[Json]) -> str:
    """Return the rows of `listing` as a table."""
    head = ["table", "rows", "size", "version", "written (UTC)", "by"]
    body = [
        [
            row["table"],
            f"{row['rows']:,}",
            size_text(row["size"]),
            str(row["version"]),
            _moment(row["lastWriter"]),
            _who(row["lastWriter"]),
        ]
        for row in rows
    ]
    return aligned([head, *body], right=frozenset({1, 2, 3}))


def one(lake: "Lake", name: str, rows: int, declared: Mapping[str, Any] | None = None, *, typed: bool = False) -> Json:
    """Return what there is to know about a table, with `rows` rows of it, as text or `typed`: see `Lake.sample`.

    `declared` is what a pipeline says of it. Raises ConfigError, naming the nearest, if it is missing.
    """
    from adutora.io import duck

    info = lake.info(name, versions=VERSIONS)
    with tempfile.TemporaryDirectory(prefix="adutora-tables-") as scratch:
        con = duck.connect(None, None, Path(scratch))
        try:
            columns, sample = lake.sample(con, name, rows, typed=typed)
            rejected, reasons = _rejected(lake, con, name)
        finally:
            con.close()
    return {
        **_line(info),
        "uri": info.uri,
        "files": info.files,
        "key": list((declared or {}).get("key") or ()),
        "partitionBy": list(info.partition_by),
        "columns": [{"name": each.name, "type": each.type, "description": each.description} for each in info.columns],
        "versions": [_version(each) for each in info.versions],
        "rejected": {"rows": rejected, "reasons": reasons},
        "sample": [dict(zip(columns, row, strict=True)) for row in sample],
    }


def _rejected(lake: "Lake", con: "duckdb.DuckDBPyConnection", name: str) -> tuple[int, list[Json]]:
    from adutora.io.duck import quote_table

    if lake.rejected(con, name, _VIEW) is None:
        return 0, []
    view = quote_table(_VIEW)
    (total,) = con.execute(f"SELECT count(*) FROM {view}").fetchall()[0]
    found = con.execute(
        f"SELECT _reason, count(*) FROM {view} GROUP BY ALL ORDER BY count(*) DESC, _reason LIMIT {_REASONS}"
    ).fetchall()
    return int(total), [{"reason": str(reason), "rows": int(count)} for reason, count in found]


def one_text(table: Json) -> str:
    """Return the answer of `one` for people."""
    parts = [_head(table), _columns(table), _versions(table)]
    if table["rejected"]["rows"]:
        parts.append(_rejected_text(table))
    if table["sample"]:
        parts.append(_sample(table))
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _head(table: Json) -> str:
    rows = "row" if table["rows"] == 1 else "rows"
    files = "file" if table["files"] == 1 else "files"
    lines = [table["table"] + (f": {table['description']}" if table["description"] else "")]
    size = f"{size_text(table['size'])} in {table['files']:,} {files}"
    lines.append(f"  {table['rows']:,} {rows}, {size}, version {table['version']}")
    if table["lastWriter"]:
        lines.append(f"  written {_moment(table['lastWriter'])} UTC by {_who(table['lastWriter'])}")
    if table["key"]:
        lines.append(f"  key {', '.join(table['key'])}")
    if table["partitionBy"]:
        lines.append(f"  partitioned by {', '.join(table['partitionBy'])}")
    return "\n".join([*lines, f"  {table['uri']}"])


def _columns(table: Json) -> str:
    body = [[each["name"], each["type"], each["description"] or ""] for each in table["columns"]]
    return aligned([["column", "type", "description"], *body])


def _versions(table: Json) -> str:
    body = [
        [
            str(each["version"]),
            _moment(each),
            each["operation"],
            *("" if each[name] is None else f"{each[name]:,}" for name in ("rows", "rejected")),
            _who(each),
        ]
        for each in table["versions"]
    ]
    return aligned([["version", "at (UTC)", "operation", "rows", "rejected", "by"], *body], right=frozenset({0, 3, 4}))


def _rejected_text(table: Json) -> str:
    rejected = table["rejected"]
    body = [[f"{each['rows']:,}", cut(each["reason"], 100)] for each in rejected["reasons"]]
    more = "row is" if rejected["rows"] == 1 else "rows are"
    return f"{rejected['rows']:,} {more} set aside:\n" + aligned([["rows", "reason"], *body], right=frozenset({0}))


def _sample(table: Json) -> str:
    names = list(table["sample"][0])
    return aligned([names, *([cut(row[name]) for name in names] for row in table["sample"])])


def _moment(version: Json | None) -> str:
    return "" if version is None else version["at"][:19].replace("T", " ")


def _who(version: Json | None) -> str:
    if version is None or version["run"] is None:
        return ""
    return f"{version['pipeline']} / {version['stage']}, run {version['run']}"


def cut(text: str | None, most: int = 60) -> str:
    """Return a text on one line, cut to what a column of a terminal can show."""
    flat = printable(" ".join((text or "").split("\n")))
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def size_text(size: int) -> str:
    """Return bytes as people read them."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
