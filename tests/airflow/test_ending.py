"""How pods end, as the API server tells it, and what follows: done, another pod, another try, or failed for good."""

import json
from typing import Any

import pytest

from adutora.dagconfig import StageConfig
from adutora_airflow.ending import Ending, decide, ended, ending, started, trouble
from adutora_airflow.pod import Again
from tests.airflow.conftest import compiled, pipeline, sql

GIB = 1 << 30


def stage(**more: Any) -> StageConfig:
    return compiled(pipeline(sql("a", **more))).stage("a")


OWN = compiled(pipeline({"name": "a", "container": {"image": "x"}})).stage("a")


def pod(state: dict[str, Any] | None = None, phase: str = "Failed", **status: Any) -> dict[str, Any]:
    statuses = [] if state is None else [{"name": "stage", "image": "i", "state": state}]
    return {"metadata": {"name": "p"}, "status": {"phase": phase, "containerStatuses": statuses, **status}}


def over(code: int, told: dict[str, Any] | str | None = None, why: str = "Error", /, **status: Any) -> dict[str, Any]:
    message = told if isinstance(told, str) else json.dumps({"exitCode": code, **told}) if told is not None else None
    return pod({"terminated": {"exitCode": code, "reason": why, "message": message}}, **status)


@pytest.mark.parametrize(
    ("given", "code", "reason", "what"),
    [
        (over(0, {}, "Completed"), 0, None, "done"),
        (over(65, {"reason": "BadData", "error": "no"}), 65, "BadData", "fail"),
        (over(78, {"reason": "BadConfig", "error": "no"}), 78, "BadConfig", "fail"),
        (over(75, {"reason": "Temporary", "error": "no"}), 75, "Temporary", "retry"),
        (over(70, {"reason": "InternalError"}), 70, "InternalError", "retry"),
        (over(130, {"reason": "Stopped"}), 130, "Stopped", "retry"),
        (over(137, None, "Error"), 137, "Error", "retry"),
        (over(1, "no json at all"), 1, "Error", "retry"),
        (over(0, None, "Completed"), 70, "Completed", "retry"),  # it must say so itself
        (over(137, None, "OOMKilled"), 70, "OOMKilled", "retry"),
        (over(128, "exec: no such file", "StartError"), 78, "BadConfig", "fail"),
        (pod(reason="DeadlineExceeded", message="long"), 75, "Timeout", "retry"),
        (pod(reason="Evicted", message="The node was low on resource: memory."), 75, "Evicted", "again"),
        (over(137, None, "Error", reason="Evicted", message="low"), 75, "Evicted", "again"),
        (pod(conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]), 75,
         "Evicted", "again"),
        (over(130, {"reason": "Stopped"}, conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "x"}]),
         130, "Stopped", "again"),
        (over(65, {"reason": "BadData"}, conditions=[{"type": "DisruptionTarget", "status": "True", "reason": "x"}]),
         65, "BadData", "fail"),
        (pod(reason="Odd", message="who knows"), 70, "Odd", "retry"),
    ],
)  # fmt: skip
def test_ends(given: dict[str, Any], code: int, reason: str | None, what: str) -> None:
    assert ended(given)
    end = ending(given, stage())
    assert (end.code, end.reason) == (code, reason)
    assert decide(end, stage(), Again())[0] == what
    assert str(end)


def test_out_of_memory_gets_twice_as_much_up_to_the_cap() -> None:
    capped = stage(resources={"memory": "1Gi", "maxMemory": "3Gi"})
    end, again, seen = ending(over(137, None, "OOMKilled"), capped), Again(), []
    while True:
        what, again = decide(end, capped, again)
        if what != "again":
            break
        seen.append(again.memory)
    assert seen == [2 * GIB, 3 * GIB]
    assert what == "retry"
    assert again.evictions == 0


def test_an_evicted_pod_is_made_again_five_times() -> None:
    end, again, made = Ending(75, "Evicted", disrupted=True), Again(), 0
    while decide(end, stage(), again)[0] == "again":
        again, made = decide(end, stage(), again)[1], made + 1
    assert made == 5
    assert decide(end, stage(), again)[0] == "retry"


@pytest.mark.parametrize(
    ("given", "code", "outputs"),
    [
        (over(0, '{"n": 3}', "Completed"), 0, {"n": 3}),
        (over(0, "", "Completed"), 0, {}),
        (over(0, "[1]", "Completed"), 65, None),
        (over(0, "no json", "Completed"), 65, None),
        (over(75, "{}"), 75, None),
        (over(3, None), 3, None),
        (over(127, None), 78, None),
    ],
)
def test_an_image_of_the_users_speaks_by_its_code(given: dict[str, Any], code: int, outputs: Any) -> None:
    end = ending(given, OWN)
    assert end.code == code
    assert end.outcome.get("outputs") == outputs


def test_connections_that_cannot_be_written() -> None:
    told = json.dumps({"exitCode": 78, "error": "no secret", "reason": "BadConfig"})
    given = pod(initContainerStatuses=[
        {"name": "connections", "state": {"terminated": {"exitCode": 78, "message": told}}},
    ])  # fmt: skip
    assert str(ending(given, OWN)) == "no secret"
    assert ending(given, OWN).code == 78


def test_what_keeps_it_from_starting() -> None:
    def waiting(reason: str, message: str) -> Any:
        return trouble(pod({"waiting": {"reason": reason, "message": message}}, "Pending"))

    end, patience = waiting("ImagePullBackOff", "Back-off: ErrImagePull: manifest unknown")
    assert (end.code, patience) == (78, 20)
    assert "image i cannot be pulled: manifest unknown" in str(end)
    end, patience = waiting("ErrImagePull", "dial tcp: i/o timeout")
    assert (end.code, patience) == (75, 120)
    assert waiting("CreateContainerConfigError", 'secret "x" not found')[0].code == 78
    assert waiting("ContainerCreating", "") is None
    lonely = pod(None, "Pending", conditions=[
        {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient memory."},
    ])  # fmt: skip
    assert "Insufficient memory" in str(trouble(lonely))


def test_states() -> None:
    assert not ended(pod({"running": {}}, "Running"))
    assert started(pod({"running": {}}, "Running"))
    assert not started(pod({"waiting": {}}, "Pending"))
    assert ended(over(0, {}, phase="Running"))  # a side-car of the mesh may still run
