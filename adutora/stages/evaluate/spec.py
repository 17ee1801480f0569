"""`evaluate`: judge the model that was just trained, and promote it."""

from typing import Annotated, Literal

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import ResourceName

Metric = Annotated[str, Field(min_length=1, max_length=127)]


class Threshold(Spec):
    """A bound on a metric."""

    metric: Metric = Field(description="Name of the metric")
    min: float | None = Field(None, description="Least value")
    max: float | None = Field(None, description="Greatest value")


class Champion(Spec):
    """Comparison with the model that serves now."""

    metric: Metric = Field(description="Metric that is compared")
    maxLoss: float = Field(0.0, ge=0, description="How much worse the new one may be")


class Drift(Spec):
    """How far the data may have moved since the champion was trained."""

    psi: float = Field(0.2, gt=0, description="Greatest population stability index of a column")


class Evaluate(Spec):
    """Judge a model version; promote it to an alias if it is good enough."""

    model: ResourceName = Field(description="Registered name; the stage that trains it comes first")
    thresholds: Annotated[list[Threshold], Field(max_length=50)] | None = Field(None, description="Bounds on metrics")
    champion: Champion | None = Field(None, description="Comparison with the model that serves now")
    drift: Drift | None = Field(None, description="Drift of the data")
    onFail: Literal["fail", "hold", "warn"] = Field(
        "fail",
        description="`fail` the stage; `hold`: green, the champion stays; `warn`: promote all the same",
    )
    promote: ResourceName | None = Field(None, description="Alias that the version gets, for example champion")
