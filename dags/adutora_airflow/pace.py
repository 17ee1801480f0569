"""Keeps runs that changed tables start at least so far apart, without holding a worker."""

import datetime as dt
from typing import Any

from airflow.sdk import BaseOperator


class PaceOperator(BaseOperator):
    """Waits until `seconds` after the last run went on. Its inlet, a table that starts runs, keeps that time."""

    ui_color = "#eef1f6"

    def __init__(self, *, seconds: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def execute(self, context: Any, event: Any = None) -> None:
        """Return at once if enough time has passed, else leave the wait to the triggerer."""
        store, now = context["asset_state_store"][self.inlets[0]], dt.datetime.now(dt.UTC)
        key, run_type = context["dag"].dag_id, context["dag_run"].run_type
        last = store.get(key)
        due = dt.datetime.fromisoformat(str(last)) + dt.timedelta(seconds=self.seconds) if last else now
        if due > now and str(getattr(run_type, "value", run_type)) == "asset_triggered":
            from airflow.providers.standard.triggers.temporal import DateTimeTrigger

            self.log.info("The last run went on at %s; this one does at %s", last, due.isoformat())
            self.defer(trigger=DateTimeTrigger(moment=due), method_name="execute")
        store.set(key, now.isoformat())
