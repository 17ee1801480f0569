"""The pod of a stage, as a manifest. Pure: the same try gives the same manifest, under the same name.

A pod is restricted: no root, no capability, no token of the API server, nothing writable but its own empty volumes. The
driver of a Spark application has a token: it makes its executors.
"""

import base64
import gzip
import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from adutora.dagconfig import Json, StageConfig, canonical_json, safe_label
from adutora.errors import ConfigError
from adutora_airflow.spark import become_driver
from adutora_airflow.task import StageRun
from adutora_airflow.variables import plain

CONTAINER = "stage"
KEY, TRY, CONFIG_HASH = "adutora.dev/task", "adutora.dev/try", "adutora.dev/config"
IMAGES_ENV, ACCOUNT_ENV = "ADUTORA_IMAGES", "ADUTORA_STAGE_SERVICE_ACCOUNT"
COMMAND = ["python", "-P", "-m", "adutora.runtime.pod"]
SECRETS, WORK, EXCHANGE = "/run/adutora/secrets", "/work", "/var/run/adutora"
CONNECTIONS, OUTPUTS = f"{EXCHANGE}/connections", f"{EXCHANGE}/outputs.json"
TERMINATION = "/dev/termination-log"
PIECE = 96 * 1024  # bytes of a variable; the kernel takes 128 KiB
SCRATCH = 1 << 30  # bytes of scratch where the stage asks for none
GRACE = 30  # seconds between SIGTERM and SIGKILL
USER = 1000


@dataclass(frozen=True)
class Again:
    """What a try has been through: pods made for it, how often it was evicted, and its memory in bytes."""

    pods: int = 0
    evictions: int = 0
    memory: int | None = None

    def __str__(self) -> str:
        """Say what is different."""
        more = "" if self.memory is None else f", with {self.memory / 2**20:.0f} MiB of memory"
        return f"number {self.pods + 1}{more}"


def task_key(dag_id: str, run_id: str, stage: str, index: int | None) -> str:
    """Return what all pods of one task share, whichever try made them: a label that tells tasks apart."""
    return hashlib.sha256(canonical_json([dag_id, run_id, stage, index]).encode()).hexdigest()[:32]


def manifest(run: StageRun, again: Again) -> Json:
    """Return the pod of a try. Raises ConfigError where no image or connection is known."""
    stage, own = run.stage, run.stage.type == "container"
    profile = run.config.profiles.get(stage.profile or "", {})
    secrets = _secrets(run)
    told = _told(run, again)
    spec: Json = {
        "restartPolicy": "Never",
        "serviceAccountName": profile.get("serviceAccount") or os.environ.get(ACCOUNT_ENV) or "adutora-stage",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE,
        "activeDeadlineSeconds": stage.timeout,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [_empty("work", stage.resources.get("scratch") or SCRATCH), *(volume for volume, _ in secrets)],
        "containers": [_own_image(run, again) if own else _stage(stage, again, told, secrets)],
    }  # fmt: skip
    if own:
        spec["volumes"] += [_empty("exchange", SCRATCH), _empty("tmp", stage.resources.get("scratch") or SCRATCH)]
        if stage.block.get("connections"):
            spec["initContainers"] = [_connections(told, secrets)]
    for ours, theirs in (
        ("nodeSelector", "nodeSelector"), ("tolerations", "tolerations"), ("priorityClass", "priorityClassName"),
    ):  # fmt: skip
        if profile.get(ours):
            spec[theirs] = profile[ours]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(run, again), "spec": spec}
    if stage.engine == "spark":
        become_driver(pod, stage, profile)
    return pod


def memory_of(stage: StageConfig, again: Again) -> int | None:
    """Return the bytes of memory that a pod gets."""
    return again.memory or stage.resources.get("memory")


def _metadata(run: StageRun, again: Again) -> Json:
    key = task_key(run.config.dag_id, run.run.id, run.stage.name, run.index)
    owner = {"apiVersion": "adutora.dev/v1alpha1", "kind": "Pipeline", "name": run.config.name, "uid": run.owner}
    return {
        # Gone when the Pipeline is, whoever is left to remove it.
        **({"ownerReferences": [owner]} if run.owner else {}),
        "name": f"{run.stage.name[:40].rstrip('-')}-{key[:10]}-{run.attempt}-{again.pods}",
        "namespace": run.config.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "adutora",
            "app.kubernetes.io/component": "stage",
            "adutora.dev/pipeline": run.config.name,
            "adutora.dev/stage": run.stage.name,
            "adutora.dev/run": safe_label(run.run.id),
            KEY: key,
            TRY: str(run.attempt),
        },
        "annotations": {CONFIG_HASH: run.config.hash, "adutora.dev/run-id": run.run.id},
    }


