"""What Airflow is told of a stage's end: its log, its outputs, and an event for each table that has changed."""

from typing import Any

from adutora.dagconfig import DagConfig, Json
from adutora.errors import EXIT_OK
from adutora_airflow.ending import Ending
from adutora_airflow.schedule import asset
from adutora_airflow.task import URI


def report(end: Ending, log: Any) -> None:
    """Log how a pod ended."""
    outcome = end.outcome
    counts = [
        f"{words} {outcome[name]:,}"
        for name, words in (("rowsIn", "rows in"), ("rowsOut", "rows out"), ("rowsRejected", "rows rejected"))
        if outcome.get(name) is not None
    ]
    if outcome.get("cached"):
        log.info("Nothing has changed since the last success: no work")
    if counts:
        log.info("%s", ", ".join(counts))
    if outcome.get("message"):
        log.info("%s", outcome["message"])
    if outcome.get("uri"):
        log.info("Whole outcome: %s", outcome["uri"])
    if end.code != EXIT_OK:
        log.error("%s", end)


def take(end: Ending, context: Any) -> Json | None:
    """Emit events of changed tables, and return the outputs, None if there are none."""
    emit(context, {table["name"]: table for table in end.outcome.get("tables") or [] if table.get("changed")})
    if end.outcome.get("outputsUri"):
        return {URI: end.outcome["outputsUri"]}
    return end.outcome.get("outputs") or None


ERROR = "error"  # key of what a task that failed leaves for those who are told of it


def left_error(context: Any, text: str) -> None:
    """Leave why a task failed, for a notification to say; where nobody is told there is none."""
    config: DagConfig = context["dag"].user_defined_macros["adutora"]
    if config.notify:
        context["ti"].xcom_push(key=ERROR, value=text[:1000])


def emit(context: Any, changed: dict[str, Json]) -> None:
    """Leave of the task's outlets those that have changed: Airflow makes an event of each that is left."""
    dag_id = context["dag"].dag_id
    namespace = dag_id.partition(".")[0]
    wanted = {asset(namespace, name): table for name, table in changed.items()}
    task = context["ti"].task
    task.outlets = [each for each in task.outlets if each in wanted]
    for each in task.outlets:
        table = wanted[each]
        context["outlet_events"][each].extra = {"version": table.get("version"), "rows": table.get("rows")}
