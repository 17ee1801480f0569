"""The values of a fan-out that only a run knows: a task works them out, and Airflow maps the stage over them."""

from typing import Any

from airflow.sdk import BaseOperator

from adutora.dagconfig import canonical_json
from adutora.errors import ConfigError
from adutora_airflow.conditions import begin, failing_for_good

MAX_ITEMS = 1000
Wrapped = list[dict[str, Any]]


def needs_run(values: Any) -> bool:
    """Say whether the values hold `$(…)` or are no list, so that only a run can tell."""
    return not isinstance(values, list) or "$" in canonical_json(values)


def wrapped(values: list[Any]) -> Wrapped:
    """Wrap each value. No value at all is one item without any: Airflow would skip a stage without items."""
    return [{"value": value} for value in values] or [{}]


class ItemsOperator(BaseOperator):
    """Works out the values of a stage's `forEach`, and whether the stage runs at all."""

    ui_color = "#eef1f6"

    def __init__(self, *, stage: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage_name = stage

    @failing_for_good
    def execute(self, context: Any) -> Wrapped:
        """Return the wrapped values."""
        from adutora.runtime.substitution import expand_json

        run = begin(context, self.stage_name, None)
        if run is None:
            raise AssertionError("only an item can be one of nothing")
        values = expand_json((run.stage.for_each or {})["values"], run.scope())
        if not isinstance(values, list):
            raise ConfigError(f"forEach.values of {run.stage.name!r} is {values!r}", hint="it must be a list")
        if len(values) > MAX_ITEMS:
            raise ConfigError(
                f"forEach.values of {run.stage.name!r} has {len(values):,} values", hint=f"at most {MAX_ITEMS:,}"
            )
        return wrapped(values)