def _told(run: StageRun, again: Again) -> list[Json]:
    """Return the variables that tell a pod its task and its pipeline."""
    packed = base64.b64encode(gzip.compress(canonical_json(run.config.to_json()).encode(), mtime=0)).decode()
    pieces = [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]
    return [
        {"name": "ADUTORA_TASK", "value": plain(json.dumps(run.payload(again.memory)))},
        *({"name": f"ADUTORA_CONFIG_{number}", "value": piece} for number, piece in enumerate(pieces)),
        {"name": "ADUTORA_SECRETS_DIR", "value": SECRETS},
        {"name": "HOME", "value": WORK},
        {"name": "TMPDIR", "value": WORK},
    ]


def _stage(stage: StageConfig, again: Again, told: list[Json], secrets: list[tuple[Json, Json]]) -> Json:
    return {
        "name": CONTAINER,
        "image": _image(stage),
        "command": COMMAND,
        "env": told,
        "resources": _resources(stage, again),
        "securityContext": _confined(),
        "terminationMessagePath": TERMINATION,
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": "work", "mountPath": WORK}, *(mount for _, mount in secrets)],
    }


def _own_image(run: StageRun, again: Again) -> Json:
    """Return the container of a user's image. What it leaves in outputs.json is its termination message."""
    from adutora.runtime.substitution import as_text, expand

    block, scope = run.stage.block, run.scope()
    env = [{"name": each["name"], "value": as_text(expand(each["value"], scope))} for each in block.get("env") or []]
    container = {
        "name": CONTAINER,
        "image": block["image"],
        "env": [{**each, "value": plain(each["value"])} for each in env],
        "resources": _resources(run.stage, again),
        "securityContext": _confined(),
        "terminationMessagePath": OUTPUTS,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "work", "mountPath": WORK},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
            {"name": "exchange", "mountPath": EXCHANGE},
        ],
    }
    for ours in ("command", "args"):
        if block.get(ours):
            container[ours] = [plain(text) for text in block[ours]]
    return container


def _connections(told: list[Json], secrets: list[tuple[Json, Json]]) -> Json:
    """Return the init container that writes the files of a user's image's connections."""
    return {
        "name": "connections",
        "image": image_of("default"),
        "command": [*COMMAND, "connections"],
        "env": told,
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": _confined(),
        "terminationMessagePath": TERMINATION,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {"name": "work", "mountPath": WORK},
            {"name": "exchange", "mountPath": EXCHANGE},
            *(mount for _, mount in secrets),
        ],
    }


def image_of(stage_type: str, *, fallback: bool = True) -> str:
    """Return the image that runs stages of a type. Raises ConfigError where Airflow is told of none.

    Without `fallback` the default image is none: it has no Spark.
    """
    try:
        images: dict[str, str] = json.loads(os.environ.get(IMAGES_ENV, "{}"))
        return images.get(stage_type) or images["default" if fallback else stage_type]
    except (ValueError, KeyError, AttributeError):
        missing = "default" if fallback else stage_type
        raise ConfigError(
            f"{IMAGES_ENV} of Airflow names no image for {stage_type} stages",
            hint=f'the chart sets it, for example {{"{missing}": "registry.acme.io/adutora/{stage_type}:1.0"}}',
        ) from None


def _image(stage: StageConfig) -> str:
    """Return the image of a stage that is ours; of one on Spark the user's, made from ours, if there is one."""
    if stage.engine is None:
        return image_of(stage.type)
    return str(stage.block.get("image") or image_of(stage.engine, fallback=False))


def _resources(stage: StageConfig, again: Again) -> Json:
    requests: Json = {}
    memory = memory_of(stage, again)
    if stage.resources.get("cpu"):
        requests["cpu"] = f"{stage.resources['cpu']}m"
    if memory:
        requests["memory"] = str(memory)
    return {"requests": requests, "limits": {"memory": str(memory)} if memory else {}}


def _confined() -> Json:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def _empty(name: str, size: int) -> Json:
    return {"name": name, "emptyDir": {"sizeLimit": str(size)}}


def _secrets(run: StageRun) -> list[tuple[Json, Json]]:
    """Return a volume and its mount for each secret that the stage's connections name, and for no other."""
    own = run.stage.type == "container"
    names: set[str] = set()
    for connection in run.stage.block.get("connections") or () if own else run.stage.connections:
        reference: Any = run.config.connections.get(connection, {}).get("secretRef")
        if reference:
            names.add(reference["name"])
    return [
        (
            {"name": f"secret-{number}", "secret": {"secretName": name, "defaultMode": 0o440}},
            {"name": f"secret-{number}", "mountPath": f"{SECRETS}/{name}", "readOnly": True},
        )
        for number, name in enumerate(sorted(names))
    ]
