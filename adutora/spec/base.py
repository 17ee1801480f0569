"""Parts that several kinds and stage types share. The only home of defaults is `BUILTIN` and the models."""

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adutora.spec.scalars import (
    ColumnName,
    Cpu,
    Duration,
    Identifier,
    Memory,
    ResourceName,
    SubText,
    TableName,
    Text,
    Uri,
)

API_VERSION: Final = "adutora.dev/v1alpha1"


def one_of_message(given: list[str], names: tuple[str, ...]) -> str:
    """Say that exactly one of `names` must be given, and which are."""
    choice = ", ".join(names[:-1]) + f" or {names[-1]}"
    return f"gives {' and '.join(given)}; keep one of them" if given else f"needs exactly one of {choice}"


class Spec(BaseModel):
    """Base of everything a user writes: frozen, and no field that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    # Names of the fields of which exactly one is given.
    ONE_OF: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.ONE_OF:
            given = [name for name in self.ONE_OF if getattr(self, name) is not None]
            if len(given) != 1:
                raise ValueError(one_of_message(given, self.ONE_OF))
        return self

    def canonical(self) -> dict[str, Any]:
        """Return the JSON meaning: canonical scalars, aliases as written, fields that are not set left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Resources(Spec):
    """What a stage's process or pod may use."""

    cpu: Cpu | None = Field(None, description="Cores, requested; for example `500m` or `2`")
    memory: Memory | None = Field(None, description="Memory, request and limit alike; for example `512Mi`")
    maxMemory: Memory | None = Field(
        None, description="A stage killed for want of memory is tried again with more, up to this"
    )
    scratch: Memory | None = Field(None, description="Disk for spilling; for example `10Gi`")


class Defaults(Spec):
    """Defaults of stages, layered: built-in < Project < Pipeline < stage. Maps merge, lists replace."""

    timezone: str | None = Field(None, max_length=64, description="IANA time zone of schedules and of `$(run.date)`")
    retries: int | None = Field(None, ge=0, le=100, description="Tries after the first one")
    retryDelay: Duration | None = Field(
        None, description="Wait before the first retry; doubles each time, with jitter, up to ten minutes"
    )
    timeout: Duration | None = Field(None, description="How long one try of a stage may take")
    profile: ResourceName | None = Field(None, description="Pod profile of the Project")
    resources: Resources | None = Field(None, description="CPU, memory and scratch disk of a stage")


# What holds where nobody said anything. Chosen for a laptop and a small pod alike.
BUILTIN: Final = Defaults.model_validate(
    {
        "timezone": "UTC",
        "retries": 2,
        "retryDelay": "10s",
        "timeout": "1h",
        "resources": {"cpu": "1", "memory": "1Gi", "scratch": "10Gi"},
    }
)

CheckFailure = Literal["fail", "quarantine", "warn"]


class Range(Spec):
    """Values lie between two bounds, both included; a null passes."""

    column: ColumnName = Field(description="Column to check")
    min: int | float | str | None = Field(None, description="Smallest value allowed")
    max: int | float | str | None = Field(None, description="Largest value allowed")


class AcceptedValues(Spec):
    """Values come from a list; a null passes."""

    column: ColumnName = Field(description="Column to check")
    values: list[str | int | float | bool] = Field(min_length=1, max_length=1000, description="The values allowed")


class References(Spec):
    """Each value stands in a column of another table; a null passes. This is an edge as well."""

    column: ColumnName = Field(description="Column to check")
    table: TableName = Field(description="Table that has the values")
    to: ColumnName = Field(description="Column of that table")


class Pattern(Spec):
    """The whole text matches a regular expression (RE2); a null passes."""

    column: ColumnName = Field(description="Column to check")
    regex: str = Field(min_length=1, max_length=1024, description="Regular expression, matched in full")


class RowCount(Spec):
    """The table has so many rows, after the write."""

    min: int | None = Field(None, ge=0, description="Fewest rows allowed")
    max: int | None = Field(None, ge=0, description="Most rows allowed")


class Freshness(Spec):
    """The newest value of a date or timestamp is no older than an age, counted from the run's start."""

    column: ColumnName = Field(description="Date or timestamp column")
    maxAge: Duration = Field(description="Greatest age of the newest value")


