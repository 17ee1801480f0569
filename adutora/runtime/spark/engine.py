"""Spark for one stage: started in the background, told of its trouble in one line, gone at the end."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adutora.errors import AdutoraError
from adutora.runtime.spark.cluster import Cluster
from adutora.runtime.spark.failures import failure
from adutora.runtime.spark.inputs import frames, stage_inputs
from adutora.runtime.spark.session import Starting, started
from adutora.runtime.spark.settings import settings
from adutora.runtime.spark.staging import Staging
from adutora.runtime.spark.waiting import watching
from adutora.spec.spark import Executors

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from adutora.runtime.context import StageContext


@dataclass
class Engine:
    """Spark, and the folder that it shares with the stage."""

    ctx: "StageContext"
    staging: Staging
    starting: Starting

    def session(self) -> "SparkSession":
        """Return the session; waits until it is there."""
        return self.starting.session()

    def inputs(self) -> "dict[str, DataFrame]":
        """Return the stage's inputs by name. They must have been loaded."""
        stage_inputs(self.ctx, self.staging)
        return frames(self.ctx, self.session(), self.staging)


@contextlib.contextmanager
def staged(ctx: "StageContext") -> Iterator[Staging]:
    """Make the stage's staging folder, and remove it at the end."""
    staging = Staging.of(ctx)
    try:
        yield staging
    finally:
        with contextlib.suppress(AdutoraError, OSError):
            staging.clear()


@contextlib.contextmanager
def computing(
    ctx: "StageContext", staging: Staging, executors: Executors | None, conf: Mapping[str, str] | None
) -> Iterator[Engine]:
    """Run Spark for as long as the block takes. Raises AdutoraError for what goes wrong in it with Spark."""
    with started(settings(ctx, executors, conf), ctx.scratch) as starting, watching(ctx, starting, Cluster.of()):
        try:
            yield Engine(ctx, staging, starting)
        except (AdutoraError, MemoryError):
            raise
        except Exception as error:
            found = failure(error, starting)
            if found is None:
                raise
            ctx.log.debug("traceback", exc_info=True)
            raise found from error
