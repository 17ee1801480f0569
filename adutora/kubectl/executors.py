"""Stages on Spark: their executors' pods, what those wait for, their logs, and how the UI of a driver is reached."""

from collections.abc import Iterator

from adutora.dagconfig import Json
from adutora.kubectl.kubernetes import Kubectl

UI_PORT = 4040
_COMPONENT, _STAGE, _PIPELINE = "app.kubernetes.io/component", "adutora.dev/stage", "adutora.dev/pipeline"


def pods_of(kubectl: Kubectl, name: str, namespace: str) -> list[Json]:
    """Return the pods of a pipeline's stages, and of their executors. Raises AdutoraError."""
    labels = f"{_PIPELINE}={name},{_COMPONENT} in (stage,executor)"
    return list(kubectl.read("get", "pods", "--namespace", namespace, "--selector", labels)["items"])


def is_executor(pod: Json) -> bool:
    """Say whether a pod is an executor of Spark."""
    return bool(pod["metadata"].get("labels", {}).get(_COMPONENT) == "executor")


def called(pod: Json) -> str:
    """Return what a pod is, for people."""
    name = pod["metadata"]["name"]
    return f"executor {name} of stage {_stage(pod)}" if is_executor(pod) else f"pod {name}"


def user_interfaces(pods: list[Json]) -> Iterator[str]:
    """Yield how the UI of each driver that runs is reached."""
    for pod in pods:
        labels, meta = pod["metadata"].get("labels", {}), pod["metadata"]
        if labels.get("adutora.dev/engine") == "spark" and pod.get("status", {}).get("phase") == "Running":
            yield (
                f"stage {_stage(pod)} runs on Spark; its UI, at http://localhost:{UI_PORT}: "
                f"kubectl port-forward --namespace {meta['namespace']} pod/{meta['name']} {UI_PORT}"
            )


def logs(kubectl: Kubectl, name: str, namespace: str, stage: str | None) -> Iterator[str]:
    """Yield the logs of the executors that there are, of all stages or of one."""
    found = [pod for pod in pods_of(kubectl, name, namespace) if is_executor(pod) and stage in (None, _stage(pod))]
    if not found:
        yield f"pipeline {name} has no executors now: they go with their driver; the history server shows old ones"
    for pod in found:
        yield f"== {called(pod)}: {pod.get('status', {}).get('phase', 'Pending')}"
        if pod.get("status", {}).get("phase") != "Pending":
            yield from kubectl.log(pod["metadata"]["name"], namespace).splitlines()


def _stage(pod: Json) -> str:
    return str(pod["metadata"].get("labels", {}).get(_STAGE, "?"))
