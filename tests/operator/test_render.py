"""Status and objects: what each state looks like to who asks kubectl."""

from typing import Any

import pytest

from adutora_operator.airflow import NOT_CONFIGURED, NOT_POLLED, View
from adutora_operator.decide import Decision
from adutora_operator.judge import Verdict
from adutora_operator.render import pipeline_status, project_status, revision

T0, T1, T2 = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z"
GOOD = Verdict(True, "Valid", "no errors", "d")
BAD = Verdict(False, "InvalidSpec", "spec.owner: must be text")
RUNS = Decision(1, None, {1: "d"})
Json = dict[str, Any]


def pipeline(status: Json | None = None, generation: int = 1, **spec: Any) -> Json:
    metadata = {"name": "p", "namespace": "team", "uid": "me", "generation": generation}
    return {"metadata": metadata, "spec": spec, "status": status or {}}


def words(status: Json) -> dict[str, str]:
    return {each["type"]: f"{each['status']} {each['reason']}" for each in status["conditions"]}


CASES = {
    "runs": ({}, GOOD, RUNS, NOT_CONFIGURED, "True Rendered", "Unknown NotWatched", "True Ready"),
    "not read yet": ({}, GOOD, RUNS, View(), "True Rendered", "Unknown AwaitingAirflow", "False AwaitingAirflow"),
    "not polled yet": ({}, GOOD, RUNS, NOT_POLLED, "True Rendered", "Unknown AwaitingAirflow", "False AwaitingAirflow"),
    "import error": ({}, GOOD, RUNS, View(error="boom"), "True Rendered", "False ImportError", "False ImportError"),
    "suspended": ({"suspend": True}, GOOD, RUNS, NOT_CONFIGURED, "True Rendered", "Unknown NotWatched", "True Suspended"),
    "pinned": ({}, GOOD, Decision(1, None, {1: "c", 2: "d"}, pin=1), NOT_CONFIGURED, "True Rendered", "Unknown NotWatched", "True Pinned"),
    "a bad edit": ({}, BAD, RUNS, NOT_CONFIGURED, "False Refused", "Unknown NotWatched", "True LastGoodRevision"),
    "never right": ({}, BAD, Decision(None, None, {}), NOT_CONFIGURED, "False Refused", "Unknown NoRevision", "False InvalidSpec"),
    "lost": ({}, BAD, Decision(None, None, {1: "d"}, trouble="RevisionLost"), NOT_CONFIGURED, "False Refused", "Unknown NoRevision", "False RevisionLost"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_conditions(name: str) -> None:
    spec, verdict, decision, view, rendered, parsed, ready = CASES[name]
    status = pipeline_status(pipeline(**spec), verdict, decision, view, 0, T1)
    accepted = "True Valid" if verdict.accepted else "False InvalidSpec"
    assert words(status) == {"Accepted": accepted, "Rendered": rendered, "Parsed": parsed, "Ready": ready}
    # The same state again is the same status, whatever the time.
    assert pipeline_status(pipeline(status, **spec), verdict, decision, view, 0, T2) == status


def test_a_transition_moves_with_the_status_alone() -> None:
    first = pipeline_status(pipeline(), GOOD, RUNS, NOT_CONFIGURED, 0, T0)
    second = pipeline_status(pipeline(first, 2), BAD, RUNS, NOT_CONFIGURED, 0, T1)
    times = {each["type"]: each["lastTransitionTime"] for each in second["conditions"]}
    assert times == {"Accepted": T1, "Rendered": T1, "Parsed": T0, "Ready": T0}
    assert {each["observedGeneration"] for each in second["conditions"]} == {2}


def test_read_by_airflow_once_a_run_would_be_of_the_revision() -> None:
    def parsed(view: View, status: Json | None = None, decision: Decision = RUNS, since: int = 100) -> Json:
        return pipeline_status(pipeline(status), GOOD, decision, view, since, T2)

    waiting = pipeline_status(pipeline(), GOOD, RUNS, View(1, 100), 0, T1)
    assert words(waiting)["Parsed"] == "Unknown AwaitingAirflow"  # nobody can have read what is written only now
    for view in (View(), View(None, 100), View(2, 200), View(1, 99), View(1)):
        assert words(parsed(view, waiting))["Parsed"] == "Unknown AwaitingAirflow", view
    read = parsed(View(1, 100), waiting)
    assert (words(read)["Parsed"], words(read)["Ready"]) == ("True Parsed", "True Ready")
    # An Airflow that is silent after a restart of the operator changes nothing.
    assert parsed(NOT_POLLED, read) == read
    # Nor does a restart, after which it is not known since when the revision runs.
    assert parsed(View(1, 99), read, since=0) == read
    # The next revision is waited for again: shown, but booked under the version of the one before, and then right.
    second = Decision(2, 2, {1: "d", 2: "e"})
    written = parsed(View(1, 100), read, second, 0)
    assert words(written)["Parsed"] == "Unknown AwaitingAirflow"
    assert words(parsed(View(2, 100), written, second, 200))["Ready"] == "False AwaitingAirflow"
    assert words(parsed(View(2, 200), written, second, 200))["Ready"] == "True Ready"


def test_the_revision_of_the_last_run_stays_known() -> None:
    first = {"id": "r", "state": "running", "revision": 3}
    status = pipeline_status(
        pipeline({"lastRun": first}), GOOD, RUNS, View(last_run={"id": "r", "state": "success"}), 0, T0
    )
    assert status["lastRun"] == {"id": "r", "state": "success", "revision": 3}
    other = pipeline_status(pipeline(status), GOOD, RUNS, View(last_run={"id": "s", "state": "queued"}), 0, T0)
    assert other["lastRun"] == {"id": "s", "state": "queued"}


def test_conditions_of_others_and_the_last_run_stay() -> None:
    old = {
        "conditions": [{"type": "Other", "status": "True", "reason": "x", "lastTransitionTime": T0}],
        "lastRun": {"id": "r"},
    }
    status = pipeline_status(pipeline(old), GOOD, RUNS, NOT_CONFIGURED, 0, T1)
    assert status["conditions"][-1] == old["conditions"][0]
    assert status["lastRun"] == {"id": "r"}
    newer = pipeline_status(pipeline(status), GOOD, RUNS, View(last_run={"id": "s"}), 0, T1)
    assert newer["lastRun"] == {"id": "s"}


def test_a_long_message_is_cut() -> None:
    status = pipeline_status(
        pipeline(), Verdict(False, "InvalidSpec", "x" * 100_000), Decision(None, None, {}), View(), 0, T0
    )
    assert all(len(each["message"]) <= 16_000 for each in status["conditions"])


def test_project() -> None:
    body = {"metadata": {"name": "default", "generation": 3}}
    status = project_status(body, BAD, T0)
    assert words(status) == {"Accepted": "False InvalidSpec", "Ready": "False InvalidSpec"}
    assert project_status({**body, "status": status}, BAD, T1) == status
    assert words(project_status(body, GOOD, T0))["Ready"] == "True Ready"


def test_a_revision_is_owned_by_its_pipeline() -> None:
    body = revision(pipeline(), 3, "d", "{}")
    assert body["metadata"]["name"] == "p-3"
    assert body["metadata"]["ownerReferences"][0]["uid"] == "me"
    assert body["spec"] == {"pipeline": "p", "sequence": 3, "hash": "d", "config": "{}"}
