"""What `spark` stages and `sql` stages with `engine: spark` share: executors, and the configuration they may set."""

import fnmatch
from typing import Annotated, Final

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import Cpu, Memory

# Spark settings that a pipeline may make: how work is cut and shuffled. Not: code, credentials, endpoints.
ALLOWED: Final = (
    "spark.sql.shuffle.*", "spark.sql.adaptive.*", "spark.sql.files.*", "spark.sql.autoBroadcastJoinThreshold",
    "spark.sql.broadcastTimeout", "spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.parquet.*",
    "spark.sql.execution.arrow.*", "spark.sql.legacy.*", "spark.sql.sources.partitionOverwriteMode",
    "spark.default.parallelism", "spark.shuffle.*", "spark.memory.*", "spark.executor.memoryOverhead*",
    "spark.driver.maxResultSize", "spark.speculation*", "spark.task.maxFailures", "spark.databricks.delta.*",
    "spark.serializer", "spark.kryoserializer.buffer*", "spark.rdd.compress", "spark.io.compression.*",
)  # fmt: skip
# Of these, what changes the meaning of a statement: a `sql` stage gives the same rows on every engine.
MEANING: Final = ("spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.legacy.*", "spark.sql.parquet.*")


class Executors(Spec):
    """Pods that Spark computes in, beside the stage's own, which is the driver."""

    min: int = Field(1, ge=0, le=10_000, description="Fewest")
    max: int = Field(2, ge=1, le=10_000, description="Most; more than `min` turns dynamic allocation on")
    cpu: Cpu | None = Field(None, description="Cores of each, requested; default: as the stage's `resources`")
    memory: Memory | None = Field(
        None, description="Memory of each, request and limit alike; default: as the stage's `resources`"
    )


SparkConf = Annotated[
    dict[Annotated[str, Field(max_length=255)], Annotated[str, Field(max_length=4096)]], Field(max_length=100)
]


def refused(key: str, stage_type: str) -> tuple[str, str] | None:
    """Say why a stage of this type may not set a key, and what would be right; None if it may."""
    if not _matches(key, ALLOWED):
        return (
            f"{key} may not be set here",
            "performance settings of spark.sql, spark.shuffle and spark.memory may be set",
        )
    if stage_type == "sql" and _matches(key, MEANING):
        return f"{key} would change what the statement means", "a `sql` stage gives the same rows on every engine"
    return None


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)
