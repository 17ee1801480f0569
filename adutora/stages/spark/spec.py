"""`spark`: a PySpark application of your own."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import SubText


class Executors(Spec):
    """How many executors."""

    min: int = Field(1, ge=0, le=10_000, description="Fewest")
    max: int = Field(2, ge=1, le=10_000, description="Most; more than `min` turns dynamic allocation on")


class Spark(Spec):
    """Run a PySpark application, distributed over executor pods on a cluster."""

    app: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Python file in the image or beside the pipeline file"
    )
    args: Annotated[list[SubText], Field(max_length=200)] | None = Field(None, description="Arguments")
    executors: Executors | None = Field(None, description="Number of executors")
    conf: dict[Annotated[str, Field(max_length=255)], Annotated[str, Field(max_length=4096)]] | None = Field(
        None, max_length=100, description="Spark configuration; keys outside the allowed list are refused"
    )
