"""`clean`: the usual tidying of a table, with every row that is dropped kept as rejected."""

from typing import Annotated, Literal

from pydantic import Field

from adutora.spec.base import Columns, Spec
from adutora.spec.scalars import ColumnName


class DropDuplicates(Spec):
    """Keep one row of each group of equal rows."""

    by: Columns | None = Field(None, description="Columns that are compared; default: the whole row")


class Outliers(Spec):
    """Rows whose values lie far from the others."""

    method: Literal["iqr", "zscore"] = Field(
        "iqr",
        description="`iqr`: so many interquartile ranges outside; `zscore`: so many standard deviations",
    )
    columns: Columns = Field(description="Number columns to look at")
    factor: float | None = Field(None, gt=0, description="Default: 1.5 for `iqr`, 3 for `zscore`")
    action: Literal["reject", "clip"] = Field(
        "reject", description="`reject` sets the row aside; `clip` pulls the value to the bound"
    )


class Clean(Spec):
    """Tidy a table. The steps run in the order of this page."""

    trim: Annotated[list[ColumnName], Field(max_length=100)] | None = Field(
        None,
        description="Text columns from which white space at both ends is removed; an empty text becomes null",
    )
    dropNulls: Columns | None = Field(None, description="Reject rows in which one of these has no value")
    dropDuplicates: DropDuplicates | None = Field(None, description="Reject all but one of equal rows")
    outliers: Outliers | None = Field(None, description="Reject or clip values that lie far out")
