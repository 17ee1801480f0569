"""The lake: Delta tables by name, written exactly once, read by DuckDB. The only code that writes them."""

from adutora.io.lake.lake import Lake
from adutora.io.lake.maintain import Upkeep
from adutora.io.lake.types import (
    ColumnInfo,
    Commit,
    Figures,
    TableInfo,
    VersionInfo,
    WriteRequest,
    WriteResult,
)

__all__ = [
    "ColumnInfo",
    "Commit",
    "Figures",
    "Lake",
    "TableInfo",
    "Upkeep",
    "VersionInfo",
    "WriteRequest",
    "WriteResult",
]
