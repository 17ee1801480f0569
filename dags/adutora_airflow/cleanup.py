"""Removes the pods of a task that was killed and has no try left: Airflow calls it where the task itself cannot."""

import logging
from typing import Any

log = logging.getLogger(__name__)


def remove_pods(context: Any) -> None:
    """Remove all pods of a task that has failed for good. A pod that is left is ended by its deadline."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook

    from adutora_airflow.pod import task_key
    from adutora_airflow.pods import Pods

    ti = context["ti"]
    index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
    try:
        pods = Pods(KubernetesHook(conn_id=None).core_v1_client, ti.dag_id.partition(".")[0])
        for pod in pods.of_task(task_key(ti.dag_id, ti.run_id, ti.task_id, index)):
            log.info("Removing pod %s of the failed task", pod["metadata"]["name"])
            pods.remove(pod["metadata"]["name"])
    except Exception:
        log.exception("Pods of %s.%s cannot be removed", ti.dag_id, ti.task_id)
