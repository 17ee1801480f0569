"""`train`: fit a model on a table and register a version of it."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import ColumnName, JsonValue, ResourceName

GridValues = Annotated[list[JsonValue], Field(max_length=1000)]


class Split(Spec):
    """How rows are split for training and test."""

    test: float = Field(0.2, gt=0, lt=1, description="Share of rows kept for the test")
    seed: int = Field(42, ge=0, description="Seed of the split")


class Step(Spec):
    """A transformer of the preprocessing."""

    name: Annotated[str, Field(min_length=1, max_length=127)] = Field(
        description="Class name, for example MinMaxScaler"
    )
    params: dict[Annotated[str, Field(max_length=127)], JsonValue] | None = Field(
        None, max_length=50, description="Its parameters"
    )


class Estimator(Step):
    """The model itself."""

    grid: dict[Annotated[str, Field(max_length=127)], GridValues] | None = Field(
        None, max_length=50, description="Values to search through, per parameter"
    )


class Train(Spec):
    """Train a scikit-learn model and register it."""

    model: ResourceName = Field(description="Registered name")
    target: ColumnName | None = Field(None, description="Column to predict; none for unsupervised models")
    split: Split | None = Field(None, description="Split of the rows")
    preprocess: Annotated[list[Step], Field(max_length=20)] | None = Field(None, description="Transformers, in order")
    estimator: Estimator = Field(description="The model")
    cv: int | None = Field(None, ge=2, le=100, description="Folds of the cross-validation")
    score: Annotated[str, Field(min_length=1, max_length=127)] | None = Field(None, description="Score to choose by")