Columns = Annotated[list[ColumnName], Field(min_length=1, max_length=100)]


class Check(Spec):
    """One rule on a table. Exactly one of the rules is given."""

    name: ResourceName | None = Field(
        None, description="Name in reports and in `_reason`; made from the rule if not given"
    )
    onFail: CheckFailure = Field(
        "fail",
        description="`fail` stops the stage before it writes; `quarantine` sets the rows aside with the "
        "reason; `warn` only reports",
    )
    where: Annotated[str, Field(max_length=4096)] | None = Field(
        None, description="SQL condition: only rows for which it holds are checked"
    )
    notNull: Columns | None = Field(None, description="Columns that have a value in every row")
    unique: Columns | None = Field(None, description="Columns that together are unique")
    range: Range | None = Field(None, description="Bounds of a column")
    acceptedValues: AcceptedValues | None = Field(None, description="Values that a column may have")
    references: References | None = Field(None, description="Values that stand in another table")
    pattern: Pattern | None = Field(None, description="Regular expression of a text column")
    rowCount: RowCount | None = Field(None, description="Rows that the table must have")
    freshness: Freshness | None = Field(None, description="Age of the newest row")
    sql: Annotated[str, Field(min_length=1, max_length=16_384)] | None = Field(
        None, description="Query over the table; every row it returns is bad"
    )

    ONE_OF: ClassVar[tuple[str, ...]] = (
        "notNull",
        "unique",
        "range",
        "acceptedValues",
        "references",
        "pattern",
        "rowCount",
        "freshness",
        "sql",
    )

    @property
    def rule(self) -> str:
        """Name of the rule that is given."""
        return next(name for name in self.ONE_OF if getattr(self, name) is not None)

    @property
    def title(self) -> str:
        """The name, or one made from the rule and its columns, such as `range-price`."""
        if self.name:
            return self.name
        value = getattr(self, self.rule)
        columns = value if isinstance(value, list) else [getattr(value, "column", None)]
        return "-".join([self.rule, *(c for c in columns if c)])


Checks = Annotated[list[Check], Field(max_length=200)]


class Column(Spec):
    """A column of a table, or of a file that is read."""

    name: ColumnName = Field(description="Name of the column; names that begin with `_` are the system's")
    type: str = Field(
        max_length=255,
        description="Delta type: string, long, integer, short, byte, double, float, boolean, date, "
        "timestamp, timestamp_ntz, binary or decimal(p,s)",
    )
    required: bool = Field(False, description="A row without a value is rejected")
    description: Text | None = Field(None, description="What the column holds, with its unit")


class Csv(Spec):
    """How a CSV file is written. What is not given is found by looking at the file."""

    delimiter: str | None = Field(None, min_length=1, max_length=4, description="Between two values")
    quote: str | None = Field(None, min_length=1, max_length=1, description="Around a value")
    escape: str | None = Field(None, min_length=1, max_length=1, description="Before a quote inside quotes")
    header: bool | None = Field(None, description="The first line names the columns")
    encoding: str = Field("utf-8", max_length=32, description="For example utf-8, latin-1 or utf-16")
    decimal: Literal[".", ","] = Field(".", description="Decimal separator")
    nullValues: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, max_length=20, description="Texts that mean no value; default: only the empty one"
    )
    dateFormat: str | None = Field(None, max_length=64, description="As in strptime, for example %d/%m/%Y")
    timestampFormat: str | None = Field(None, max_length=64, description="As in strptime")
    skip: int = Field(0, ge=0, le=1000, description="Lines to skip at the top of each file")


class Log(Spec):
    """How log lines are read: a pattern that we know by name, or a regular expression with named groups."""

    pattern: Literal["clf", "combined", "syslog", "logfmt"] | None = Field(
        None, description="`clf` and `combined` as web servers write them, `syslog` (RFC 3164), `logfmt`"
    )
    regex: str | None = Field(
        None,
        min_length=1,
        max_length=4096,
        description="RE2 with named groups, one column each: (?P<ip>[^ ]+)",
    )


FileFormat = Literal["csv", "jsonl", "parquet", "log"]


