"""Runs a stage in a pod of its own.

A KubernetesPodOperator without templates: what a user wrote goes into the pod as data. It watches instead of polling,
reads the outcome off the container's termination message, and hands a long wait over to the triggerer.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from adutora.dagconfig import Json
from adutora_airflow.attend import Attendance, TooLong
from adutora_airflow.conditions import begin, failing_for_good
from adutora_airflow.ending import Ending, decide
from adutora_airflow.pod import Again, manifest
from adutora_airflow.pods import Pods
from adutora_airflow.results import emit, left_error, report, take
from adutora_airflow.spark import account_notice
from adutora_airflow.task import StageRun


class StageOperator(KubernetesPodOperator):
    """One stage of a pipeline; `item` is set where the stage fans out."""

    template_fields: Sequence[str] = ()
    template_fields_renderers: ClassVar[dict[str, str]] = {}
    ui_color = "#e8f0fe"

    def __init__(self, *, item: Json | None = None, **kwargs: Any) -> None:
        kwargs.pop("do_xcom_push", None)
        super().__init__(kubernetes_conn_id=None, do_xcom_push=True, **kwargs)
        self.item = item
        self._running: tuple[Pods, str] | None = None

    @failing_for_good
    def execute(self, context: Any) -> Any:
        """Run the stage. Returns its outputs."""
        run = begin(context, self.task_id, self.item)
        if run is None:
            emit(context, {})
            return {}
        if notice := account_notice(run.stage, run.config.profiles.get(run.stage.profile or "", {})):
            self.log.info("%s", notice)
        return self._try(run, Again(), context)

    @failing_for_good
    def resume(self, context: Any, again: Json, name: str, since: str = "", event: Json | None = None) -> Any:
        """Go on with a pod after the triggerer has waited for it. `since` is the time of the last line shown before."""
        return self._try(self._stage_run(context), Again(**again), context, waited_for=(name, since))

    def _stage_run(self, context: Any) -> StageRun:
        return StageRun.of(context, self.task_id, self.item)

    def _manifest(self, run: StageRun, again: Again) -> Json:
        return manifest(run, again)

    def on_kill(self) -> None:
        """Remove the pod with its task."""
        if self._running is not None:
            pods, name = self._running
            pods.remove(name)

    def _try(self, run: StageRun, again: Again, context: Any, *, waited_for: tuple[str, str] | None = None) -> Any:
        """Run pods until one of them settles this try."""
        pods = Pods(self.client, run.config.namespace)
        while True:
            end = self._attend(pods, run, again, waited_for)
            report(end, self.log)
            what, again = decide(end, run.stage, again)
            if what != "again":
                break
            waited_for = None
            self.log.warning("Another pod is made within this try: %s", again)
        if what != "done":
            left_error(context, str(end))
        if what == "fail":
            raise AirflowFailException(str(end))
        if what == "retry":
            raise AirflowException(str(end))
        outputs = take(end, context)
        # Each item leaves something, so that places in the gathered lists are those of the items.
        return outputs if self.item is None else outputs or {}

    def _attend(self, pods: Pods, run: StageRun, again: Again, waited_for: tuple[str, str] | None) -> Ending:
        """Run one pod to its end, and remove it. Leaves by TaskDeferred where that takes long."""
        name, since = waited_for or (pods.obtain(self._manifest(run, again))["metadata"]["name"], "")
        self._running = pods, name
        try:
            show = waited_for is None or not _kept_by_the_triggerer()
            end = Attendance(pods, name, run.stage, self.log, show_log=show, since=since).wait()
        except TooLong as error:
            self._hand_over(run, again, name, error.since)
        pods.remove(name)
        self._running = None
        return end

    def _hand_over(self, run: StageRun, again: Again, name: str, since: str) -> NoReturn:
        from adutora_airflow.trigger import PodTrigger

        self._running = None
        self.log.info("Pod %s runs on; the triggerer waits for it", name)
        self.defer(
            trigger=PodTrigger(namespace=run.config.namespace, name=name, since=since),
            method_name="resume",
            kwargs={"again": asdict(again), "name": name, "since": since},
        )


def _kept_by_the_triggerer() -> bool:
    """Say whether lines that the triggerer showed stay: without remote logs they are seen while it waits alone."""
    return bool(conf.getboolean("logging", "remote_logging", fallback=False))
