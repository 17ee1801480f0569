"""Why a pipeline does not do what it should: its conditions, Airflow's view of its file, its last run, its pods."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from adutora.dagconfig import Json
from adutora.errors import AdutoraError
from adutora.kubectl.airflow import FAILED, Airflow
from adutora.kubectl.executors import called, pods_of, user_interfaces
from adutora.kubectl.kubernetes import Kubectl

_LINES = 5  # of a failed stage's log
_BAD_LEVELS = frozenset({"error", "critical"})
_WELL = frozenset({"ContainerCreating", "PodInitializing"})


def why(kubectl: Kubectl, pipeline: Json, open_airflow: Callable[[], Airflow]) -> Iterator[str]:
    """Yield what is wrong with a Pipeline, a line each, or that nothing is; then where Spark shows what it does."""
    name, namespace = pipeline["metadata"]["name"], pipeline["metadata"]["namespace"]
    pods, unread = _read_pods(kubectl, name, namespace)
    found = False
    for line in [
        *_conditions(pipeline),
        *unread,
        *(f"{called(pod)}: {text}" for pod in pods for text in pod_troubles(pod)),
        *_airflow(open_airflow, f"{namespace}.{name}"),
    ]:
        found = True
        yield line
    if not found:
        yield f"nothing is wrong with pipeline {name}"
    yield from user_interfaces(pods)


def _conditions(pipeline: Json) -> Iterator[str]:
    status = pipeline.get("status", {})
    if not status.get("conditions"):
        yield "it has no conditions: the operator has not seen it; does it run, and serve this namespace?"
    for each in status.get("conditions", []):
        if each["status"] != "True":
            yield f"{each['type']} is {each['status']}: {each.get('reason', '')}: {each.get('message', '')}"
        elif each.get("observedGeneration", 0) < pipeline["metadata"].get("generation", 0):
            yield f"{each['type']} speaks of generation {each.get('observedGeneration')}, and there is a newer one"
    if pipeline.get("spec", {}).get("suspend"):
        yield "it is suspended: spec.suspend is true"


def _read_pods(kubectl: Kubectl, name: str, namespace: str) -> tuple[list[Json], list[str]]:
    """Return the pods, and what hinders us to read them."""
    try:
        return pods_of(kubectl, name, namespace), []
    except AdutoraError as error:
        return [], [f"its pods cannot be read: {error.message}"]


def pod_troubles(pod: Json) -> Iterator[str]:
    """Yield what keeps a pod from starting, or ended it."""
    status: Json = pod.get("status", {})
    if status.get("phase") == "Failed" and status.get("reason"):
        yield f"{status['reason']}: {status.get('message', '')}"
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            yield f"{condition.get('reason')}: {condition.get('message')}"
    for each in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state = each.get("state", {})
        waiting, ended = state.get("waiting", {}), state.get("terminated", {})
        if waiting.get("reason") and waiting["reason"] not in _WELL:
            yield f"{waiting['reason']}: {waiting.get('message', '')}"
        if ended.get("exitCode"):
            yield outcome_text(ended)


def outcome_text(ended: Json) -> str:
    """Return what a container that failed left as its termination message, in words."""
    told: Any = None
    try:
        told = json.loads(ended.get("message") or "null")
    except ValueError:
        told = None
    text = f"ended with code {ended['exitCode']} ({ended.get('reason', 'Error')})"
    if not isinstance(told, dict) or not told.get("error"):
        return text
    hint = f" ({told['hint']})" if told.get("hint") else ""
    whole = f"; the whole outcome: {told['uri']}" if told.get("uri") else ""
    return f"{text}: {told['error']}{hint}{whole}"


def _airflow(open_airflow: Callable[[], Airflow], dag_id: str) -> Iterator[str]:
    try:
        airflow = open_airflow()
        error = airflow.import_error(dag_id)
        if error is not None:
            yield f"Airflow cannot read it: {error.strip().splitlines()[-1]}"
        yield from _last_run(airflow, dag_id)
    except AdutoraError as failure:
        yield f"Airflow's view of it is not known: {failure}"


def _last_run(airflow: Airflow, dag_id: str) -> Iterator[str]:
    runs = airflow.runs(dag_id, 1)
    if not runs or runs[0]["state"] != "failed":
        return
    run = runs[0]["dag_run_id"]
    yield f"its last run, {run}, failed"
    for task in airflow.tasks(dag_id, run):
        if task["state"] == "upstream_failed":
            yield f"  stage {task_name(task)} did not run: one before it failed"
        elif task["state"] in FAILED:
            yield f"  stage {task_name(task)} failed at try {task['try_number']}"
            yield from (f"    {line}" for line in last_errors(airflow.log(task)))


def task_name(task: Json) -> str:
    """Return a task's stage, with its item's number in a fan-out."""
    return str(task["task_id"]) if task["map_index"] < 0 else f"{task['task_id']}[{task['map_index']}]"


def last_errors(log: Iterator[Json]) -> list[str]:
    """Return the last lines of a log that speak of an error; of one without such a line, its last ones."""
    lines = [line for line in log if str(line.get("event", "")).strip()]
    bad = [line for line in lines if str(line.get("level", "")).lower() in _BAD_LEVELS]
    return [str(line["event"]).strip().splitlines()[0] for line in (bad or lines)[-_LINES:]]
