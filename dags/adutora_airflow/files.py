"""The `files` trigger: a run that a listing has started goes on only where the ledger knows of something new.

The source is listed by a pod, with the secrets of the stage that reads it: nothing of Airflow itself can. What is
loaded the stage decides, so it is no matter whether a listing comes twice, late or never.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow.sdk.exceptions import DownstreamTasksSkipped

from adutora.dagconfig import DagConfig, Json
from adutora_airflow.conditions import failing_for_good
from adutora_airflow.operator import StageOperator
from adutora_airflow.pod import Again, manifest
from adutora_airflow.task import StageRun, is_slot
from adutora_airflow.variables import plain

LOOKING = -2  # the index of a pod that looks: no item has it, so that its pods are not the stage's
NEW = "new"


class FilesOperator(StageOperator):
    """Looks whether the sources that start runs have anything new; if not, nothing else of the run is done."""

    ui_color = "#eef1f6"

    def __init__(self, *, stages: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stages = stages

    @failing_for_good
    def execute(self, context: Any) -> None:
        """Look, if it was a listing that started the run."""
        if begun_by_listing(context):
            self._look(context)

    @failing_for_good
    def resume(self, context: Any, again: Json, name: str, since: str = "", event: Json | None = None) -> None:
        """Go on after the triggerer has waited. It does not matter whose pod that was: those before had nothing new."""
        self._look(context, Again(**again), (name, since))

    def _look(self, context: Any, again: Again | None = None, waited_for: tuple[str, str] | None = None) -> None:
        found: dict[str, int | None] = {}
        for stage in self.stages:
            outputs = self._try(StageRun.of(context, stage), again or Again(), context, waited_for=waited_for)
            found[stage] = (outputs or {}).get(NEW)
            again, waited_for = None, None
            if found[stage] != 0:
                break
        go_on(found, context, self.log)

    def _manifest(self, run: StageRun, again: Again) -> Json:
        pod = manifest(replace(run, index=LOOKING), again)
        (container,) = pod["spec"]["containers"]
        container["command"] = [*container["command"], "files"]
        told = plain(json.dumps(run.payload(again.memory)))
        container["env"] = [
            {**each, "value": told} if each["name"] == "ADUTORA_TASK" else each for each in container["env"]
        ]
        return pod


def begun_by_listing(context: Any) -> bool:
    """Say whether it was time to list a source, and not a cron, a changed table or somebody, that started the run."""
    config: DagConfig = context["dag"].user_defined_macros["adutora"]
    dag_run = context["dag_run"]
    kind = str(getattr(dag_run.run_type, "value", dag_run.run_type))
    return kind == "scheduled" and not is_slot(config, dag_run.logical_date)


def go_on(found: Mapping[str, int | None], context: Any, log: Any) -> None:
    """Let the run go on if anything is new, or nobody knows. Raises DownstreamTasksSkipped, for all tasks, if not."""
    for stage, count in found.items():
        log.info("%s: %s", stage, "not known" if count is None else f"{count} new")
    if any(count != 0 for count in found.values()):
        return
    own = context["ti"].task.task_id
    others = [task.task_id for task in context["dag"].tasks if task.task_id != own]
    raise DownstreamTasksSkipped(tasks=others)  # type: ignore[no-untyped-call]
