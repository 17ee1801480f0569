"""Objects and status, from what was decided. Pure."""

from adutora_operator.airflow import View
from adutora_operator.conditions import Condition, merged
from adutora_operator.decide import Decision
from adutora_operator.judge import Verdict
from adutora_operator.objects import Json

API_VERSION = "adutora.dev/v1alpha1"
MAX_MESSAGE = 16_000


def revision(pipeline: Json, sequence: int, digest: str, config: str) -> Json:
    """Return the PipelineRevision that holds `config`, owned by its Pipeline: gone when that is gone."""
    metadata = pipeline["metadata"]
    owner = {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "PipelineRevision",
        "metadata": {
            "name": f"{metadata['name']}-{sequence}",
            "namespace": metadata["namespace"],
            "labels": {"adutora.dev/pipeline": metadata["name"], "app.kubernetes.io/managed-by": "adutora"},
            "ownerReferences": [owner],
        },
        "spec": {"pipeline": metadata["name"], "sequence": sequence, "hash": digest, "config": config},
    }


def pipeline_status(pipeline: Json, verdict: Verdict, decision: Decision, view: View, since: int, now: str) -> Json:
    """Return the whole status of a Pipeline. `since` is the version since which its revision is the one to run."""
    old, spec = pipeline.get("status") or {}, pipeline.get("spec") or {}
    conditions = [accepted(verdict), rendered(verdict, decision), parsed(old, decision, view, since)]
    conditions.append(ready(verdict, decision, conditions[-1], spec.get("suspend") is True))
    generation = pipeline["metadata"].get("generation", 1)
    status = {
        **old,
        "observedGeneration": generation,
        "conditions": merged(old.get("conditions") or [], conditions, generation, now),
        "revision": decision.running,
        "revisions": [{"sequence": number, "hash": digest} for number, digest in sorted(decision.books.items())],
        "lastRun": last_run(old.get("lastRun"), view),
    }
    return {name: value for name, value in status.items() if value is not None}


def project_status(project: Json, verdict: Verdict, now: str) -> Json:
    """Return the whole status of a Project."""
    old, generation = project.get("status") or {}, project["metadata"].get("generation", 1)
    word = "Ready" if verdict.accepted else verdict.reason
    conditions = [accepted(verdict), Condition("Ready", verdict.accepted, word, verdict.message[:MAX_MESSAGE])]
    after = merged(old.get("conditions") or [], conditions, generation, now)
    return {**old, "observedGeneration": generation, "conditions": after}


def accepted(verdict: Verdict) -> Condition:
    """Is the spec right?"""
    return Condition("Accepted", verdict.accepted, verdict.reason, verdict.message[:MAX_MESSAGE])


def rendered(verdict: Verdict, decision: Decision) -> Condition:
    """Does a revision hold what the spec says now?"""
    if not verdict.accepted:
        return Condition("Rendered", False, "Refused", "the spec is refused, so no revision holds it")
    return Condition("Rendered", True, "Rendered", f"revision {max(decision.books)} holds it")


def last_run(old: Json | None, view: View) -> Json | None:
    """Return the last run. Which revision it began with is kept where Airflow's view does not tell it any more."""
    new = view.last_run
    if new is None or old is None or old.get("id") != new["id"] or "revision" not in old:
        return new or old
    return {"revision": old["revision"], **new}


def parsed(old: Json, decision: Decision, view: View, since: int) -> Condition:
    """Has Airflow read the revision that runs, so that a run that begins now is one of it?"""
    before = next((each for each in old.get("conditions") or [] if each["type"] == "Parsed"), None)
    number, same = decision.running, decision.running == old.get("revision")
    waiting = Condition("Parsed", None, "AwaitingAirflow", f"Airflow has not read revision {number} yet")
    if number is None:
        return Condition("Parsed", None, "NoRevision", "there is no revision to read")
    if not view.configured:
        return Condition("Parsed", None, "NotWatched", "the operator was not told where Airflow is")
    if not view.polled:
        kept = before is not None and same and before["status"] != "Unknown"
        return Condition.of(before) if kept and before else waiting
    if view.error is not None:
        return Condition("Parsed", False, "ImportError", view.error)
    # What the DAG shows is one thing, and the version that binds its next run another: Airflow books the two apart.
    if not same or view.revision != number or view.version < since:
        return waiting
    return Condition("Parsed", True, "Parsed", f"Airflow has read revision {number}")


def ready(verdict: Verdict, decision: Decision, read: Condition, suspended: bool) -> Condition:
    """Does a revision run, and which, and why that one?"""
    number = decision.running
    if number is None:
        reason = decision.trouble or verdict.reason
        return Condition("Ready", False, reason, f"no revision runs: {_why(verdict, decision)}"[:MAX_MESSAGE])
    if read.status is False or read.reason == "AwaitingAirflow":
        return Condition("Ready", False, read.reason, read.message)
    if decision.trouble or not verdict.accepted:
        reason = decision.trouble or "LastGoodRevision"
        return Condition("Ready", True, reason, f"revision {number} runs: {_why(verdict, decision)}"[:MAX_MESSAGE])
    if suspended:
        return Condition("Ready", True, "Suspended", f"revision {number} is paused by spec.suspend")
    pinned = decision.pin is not None
    message = f"revision {number} runs" + (", as spec.revision says" if pinned else "")
    return Condition("Ready", True, "Pinned" if pinned else "Ready", message)


def _why(verdict: Verdict, decision: Decision) -> str:
    if decision.trouble == "RevisionNotFound":
        return f"there is no revision {decision.pin} (kept are {', '.join(map(str, decision.books)) or 'none'})"
    lost = "the newest revision was deleted, and what it held cannot be made again; " if decision.trouble else ""
    return lost + verdict.message
