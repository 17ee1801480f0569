"""Tells people of a run's end, in a pod of its own as every stage has one: Airflow itself reads no secret.

The task is a teardown: it comes after all others, whatever became of them, and the run's state does not depend on it.
A run that takes longer than its timeout has no tasks any more: of that end a callback tells.
"""

import json
import logging
import time
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from adutora.dagconfig import DagConfig, Json, StageConfig
from adutora.runtime.notices import NOTICE, Failed, Notice, concerns, connections
from adutora.runtime.task import RunInfo
from adutora_airflow.attend import GONE
from adutora_airflow.conditions import failed_stages, failing_for_good, states_of
from adutora_airflow.ending import Ending, ended, ending
from adutora_airflow.operator import StageOperator
from adutora_airflow.pod import Again, manifest
from adutora_airflow.pods import Pods
from adutora_airflow.results import ERROR, report
from adutora_airflow.task import StageRun, run_info
from adutora_airflow.variables import plain

TIMEOUT = 120  # seconds of a pod that tells
RESOURCES = {"cpu": 100, "memory": 256 << 20, "scratch": 64 << 20}
_BAD = frozenset({"failed", "upstream_failed"})
log = logging.getLogger(__name__)


class NotifyOperator(StageOperator):
    """Tells people how the run ended."""

    ui_color = "#eef1f6"

    @failing_for_good
    def execute(self, context: Any) -> Any:
        """Tell those whom it concerns."""
        run = self._stage_run(context)
        if not concerns(run.config, self._notice.state):
            raise AirflowSkipException(f"nobody is told of a {self._notice.state}")
        return self._try(run, Again(), context)

    def _stage_run(self, context: Any) -> StageRun:
        config = _config(context)
        self._notice = notice_of(context)
        return notice_run(config, run_info(config, context["dag_run"]), context["dag"], context["ti"].try_number)

    def _manifest(self, run: StageRun, again: Again) -> Json:
        return notice_pod(run, self._notice, again)


def notice_of(context: Any) -> Notice:
    """Return how this run has ended, from the states of its tasks."""
    config, ti = _config(context), context["ti"]
    states = states_of(context, config.dag_id)
    run = run_info(config, context["dag_run"])
    failed = tuple(Failed(name, _error(ti, name)) for name in failed_stages(states, config.names()))
    bad = any(state in _BAD for state in states.values())
    url = ti.log_url.partition("/tasks/")[0]
    return Notice(config.dag_id, run.id, "failure" if bad else "success", run.date, run.started_at, failed, url)


def _error(ti: Any, stage: str) -> str | None:
    """Return what a stage left when it failed; of a fan-out what the first of its items did."""
    found = ti.xcom_pull(task_ids=stage, key=ERROR)
    texts = [found] if isinstance(found, str) else [each for each in found or [] if each]
    return str(texts[0]) if texts else None


def notice_run(config: DagConfig, run: RunInfo, dag: Any, attempt: int) -> StageRun:
    """Return the notification as what runs in a pod: a stage that no pipeline has."""
    stage = StageConfig(
        "notify", "notify", {}, (), retries=0, retry_delay=1, timeout=TIMEOUT, resources=dict(RESOURCES),
        connections=connections(config),
    )  # fmt: skip
    owner = dag.user_defined_macros.get("adutora_owner")
    # No item has this index, so that its pods are not those of a stage of this name.
    return StageRun(config, stage, run, {}, (), attempt, index=-1, owner=owner)


def notice_pod(run: StageRun, notice: Notice, again: Again) -> Json:
    """Return the pod that tells. What is told is data of a variable; the kubelet reads nothing into it."""
    pod = manifest(run, again)
    (container,) = pod["spec"]["containers"]
    container["command"] = [*container["command"], "notify"]
    text = plain(json.dumps(notice.to_json()))
    container["env"] = [*container["env"], {"name": NOTICE, "value": text}]
    return pod


def tell_of_deadline(context: Any) -> None:
    """Tell of a run that took longer than its timeout. Airflow calls it for each failed run; the others are told of."""
    if context.get("reason") == "task_failure":
        return
    try:
        end = deliver(context)
        report(end, log)
    except Exception:
        log.exception("Nobody was told that %s %s took too long", context["dag"].dag_id, context["run_id"])


def deliver(context: Any) -> Ending:
    """Run the pod that tells, and remove it."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    config = _config(context)
    notice = late_notice(context)
    run = RunInfo(notice.run, notice.date or "1970-01-01", None, None, None, notice.started_at or "")
    made = notice_run(config, run, context["dag"], 0)
    pods = Pods(KubernetesHook(conn_id=None).core_v1_client, config.namespace)
    name = pods.obtain(notice_pod(made, notice, Again()))["metadata"]["name"]
    until = time.monotonic() + TIMEOUT
    try:
        for pod in pods.changes(name, lambda: until):
            if pod is None:
                return GONE
            if ended(pod):
                return ending(pod, made.stage)
            if time.monotonic() >= until:
                break
    finally:
        pods.remove(name)
    raise TimeoutError(f"pod {name} did not end within {TIMEOUT} s")


def late_notice(context: Any) -> Notice:
    """Return the notice of a run that took longer than its timeout, as far as Airflow tells of it."""
    config, dag_run = _config(context), context.get("dag_run")
    if dag_run is None:
        return Notice(config.dag_id, context["run_id"], "deadline")
    run = run_info(config, dag_run)
    return Notice(config.dag_id, run.id, "deadline", run.date, run.started_at)


def _config(context: Any) -> DagConfig:
    config: DagConfig = context["dag"].user_defined_macros["adutora"]
    return config
