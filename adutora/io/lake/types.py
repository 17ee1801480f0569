"""What goes into a write and what comes out of it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from adutora.spec.base import Column, Missing


@dataclass(frozen=True)
class Commit:
    """Who writes, and the identity of the write.

    The same `pipeline`, `run`, `stage` and `fingerprint` are the same write: it happens once. `stage` ends in `[i]`
    for an item of a fan-out. `at` is aware, UTC. `ledger` maps the ids of ledgers to the number of the batch whose
    rows this write brings; it is committed together with them.
    """

    run: str
    pipeline: str
    stage: str
    fingerprint: str
    at: dt.datetime
    ledger: Mapping[str, int] = field(default_factory=dict)

    @property
    def app(self) -> str:
        """Id of the Delta transaction that marks this write as done."""
        return f"run:{self.pipeline}/{self.run}/{self.stage}/{self.fingerprint}"

    @property
    def ledgers(self) -> dict[str, int]:
        """Ids of the Delta transactions of ledgers, and their batch numbers."""
        return {ledger_app(name): number for name, number in sorted(self.ledger.items())}


def ledger_app(name: str) -> str:
    """Return the id of the Delta transaction of a ledger."""
    return name if name.startswith("ledger:") else f"ledger:{name}"


@dataclass(frozen=True)
class WriteRequest:
    """Rows of a DuckDB relation, and how they go into a table.

    `relation` is a temp table, or a view that gives the same rows each time: it is read more than once.
    `rejected` is a relation with `_reason`, `_source` and `_row`. `replaces_partitions` is one whose columns are
    `partition_by`: partitions to replace even if no new row falls in them. `full_refresh` empties the table, and lets
    its columns and partitioning change, in the same commit.
    """

    table: str
    relation: str
    commit: Commit
    mode: str = "overwrite"
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    schema_mode: str = "evolve"
    description: str | None = None
    columns: tuple[Column, ...] = ()
    latest_by: str | None = None
    delete_where: str | None = None
    missing: Missing | None = None
    rejected: str | None = None
    replaces_partitions: str | None = None
    full_refresh: bool = False


@dataclass(frozen=True)
class Figures:
    """What a write did, in rows. `inserted + updated + unchanged`, and deletions that rows asked for, are `rows`.

    `deleted` also counts rows of the table that were replaced, or that `missing` marked or deleted.
    """

    rows: int
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    total_rows: int = 0


@dataclass(frozen=True)
class WriteResult:
    """What a write did.

    `changed` is False if no row of the table changed: no asset event. `repeated`: this very write had been committed
    before, and these are its figures.
    """

    table: str
    version: int
    rows: int
    inserted: int
    updated: int
    deleted: int
    unchanged: int
    rejected: int
    total_rows: int
    changed: bool
    repeated: bool


@dataclass(frozen=True)
class ColumnInfo:
    """A column of a table; `type` is the name of the Delta type."""

    name: str
    type: str
    description: str | None
    partition: bool


@dataclass(frozen=True)
class VersionInfo:
    """A version of a table: who made it, and what it did. Fields are None for commits of other writers."""

    version: int
    at: dt.datetime
    operation: str
    pipeline: str | None
    run: str | None
    stage: str | None
    rows: int | None
    rejected: int | None


@dataclass(frozen=True)
class TableInfo:
    """A table as it stands. `size` is in bytes, of the current files alone."""

    name: str
    uri: str
    description: str | None
    columns: tuple[ColumnInfo, ...]
    partition_by: tuple[str, ...]
    version: int
    rows: int
    files: int
    size: int
    versions: tuple[VersionInfo, ...]  # newest first

    @property
    def last_writer(self) -> VersionInfo | None:
        """The newest version that a pipeline wrote, of those listed."""
        return next((version for version in self.versions if version.run is not None), None)
