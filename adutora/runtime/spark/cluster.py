"""The cluster as the platform tells a driver of it, and Spark's settings for executors there."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adutora.dagconfig import StageConfig
from adutora.errors import ConfigError
from adutora.spec.spark import Executors

# NetworkPolicies name these.
DRIVER_PORT: Final = 7078
BLOCKS_PORT: Final = 7079
UI_PORT: Final = 4040
HEAP: Final = 0.6  # of an executor's memory; the rest is for Python, shuffles' buffers and the JVM itself
LEAST_EXECUTOR: Final = 1 << 30
_MIB: Final = 1 << 20


@dataclass(frozen=True)
class Cluster:
    """What `ADUTORA_SPARK_…` and the downward API say. Raises ConfigError where a part is missing."""

    master: str
    image: str
    account: str
    template: str
    pod: str
    namespace: str
    ip: str
    event_log: str | None  # URL; empty: none; None: beside the lake

    @classmethod
    def of(cls, env: Mapping[str, str] = os.environ) -> "Cluster | None":
        """Return the cluster, or None on a machine that has none: Spark then computes in this process."""
        master = env.get("ADUTORA_SPARK_MASTER", "")
        if not master or master.startswith("local"):
            return None
        names = (
            "ADUTORA_SPARK_IMAGE", "ADUTORA_SPARK_EXECUTOR_ACCOUNT", "ADUTORA_SPARK_EXECUTOR_TEMPLATE",
            "ADUTORA_POD_NAME", "ADUTORA_POD_NAMESPACE", "ADUTORA_POD_IP",
        )  # fmt: skip
        missing = [name for name in names if not env.get(name)]
        if missing:
            raise ConfigError(f"this pod is to drive Spark on {master}, and {', '.join(missing)} is not set")
        image, account, template, pod, namespace, ip = (env[name] for name in names)
        return cls(master, image, account, template, pod, namespace, ip, env.get("ADUTORA_SPARK_EVENT_LOG"))


def settings(
    cluster: Cluster, stage: StageConfig, executors: Executors, labels: Mapping[str, str], scratch: Path
) -> dict[str, str]:
    """Return Spark's settings for executors that are pods. Writes their template into `scratch`."""
    template = scratch / "executor.json"
    template.write_text(cluster.template)
    kubernetes = {
        "namespace": cluster.namespace,
        "driver.pod.name": cluster.pod,
        "container.image": cluster.image,
        "authenticate.executor.serviceAccountName": cluster.account,
        "executor.podTemplateFile": str(template),
        "executor.podNamePrefix": _prefix(cluster.pod),
        "executor.disableConfigMap": "true",
        # The driver's Role is for pods alone: else Spark tries, and fails, to remove services and claims at its end.
        "driver.service.deleteOnTermination": "false",
        "driver.ownPersistentVolumeClaim": "false",
        "driver.reusePersistentVolumeClaim": "false",
        "executor.missingPodDetectDelta": "10s",
        **{f"executor.label.{name}": value for name, value in labels.items()},
        "executor.request.cores": f"{_cpu(stage, executors)}m",
    }
    return {
        "spark.master": cluster.master,
        "spark.driver.host": cluster.ip,
        "spark.driver.bindAddress": cluster.ip,
        "spark.driver.port": str(DRIVER_PORT),
        "spark.driver.blockManager.port": str(BLOCKS_PORT),
        "spark.blockManager.port": str(BLOCKS_PORT),
        "spark.port.maxRetries": "0",
        # The session is there before executors are: what they wait for is told, and not sat out in silence.
        "spark.scheduler.minRegisteredResourcesRatio": "0",
        "spark.ui.enabled": "true",
        "spark.ui.port": str(UI_PORT),
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        **{f"spark.kubernetes.{name}": value for name, value in kubernetes.items()},
        **_memory(stage, executors),
        **_number(executors),
    }


def _cpu(stage: StageConfig, executors: Executors) -> int:
    return int(executors.cpu or stage.resources.get("cpu") or 1000)


def _memory(stage: StageConfig, executors: Executors) -> dict[str, str]:
    """Return heap and overhead of an executor, which together are its pod's memory, and its cores."""
    memory = int(executors.memory or stage.resources.get("memory") or LEAST_EXECUTOR)
    if memory < LEAST_EXECUTOR:
        raise ConfigError(
            f"an executor of Spark needs 1Gi of memory, and gets {memory // _MIB}Mi",
            hint="set executors.memory, or resources.memory, of the stage",
        )
    heap = int(memory * HEAP) // _MIB
    return {
        "spark.executor.cores": str(max(1, round(_cpu(stage, executors) / 1000))),
        "spark.executor.memory": f"{heap}m",
        "spark.executor.memoryOverhead": f"{memory // _MIB - heap}m",
    }


def _number(executors: Executors) -> dict[str, str]:
    most = max(executors.max, 1)
    failures = {"spark.executor.maxNumFailures": str(max(3, 2 * most)), "spark.executor.failuresValidityInterval": "1h"}
    if executors.max <= executors.min:
        return {"spark.executor.instances": str(most), **failures}
    return {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.minExecutors": str(executors.min),
        "spark.dynamicAllocation.initialExecutors": str(executors.min),
        "spark.dynamicAllocation.maxExecutors": str(most),
        "spark.dynamicAllocation.executorIdleTimeout": "30s",
        **failures,
    }


def _prefix(pod: str) -> str:
    """Return the first part of executors' names; with what Spark adds it must stay a name of 63 characters."""
    if len(pod) <= 40:
        return pod
    return f"{re.sub(r'[^a-z0-9-]', '-', pod)[:29].rstrip('-')}-{hashlib.sha256(pod.encode()).hexdigest()[:10]}"
