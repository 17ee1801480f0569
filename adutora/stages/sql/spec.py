"""`sql`: one or several statements; the last one's rows are the output."""

from typing import Annotated, Literal

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import Bound
from adutora.spec.spark import Executors, SparkConf

SqlText = Annotated[str, Field(min_length=1, max_length=65_536), Bound()]


class Sql(Spec):
    """SQL in DuckDB's dialect. `$(…)` becomes a bound value, never text."""

    engine: Literal["duckdb", "spark"] = Field(
        "duckdb", description="Where the statement runs; for `spark` it is translated, or refused where it cannot be"
    )
    query: SqlText = Field(
        description="Statements, separated by `;`: the last one gives the rows, those before may make temporary tables"
    )
    executors: Executors | None = Field(
        None, description="With `engine: spark`: number and size of executors, on a cluster"
    )
    conf: SparkConf | None = Field(
        None, description="With `engine: spark`: Spark configuration; keys outside the allowed list are refused"
    )