class Input(Spec):
    """What a stage reads: a table, or a file. The engine sees its inputs and nothing else."""

    table: TableName | None = Field(None, description="Table `layer.name`; SQL names it so")
    read: Literal["all", "new", "changedPartitions"] = Field(
        "all",
        description="`all` rows; `new`: rows appended since this stage last succeeded; `changedPartitions`: "
        "all rows of the partitions that changed since then",
    )
    external: bool = Field(False, description="The table is written by another pipeline")
    name: Identifier | None = Field(None, description="Name of a file input, as SQL spells it")
    file: SubText | None = Field(
        None,
        description="Path or glob under the pipeline's folder; a parameter's value counts from where you stand",
    )
    format: FileFormat | None = Field(None, description="Default: by the file's suffix")
    csv: Csv | None = Field(None, description="How CSV files are written")
    log: Log | None = Field(None, description="How log lines are read")
    columns: Annotated[list[Column], Field(max_length=500)] | None = Field(
        None, description="Names and types of a file's columns; default: found by looking at the file"
    )


class Missing(Spec):
    """What a merge does with rows of the table that the new data does not have."""

    action: Literal["keep", "mark", "delete"] = Field(
        "keep", description="`keep`; `mark` sets `_deleted`; `delete` removes them"
    )
    maxShare: float = Field(
        1.0, ge=0, le=1, description="Greatest share of rows to mark or delete; more fails the stage"
    )


class Output(Spec):
    """How one stage writes its table."""

    table: TableName = Field(description="Table `layer.name`")
    mode: Literal["overwrite", "append", "overwritePartitions", "merge"] = Field(
        "overwrite",
        description="`overwrite` replaces the table; `append` adds rows; `overwritePartitions` replaces the "
        "partitions that the rows fall in; `merge` updates and inserts by the table's key",
    )
    latestBy: ColumnName | None = Field(
        None, description="With `merge`: of several rows of a key the greatest wins, and never an older one"
    )
    deleteWhere: Annotated[str, Field(max_length=4096)] | None = Field(
        None,
        description="With `merge`: SQL condition on a new row that deletes its key; with `latestBy` the deletion is "
        "remembered, so an older row that comes in a later run does not bring the key back",
    )
    missing: Missing | None = Field(None, description="With `merge`: what becomes of rows that no longer come")


class Maintenance(Spec):
    """Upkeep of a table's files, done after a write when it is due."""

    optimize: Duration | None = Field(None, description="Compact small files at most so often")
    vacuum: Duration | None = Field(
        None, description="Delete files that no version within this time needs; at least 1d"
    )


class Retention(Spec):
    """Rows past an age are deleted after a write."""

    column: ColumnName = Field(description="Date or timestamp that the age is counted from")
    maxAge: Duration = Field(description="Age past which a row is deleted, counted from the run's start")


class Table(Spec):
    """What data is; a stage's `output` says how it is written."""

    name: TableName = Field(description="Table `layer.name`")
    description: Text | None = Field(None, description="What one row is")
    owner: Text | None = Field(None, description="Who answers for the data")
    key: Columns | None = Field(
        None, description="Columns that identify a row: never null, unique; `merge` matches on them"
    )
    partitionBy: Columns | None = Field(None, description="Columns by whose values files are split")
    schema_: Literal["freeze", "evolve"] | None = Field(
        None,
        alias="schema",
        description="`freeze`: other columns fail the write; `evolve`: new ones are added. Default: freeze if "
        "columns are given, else evolve",
    )
    columns: Annotated[list[Column], Field(min_length=1, max_length=500)] | None = Field(
        None, description="Columns and types; values are cast on write, a row that cannot be cast is rejected"
    )
    checks: Checks = Field(default_factory=list, description="Rules, checked on what is about to be written")
    maintenance: Maintenance | None = Field(None, description="Compaction and clean-up of files")
    retention: Retention | None = Field(None, description="Deletion of old rows")


class Notify(Spec):
    """Who is told what."""

    events: list[Literal["failure", "recovery", "deadline", "success"]] = Field(
        min_length=1,
        max_length=4,
        description="How a run ended: `failure`; `deadline`, it took longer than its timeout; `success`; `recovery`, "
        "the first success after a failure",
    )
    connection: ResourceName = Field(description="Connection of type slack, webhook or smtp")
    runbook: Uri | None = Field(None, description="Link that goes into the message")
