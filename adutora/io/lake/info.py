"""What there is to know about a table."""

import datetime as dt
from collections.abc import Mapping
from itertools import islice
from typing import Any

from deltalake import DeltaTable

from adutora.io.lake import commits
from adutora.io.lake.failures import translated
from adutora.io.lake.schema import from_delta
from adutora.io.lake.types import ColumnInfo, TableInfo, VersionInfo


def info(table: DeltaTable, name: str, uri: str, versions: int) -> TableInfo:
    """Return schema, size and the newest `versions` versions of a table."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with translated(f"table {name}"):
        metadata = table.metadata()
        by = tuple(metadata.partition_columns)
        files = pa.table(table.get_add_actions(flatten=True))
        columns = tuple(
            ColumnInfo(column.name, column.type.text, column.comment, column.name in by)
            for column in from_delta(table.schema().to_json()).values()
        )
        return TableInfo(
            name=name,
            uri=uri,
            description=metadata.description or None,
            columns=columns,
            partition_by=by,
            version=int(table.version()),
            rows=int(table.count()),
            files=files.num_rows,
            size=int(pc.sum(files.column("size_bytes")).as_py() or 0),
            versions=tuple(_version(entry) for entry in islice(commits.history(table), versions)),
        )


def _version(entry: Mapping[str, Any]) -> VersionInfo:
    return VersionInfo(
        version=int(entry["version"]),
        at=dt.datetime.fromtimestamp(int(entry.get("timestamp", 0)) / 1000, dt.UTC),
        operation=str(entry.get("operation", "")),
        pipeline=entry.get("adutora.pipeline"),
        run=entry.get("adutora.run"),
        stage=entry.get("adutora.stage"),
        rows=_number(entry.get("adutora.rows")),
        rejected=_number(entry.get("adutora.rejected")),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text is not None else None
