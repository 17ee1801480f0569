"""How a stage's pod ended, read off its status, and what follows from it. Pure."""

import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from adutora.dagconfig import Json, StageConfig
from adutora.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK, EXIT_SOFTWARE, EXIT_TEMPORARY
from adutora_airflow.pod import CONTAINER, Again, memory_of

MOST_EVICTIONS = 5
Next = Literal["done", "again", "retry", "fail"]
# Reasons of a pod (`status.reason`) or of its condition DisruptionTarget: the node, not the stage, was at fault.
_DISRUPTED = frozenset({
    "Evicted", "Preempting", "Preempted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity",
    "PreemptionByScheduler", "DeletionByTaintManager", "EvictionByEvictionAPI", "DeletionByPodGC",
    "TerminationByKubelet", "UnexpectedAdmissionError", "OutOfmemory", "OutOfcpu", "OutOfpods",
})  # fmt: skip
SURE = 20.0  # seconds after which what looks hopeless is
PULL = 120.0  # seconds for a registry that does not answer
# Waiting reasons that no patience mends; and what a registry says of an image that it does not have or give.
_HOPELESS = frozenset({"InvalidImageName", "CreateContainerConfigError", "ErrImageNeverPull"})
_REFUSED = ("not found", "manifest unknown", "denied", "unauthorized", "invalid reference", "does not exist")
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"})


@dataclass(frozen=True)
class Ending:
    """How a pod ended. `code` is an exit code of ours; `outcome` what the stage said of itself, where it did."""

    code: int
    reason: str | None = None
    error: str | None = None
    hint: str | None = None
    outcome: Json = field(default_factory=dict)
    disrupted: bool = False

    def __str__(self) -> str:
        """Say what is wrong, and what would be right."""
        said = self.error or f"the stage ended with code {self.code}"
        return f"{said} ({self.hint})" if self.hint else said


def phase(pod: Json) -> str:
    """Return the pod's phase."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def container(pod: Json, name: str = CONTAINER) -> Json:
    """Return the status of a container, empty before there is one."""
    status = pod.get("status") or {}
    every = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return next((each for each in every if each["name"] == name), {})


def ended(pod: Json) -> bool:
    """Say whether the stage's container has ended, or never will run."""
    return phase(pod) in ("Succeeded", "Failed") or "terminated" in (container(pod).get("state") or {})


def started(pod: Json) -> bool:
    """Say whether the stage's container runs or ran, so that it has a log."""
    state = container(pod).get("state") or {}
    return "running" in state or "terminated" in state


def ending(pod: Json, stage: StageConfig) -> Ending:
    """Read how a pod ended that has ended."""
    status = pod.get("status") or {}
    disruption = _disruption(pod)
    last = (container(pod).get("state") or {}).get("terminated")
    if pod["metadata"].get("deletionTimestamp") and disruption is None:
        disruption = "it was deleted by somebody else"
    if status.get("reason") == "DeadlineExceeded":
        return Ending(
            EXIT_TEMPORARY, "Timeout", f"took longer than its timeout of {stage.timeout} s",
            "raise timeout, or make it do less",
        )  # fmt: skip
    if last is None or (disruption and last.get("exitCode") != EXIT_OK and not _told(last)):
        return _without_container(pod, disruption)
    if last.get("reason") == "OOMKilled":
        return Ending(EXIT_SOFTWARE, "OOMKilled", "it was killed for want of memory", "raise resources.maxMemory")
    code = int(last.get("exitCode", EXIT_SOFTWARE))
    if stage.type == "container":
        return _of_own_image(code, last)
    told = _told(last)
    if told is None:
        return _untold(code, last)
    return Ending(
        code, told.get("reason"), told.get("error"), told.get("hint"), told,
        disrupted=bool(disruption) and code not in (EXIT_OK, EXIT_DATA, EXIT_CONFIG),
    )  # fmt: skip


def decide(end: Ending, stage: StageConfig, again: Again) -> tuple[Next, Again]:
    """Decide what follows: `again` makes another pod within the same try, `retry` another try, `fail` neither."""
    if end.code == EXIT_OK:
        return "done", again
    if end.disrupted and again.evictions < MOST_EVICTIONS:
        return "again", Again(again.pods + 1, again.evictions + 1, again.memory)
    if end.reason == "OOMKilled":
        memory, most = memory_of(stage, again), stage.resources.get("maxMemory")
        if memory and most and memory < most:
            return "again", Again(again.pods + 1, again.evictions, min(most, 2 * memory))
    return ("fail" if end.code in (EXIT_DATA, EXIT_CONFIG) else "retry"), again


