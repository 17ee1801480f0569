"""Runs a stage in a pod of its own.

A KubernetesPodOperator without templates: what a user wrote goes into the pod as data. It watches instead of polling,
reads the outcome off the container's termination message, and hands a long wait over to the triggerer.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, NoReturn

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from adutora.dagconfig import Json
from adutora_airflow.attend import Attendance, TooLong
from adutora_airflow.conditions import failing_for_good, should_run
from adutora_airflow.ending import Ending, decide
from adutora_airflow.pod import Again, manifest
from adutora_airflow.pods import Pods
from adutora_airflow.results import emit, report, take
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
        if self.item == {}:  # a fan-out over nothing, which has succeeded
            emit(context, {})
            return {}
        run = StageRun.of(context, self.task_id, self.item)
        if self.item is None and (reason := should_run(run, context)):
            raise AirflowSkipException(reason)
        return self._try(run, Again(), context)

    @failing_for_good
    def resume(self, context: Any, again: Json, name: str, event: Json | None = None) -> Any:
        """Go on with a pod after the triggerer has waited for it."""
        run = StageRun.of(context, self.task_id, self.item)
        return self._try(run, Again(**again), context, waited_for=name)

    def on_kill(self) -> None:
        """Remove the pod with its task."""
        if self._running is not None:
            pods, name = self._running
            pods.remove(name)

    def _try(self, run: StageRun, again: Again, context: Any, *, waited_for: str | None = None) -> Any:
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
        if what == "fail":
            raise AirflowFailException(str(end))
        if what == "retry":
            raise AirflowException(str(end))
        outputs = take(end, context)
        # Each item leaves something, so that places in the gathered lists are those of the items.
        return outputs if self.item is None else outputs or {}

    def _attend(self, pods: Pods, run: StageRun, again: Again, waited_for: str | None) -> Ending:
        """Run one pod to its end, and remove it. Leaves by TaskDeferred where that takes long."""
        name = waited_for or pods.obtain(manifest(run, again))["metadata"]["name"]
        self._running = pods, name
        try:
            end = Attendance(pods, name, run.stage, self.log, show_log=waited_for is None).wait()
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
            kwargs={"again": asdict(again), "name": name},
        )
