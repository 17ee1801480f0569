"""`ingest`: bring data from outside into a bronze table, as it came."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from adutora.spec.base import Csv, FileFormat, Log, Spec
from adutora.spec.scalars import ColumnName, Duration, Identifier, ResourceName, SubJson, SubText


class Files(Spec):
    """Files in a folder or a bucket."""

    connection: ResourceName | None = Field(
        None, description="Connection of type folder or s3; default: the pipeline's own folder"
    )
    path: SubText = Field(description="Path or glob: `*` within a folder, `**` across folders")
    format: FileFormat | None = Field(None, description="Default: by the file's suffix; `.gz` is unpacked")
    read: Literal["all", "new"] = Field("all", description="`all` files, or each version of a file once (`new`)")
    csv: Csv | None = Field(None, description="How CSV files are written")
    log: Log | None = Field(None, description="How log lines are read")


class Page(Spec):
    """How an API is asked for the next page."""

    by: Literal["number", "offset", "cursor", "link"] = Field(
        description="`number` and `offset` count; `cursor` is taken from the answer; `link` is the Link header"
    )
    param: Identifier | None = Field(None, description="Query parameter of the number, offset or cursor")
    sizeParam: Identifier | None = Field(None, description="Query parameter of the page's size")
    size: int = Field(100, ge=1, le=100_000, description="Records a page")
    start: int = Field(1, ge=0, description="First number or offset")
    cursor: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="JSONPath of the next cursor in the answer"
    )


class HttpSource(Spec):
    """Records of an HTTP API."""

    connection: ResourceName = Field(description="Connection of type http")
    path: SubText = Field(description="Path under the connection's base URL")
    query: dict[Annotated[str, Field(max_length=255)], SubJson] | None = Field(
        None, max_length=50, description="Query parameters"
    )
    records: Annotated[str, Field(max_length=1024)] | None = Field(
        None, description="JSONPath of the list of records; default: the whole answer"
    )
    page: Page | None = Field(None, description="Paging; default: one request")


class Cursor(Spec):
    """Column that tells which rows are new."""

    column: ColumnName = Field(description="Column that grows: a time or a number")
    lookback: Duration | None = Field(None, description="Read so much again, for rows that came late")
    start: str | int | None = Field(None, description="First value to read from")


class DatabaseSource(Spec):
    """Rows of a table in a database."""

    connection: ResourceName = Field(description="Connection of type postgres")
    table: Annotated[str, Field(min_length=1, max_length=255)] = Field(description="Table, as schema.name")
    cursor: Cursor | None = Field(None, description="Read only what is new; default: the whole table")


class Ingest(Spec):
    """Bring data into the lake. Exactly one source is given."""

    files: Files | None = Field(None, description="Files in a folder or a bucket")
    http: HttpSource | None = Field(None, description="Records of an HTTP API")
    database: DatabaseSource | None = Field(None, description="Rows of a database table")

    ONE_OF: ClassVar[tuple[str, ...]] = ("files", "http", "database")


__all__ = ["Ingest"]