def trouble(pod: Json) -> tuple[Ending, float] | None:
    """Return how it ends if it never starts, and after how many seconds; None if nothing is known to hinder it."""
    status = pod.get("status") or {}
    for each in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason"), waiting.get("message") or ""
        if reason in _HOPELESS:
            return Ending(EXIT_CONFIG, "BadConfig", f"{reason}: {message}"), SURE
        if reason in _PULLING:
            message = message.partition("ErrImagePull: ")[2] or message
            refused = any(sign in message.lower() for sign in _REFUSED)
            code, patience = (EXIT_CONFIG, SURE) if refused else (EXIT_TEMPORARY, PULL)
            return Ending(code, "ImagePull", f"image {each.get('image')} cannot be pulled: {message}"), patience
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            why = f"no node takes the pod: {condition.get('message') or condition.get('reason')}"
            return Ending(EXIT_TEMPORARY, "Unschedulable", why), math.inf
    return None


def _disruption(pod: Json) -> str | None:
    status = pod.get("status") or {}
    if status.get("reason") in _DISRUPTED:
        return f"{status['reason']}: {status.get('message') or ''}".rstrip(": ")
    for condition in status.get("conditions") or []:
        if condition["type"] == "DisruptionTarget" and condition["status"] == "True":
            return f"{condition.get('reason')}: {condition.get('message') or ''}".rstrip(": ")
    return None


def _without_container(pod: Json, disruption: str | None) -> Ending:
    """Read the end of a pod whose stage left no word: it was disrupted, or its init container failed."""
    status = pod.get("status") or {}
    if disruption:
        return Ending(EXIT_TEMPORARY, "Evicted", f"its pod was removed: {disruption}", disrupted=True)
    for each in status.get("initContainerStatuses") or []:
        last = (each.get("state") or {}).get("terminated")
        if last and last.get("exitCode"):
            told = _told(last) or {}
            error = told.get("error") or f"its connections could not be written: code {last['exitCode']}"
            return Ending(int(last["exitCode"]), told.get("reason"), error, told.get("hint"), told)
    why = ": ".join(filter(None, (status.get("reason"), status.get("message")))) or "its pod ended without a word"
    return Ending(EXIT_SOFTWARE, status.get("reason") or "NoOutcome", why)


def _of_own_image(code: int, last: Json) -> Ending:
    """Read the end of a user's image: its exit code, and the outputs that it wrote."""
    if code == EXIT_OK:
        outputs, wrong = _outputs(last)
        if wrong:
            return Ending(EXIT_DATA, "BadData", f"outputs.json {wrong}", "a JSON object of at most 2 KiB")
        return Ending(EXIT_OK, outcome={"outputs": outputs})
    reasons = {EXIT_DATA: "BadData", EXIT_CONFIG: "BadConfig", EXIT_TEMPORARY: "Temporary"}
    if code in (126, 127):
        return Ending(EXIT_CONFIG, "BadConfig", f"its image ended with code {code}: its command cannot be run")
    return Ending(code, reasons.get(code, "ContainerFailed"), f"its image ended with code {code}", "see the log")


def _outputs(last: Json) -> tuple[Json, str | None]:
    text = last.get("message") or ""
    if not text.strip():
        return {}, None
    try:
        outputs: Any = json.loads(text)
    except ValueError as error:
        return {}, f"is no JSON: {error}"
    return (outputs, None) if isinstance(outputs, dict) else ({}, "holds no JSON object")


def _told(last: Json) -> Json | None:
    """Return the outcome in a termination message, None where there is none."""
    try:
        told: Any = json.loads(last.get("message") or "")
    except ValueError:
        return None
    return told if isinstance(told, dict) and "exitCode" in told else None


def _untold(code: int, last: Json) -> Ending:
    if last.get("reason") in ("StartError", "ContainerCannotRun"):
        return Ending(EXIT_CONFIG, "BadConfig", f"its container cannot run: {last.get('message')}")
    signal = f" by signal {code - 128}" if code > 128 else ""
    return Ending(
        code or EXIT_SOFTWARE, last.get("reason") or "NoOutcome", f"the stage was ended{signal} with code {code}",
        "its log may say why",
    )  # fmt: skip
