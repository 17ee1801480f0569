"""What the pod of a stage on Spark has beyond every stage's pod: it is the driver, and makes its executors. Pure.

Its service account may make pods, so it alone has a token of the API server. Executors have none.
"""

import json
import os
from typing import Any

from adutora.dagconfig import Json, StageConfig
from adutora_airflow.variables import plain

ACCOUNT_ENV, EXECUTOR_ACCOUNT_ENV = "ADUTORA_SPARK_SERVICE_ACCOUNT", "ADUTORA_SPARK_EXECUTOR_SERVICE_ACCOUNT"
ACCOUNT, EXECUTOR_ACCOUNT = "adutora-spark", "adutora-spark-executor"
ROLE = "adutora-spark"  # of the chart: what a driver may do
EVENT_LOG = "ADUTORA_SPARK_EVENT_LOG"
MASTER = "k8s://https://kubernetes.default.svc"
PORTS = {"driver": 7078, "blocks": 7079, "ui": 4040}  # those that the NetworkPolicies name
ENGINE = "adutora.dev/engine"  # a label: which stages NetworkPolicies let be reached
EXECUTOR = "executor"  # its container
_FIELDS = {
    "ADUTORA_POD_NAME": "metadata.name",
    "ADUTORA_POD_NAMESPACE": "metadata.namespace",
    "ADUTORA_POD_IP": "status.podIP",
}
_TMP = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a volume of the pod's own; Java unpacks libraries there
_SHARED = ("securityContext", "nodeSelector", "tolerations", "priorityClassName", "enableServiceLinks")


def become_driver(pod: Json, stage: StageConfig, profile: Json) -> None:
    """Make a stage's pod the driver of a Spark application: its account and token, its ports, and what it is told."""
    spec = pod["spec"]
    (container,) = spec["containers"]
    pod["metadata"]["labels"][ENGINE] = "spark"
    spec["serviceAccountName"] = profile.get("serviceAccount") or os.environ.get(ACCOUNT_ENV) or ACCOUNT
    spec["automountServiceAccountToken"] = True
    spec["volumes"].append({"name": "tmp", "emptyDir": spec["volumes"][0]["emptyDir"]})
    container["volumeMounts"].append(_TMP)
    container["ports"] = [{"name": name, "containerPort": port} for name, port in PORTS.items()]
    container["env"] += _told(container["image"], _executor_account(profile), executor_template(pod, stage))


def account_notice(stage: StageConfig, profile: Json) -> str | None:
    """Say what a profile's own service account has to be allowed, for nobody else does; None where there is none."""
    if stage.engine != "spark" or not profile.get("serviceAccount"):
        return None
    return (
        f"Driver and executors run as service account {profile['serviceAccount']} of profile {stage.profile}, not as "
        f"{os.environ.get(ACCOUNT_ENV) or ACCOUNT}: it needs the Role {ROLE}, which the chart binds to the accounts "
        "of its value spark.moreServiceAccounts"
    )


def executor_template(pod: Json, stage: StageConfig) -> Json:
    """Return the pod template of executors: confined as the driver is, on the same nodes, and gone in time."""
    spec, labels = pod["spec"], dict(pod["metadata"]["labels"])
    (driver,) = spec["containers"]
    scratch = spec["volumes"][0]["emptyDir"]
    kept = {name: labels[name] for name in ("adutora.dev/pipeline", "adutora.dev/stage", "adutora.dev/run")}
    own = {"app.kubernetes.io/managed-by": "adutora", "app.kubernetes.io/component": "executor", **kept}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": own},
        "spec": {
            **{name: spec[name] for name in _SHARED if name in spec},
            "automountServiceAccountToken": False,
            "activeDeadlineSeconds": stage.timeout,
            "terminationGracePeriodSeconds": 5,  # nothing of theirs is worth a wait: the driver has gone, or lets go
            "volumes": [
                {"name": "spark-local-dir-1", "emptyDir": scratch},  # by its name Spark keeps shuffles there
                {"name": "work", "emptyDir": scratch},
                {"name": "tmp", "emptyDir": scratch},
            ],
            "containers": [
                {
                    "name": EXECUTOR,
                    "securityContext": driver["securityContext"],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "volumeMounts": [
                        {"name": "spark-local-dir-1", "mountPath": "/var/data/spark"},
                        {"name": "work", "mountPath": "/work"},
                        _TMP,
                    ],
                }
            ],
        },
    }


def _executor_account(profile: Json) -> str:
    return str(profile.get("serviceAccount") or os.environ.get(EXECUTOR_ACCOUNT_ENV) or EXECUTOR_ACCOUNT)


def _told(image: str, account: str, template: Json) -> list[Json]:
    values: dict[str, Any] = {
        "ADUTORA_SPARK_MASTER": MASTER,
        "ADUTORA_SPARK_IMAGE": image,
        "ADUTORA_SPARK_EXECUTOR_ACCOUNT": account,
        "ADUTORA_SPARK_EXECUTOR_TEMPLATE": plain(json.dumps(template, sort_keys=True)),
    }
    if EVENT_LOG in os.environ:
        values[EVENT_LOG] = os.environ[EVENT_LOG]
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in _FIELDS.items()),
    ]
