"""One attempt at a write: the table at a fixed version, and the few ways to commit on top of it."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import duckdb
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from adutora.errors import ConfigError
from adutora.io.duck import quote
from adutora.io.lake import commits, sql
from adutora.io.lake.columns import Plan, Planned, Planner
from adutora.io.lake.failures import translated
from adutora.io.lake.read import source_relation
from adutora.io.lake.schema import LakeColumn, LakeType, from_delta
from adutora.io.lake.store import Store
from adutora.io.lake.types import Figures, WriteRequest, WriteResult

BATCH_ROWS = 65_536
OWN = "__adutora_lake_"  # begins the names of what a write makes in DuckDB
STANDING = OWN + "standing"


@dataclass
class Attempt:
    """A write on top of `table` as it was read. `table` is None where there is none yet.

    If anybody else commits in between, committing raises `Conflict`, and the write is worked out anew.
    """

    con: duckdb.DuckDBPyConnection
    store: Store
    request: WriteRequest
    table: DeltaTable | None
    rejected: int = 0

    @property
    def name(self) -> str:
        """The table's name."""
        return self.request.table

    @property
    def there(self) -> dict[str, LakeColumn]:
        """The table's columns."""
        return from_delta(self.table.schema().to_json()) if self.table is not None else {}

    @property
    def partitioned_by(self) -> list[str]:
        """The columns that the table is split by."""
        return list(self.table.metadata().partition_columns) if self.table is not None else []

    def count(self, relation: str | None = None) -> int:
        """Return how many rows a relation has (default: the one that is written)."""
        return sql.number(self.con, f"SELECT count(*) FROM {quote(relation or self.request.relation)}")

    def total(self) -> int:
        """Return how many rows the table has."""
        return int(self.table.count()) if self.table is not None else 0

    def plan(self, *, replace: bool = False) -> Plan:
        """Return the columns to write."""
        request = self.request
        replace = replace or request.full_refresh
        plan = Planner(
            self.con,
            self.name,
            request.relation,
            self.there,
            freeze=request.schema_mode == "freeze" and not request.full_refresh,
            replace=replace,
            comments={column.name: column.description for column in request.columns if column.description},
        ).plan()
        for name in request.partition_by:
            if name not in {column.name for column in plan.columns}:
                raise ConfigError(f"{self.name}: partitionBy names {name!r}, which is no column of the rows")
        if self.table is not None and not replace and self.partitioned_by != list(request.partition_by):
            have, want = (", ".join(by) or "nothing" for by in (self.partitioned_by, request.partition_by))
            raise ConfigError(
                f"{self.name}: the table is partitioned by {have}, not by {want}",
                hint="a full refresh writes it anew, in other partitions",
            )
        return plan

    def current(self) -> str:
        """Register the table at its version; return the relation."""
        assert self.table is not None  # noqa: S101  (asked for only where there is one)
        return source_relation(self.con, self.table, STANDING)

    def result(self, figures: Figures, version: int, *, changed: bool) -> WriteResult:
        """Return the result of this attempt."""
        return WriteResult(
            table=self.name,
            version=version,
            rows=figures.rows,
            inserted=figures.inserted,
            updated=figures.updated,
            deleted=figures.deleted,
            unchanged=figures.unchanged,
            rejected=self.rejected,
            total_rows=figures.total_rows,
            changed=changed,
            repeated=False,
        )

    def properties(
        self,
        figures: Figures,
        *,
        changed: bool = True,
        content: str | None = None,
        loaded_at: dt.datetime | None = None,
        serial: bool = True,
    ) -> CommitProperties:
        """Return what the commit says."""
        return commits.properties(
            self.request.commit,
            figures,
            rejected=self.rejected,
            changed=changed,
            content=content,
            loaded_at=loaded_at,
            serial=serial,
        )

    def stream(self, query: str, plan: Plan, more: Sequence[tuple[str, LakeType]] = ()) -> pa.RecordBatchReader:
        """Return the rows of a query as an Arrow stream in exactly the planned types."""
        reader: pa.RecordBatchReader = sql.relation(self.con, query).to_arrow_reader(BATCH_ROWS)
        schema = plan.arrow(more)
        return reader if reader.schema.equals(schema, check_metadata=True) else reader.cast(schema)

    def create(self, query: str, plan: Plan, said: CommitProperties) -> int:
        """Make the table with the rows of a query, in one commit; return its version."""
        uri = self.store.uri(self.name)
        with translated(f"table {self.name}"):
            write_deltalake(
                uri,
                self.stream(query, plan),
                mode="error",
                partition_by=list(self.request.partition_by) or None,
                description=self.request.description,
                configuration=commits.CONFIGURATION,
                storage_options=self.store.options(uri),
                commit_properties=said,
            )
        return 0

    def put(
        self,
        query: str,
        plan: Plan,
        said: CommitProperties,
        *,
        mode: Literal["append", "overwrite"],
        schema_mode: Literal["merge", "overwrite"] | None = None,
        predicate: str | None = None,
        repartition: bool = False,
    ) -> int:
        """Commit the rows of a query onto the table; return the new version."""
        assert self.table is not None  # noqa: S101  (create() is for the other case)
        with translated(f"table {self.name}"):
            write_deltalake(
                self.table,
                self.stream(query, plan),
                mode=mode,  # type: ignore[arg-type]  # its overloads know one literal each
                schema_mode=schema_mode,
                predicate=predicate,
                partition_by=list(self.request.partition_by) if repartition else None,
                commit_properties=said,
            )
            return int(self.table.version())

    def evolve(self, plan: Plan) -> None:
        """Add the planned columns that the table lacks, in a commit of its own that has no rows.

        delta-rs adds the protocol's feature for naive timestamps on an append, but not on a merge, where it would
        leave a table that cannot be read.
        """
        if not plan.added or self.table is None:
            return
        commit = self.request.commit
        who = {"adutora.pipeline": commit.pipeline, "adutora.run": commit.run, "adutora.stage": commit.stage}
        said = CommitProperties(custom_metadata=who, max_commit_retries=0)
        empty = Plan(tuple(replace(column, sql=f"CAST(NULL AS {column.type.sql})") for column in plan.columns))
        query = f"{empty.select(self.request.relation)} LIMIT 0"
        self.put(query, empty, said, mode="append", schema_mode="merge")

    def nothing(self, plan: Plan, figures: Figures, content: str | None = None) -> WriteResult:
        """End a write that changes no row. A ledger's batch is marked as done all the same."""
        assert self.table is not None  # noqa: S101  (a missing table is always made)
        version = int(self.table.version())
        if self.request.commit.ledger:
            said = self.properties(figures, changed=False, content=content)
            version = self.put(f"{plan.select(self.request.relation)} LIMIT 0", plan, said, mode="append")
        return self.result(figures, version, changed=False)

    def release(self) -> None:
        """Drop what this attempt made in DuckDB, to give memory and disk back."""
        self.con.complete()
        self.con.unregister(STANDING)
        found = self.con.execute(
            "SELECT table_name, 'TABLE' FROM duckdb_tables() WHERE temporary AND starts_with(table_name, ?) "
            "UNION ALL SELECT view_name, 'VIEW' FROM duckdb_views() WHERE temporary AND starts_with(view_name, ?)",
            [OWN, OWN],
        ).fetchall()
        for name, kind in found:
            self.con.execute(f"DROP {kind} IF EXISTS temp.{quote(name)}")


def constant(name: str, kind: LakeType, value: str, comment: str) -> Planned:
    """Return a system column; `value` is SQL."""
    return Planned(name, kind, value, comment)
