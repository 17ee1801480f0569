"""What a PySpark application of a `spark` stage may use.

    from adutora.spark import stage

    companies = stage().read("silver.companies")
    stage().write(companies.groupBy("cidade").count())

Beside this an application is an ordinary one: `SparkSession.builder.getOrCreate()` gives the stage's session.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from adutora.errors import ConfigError
from adutora.spec.nearest import did_you_mean

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["Stage", "stage"]


@dataclass
class Stage:
    """The stage that an application runs in."""

    spark: "SparkSession"
    params: Mapping[str, Any]
    _frames: "Mapping[str, DataFrame]" = field(repr=False)
    _write: "Callable[[DataFrame], None]" = field(repr=False)
    _output: Callable[[str, Any], None] = field(repr=False)
    _table: str | None = None

    def __post_init__(self) -> None:
        self.params = MappingProxyType(dict(self.params))

    @property
    def inputs(self) -> Sequence[str]:
        """Names of the stage's inputs, as it declares them."""
        return tuple(self._frames)

    def read(self, name: str) -> "DataFrame":
        """Return an input by its name, a table `layer.name` or the `name` of a file. Raises ConfigError for another."""
        if name not in self._frames:
            known = ", ".join(self._frames) or "none"
            hint = did_you_mean(name, list(self._frames)) or f"the stage declares {known}"
            raise ConfigError(f"{name} is no input of the stage", hint=hint)
        return self._frames[name]

    def write(self, frame: "DataFrame") -> None:
        """Compute a DataFrame and let its rows be the stage's output, once. The table is committed when the stage ends.

        Raises ConfigError where the stage has no output, or was given its rows already.
        """
        if self._table is None:
            raise ConfigError("the stage has no `output`, and the application writes rows", hint="name a table there")
        self._write(frame)

    def output(self, name: str, value: Any) -> None:
        """Leave a small value for later stages: `$(stages.<stage>.outputs.<name>)`."""
        self._output(name, value)


_current: list[Stage] = []


def stage() -> Stage:
    """Return the stage that this application runs in. Raises ConfigError outside of one."""
    if not _current:
        raise ConfigError(
            "this is not a stage of Adutora: nobody gives inputs or takes rows",
            hint="run it by `adutora run`; in a test call your `transform` with DataFrames of your own",
        )
    return _current[-1]
