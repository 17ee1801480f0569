"""`spark`: a PySpark application of your own."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import SubText
from adutora.spec.spark import Executors, SparkConf


class Spark(Spec):
    """Run a PySpark application: on a laptop in this process, on a cluster distributed over executor pods."""

    app: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Python file beside the pipeline file, or with an absolute path in the image"
    )
    args: Annotated[list[SubText], Field(max_length=200)] | None = Field(None, description="Arguments")
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        None, description="Image of driver and executors on a cluster, made from ours; default: the platform's own"
    )
    executors: Executors | None = Field(None, description="Number and size of executors, on a cluster")
    conf: SparkConf | None = Field(None, description="Spark configuration; keys outside the allowed list are refused")
