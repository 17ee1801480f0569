"""The kubectl plugin, against a server that answers as Airflow does and a program `kubectl` that prints what it is told."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError
from adutora.kubectl.airflow import typed
from adutora.kubectl.kubernetes import Kubectl
from adutora.kubectl.plugin import main
from adutora.kubectl.why import last_errors, outcome_text, pod_troubles

DAG = "/api/v2/dags/team.shop"
RUN = {
    "dag_run_id": "manual__1", "state": "failed", "run_type": "manual", "start_date": "2026-05-10T12:00:00Z",
    "duration": 3.2,
}  # fmt: skip


def task(name: str, state: str | None, index: int = -1, start: str | None = "2026-05-10T12:00:00Z") -> dict[str, Any]:
    return {
        "dag_id": "team.shop", "dag_run_id": "manual__1", "task_id": name, "state": state, "map_index": index,
        "try_number": 2, "start_date": start,
    }  # fmt: skip


class Plugin:
    """The plugin with an Airflow and a kubectl of the test's own."""

    def __init__(self, folder: Path, server: Any, answer: Any) -> None:
        self.folder, self.server, self.answer = folder, server, answer
        (folder / "answers").mkdir()
        (folder / "kubectl").write_text(
            '#!/bin/sh\nfile="$ANSWERS/$1-$2"\n[ -f "$file" ] && exec cat "$file"\necho "Error: $1 $2 not found" >&2\nexit 1\n'
        )
        (folder / "kubectl").chmod(0o755)
        self.on("POST /auth/token", {"access_token": "t0ken"}, path="/auth/token")

    def kubectl(self, call: str, value: Any) -> None:
        (self.folder / "answers" / call).write_text(json.dumps(value))

    def on(self, _: str, body: Any, *, path: str, status: int = 200) -> None:
        self.server.on(path, self.answer(status, body))

    def __call__(self, command: str, *arguments: str) -> int:
        given = ["--namespace", "team", "--url", self.server.url, "--user", "me"]
        return main([command, *arguments[:1], *given, *arguments[1:]])


@pytest.fixture
def plugin(tmp_path: Path, server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("ANSWERS", str(tmp_path / "answers"))
    monkeypatch.setenv("ADUTORA_AIRFLOW_PASSWORD", "s3cret")
    return Plugin(tmp_path, server, answer)


def test_trigger_gives_values_their_types(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    schemas = {"n": "integer", "day": "string", "full": "boolean"}
    params = {name: {"value": None, "schema": {"type": kind}} for name, kind in schemas.items()}
    plugin.on("", {"params": params}, path=f"{DAG}/details")
    plugin.on("", {**RUN, "state": "queued"}, path=f"{DAG}/dagRuns")
    plugin.on("", {**RUN, "state": "success"}, path=f"{DAG}/dagRuns/manual__1")
    assert plugin("trigger", "shop", "-p", "n=3", "-p", "day=2026-01-01", "-p", "full=true", "--wait") == 0
    assert capsys.readouterr().out == "manual__1\nsuccess\n"
    sent = next(request for request in plugin.server.requests if request.path == f"{DAG}/dagRuns")
    assert sent.json() == {"logical_date": None, "conf": {"n": 3, "day": "2026-01-01", "full": True}}
    assert sent.headers["authorization"] == "Bearer t0ken"


def test_values_that_do_not_fit_are_named_all_at_once() -> None:
    declared = {"n": {"schema": {"type": ["null", "integer"]}}, "full": {"schema": {"type": "boolean"}}}
    assert typed(declared, ["n=null"]) == {"n": None}
    with pytest.raises(ConfigError) as error:
        typed(declared, ["n=1.5", "ful=true", "full=1", "x", "n=true"])
    assert error.value.message.count(";") >= 4
    assert "did you mean `full`" in error.value.message


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(400, 65, "n is too large"), (401, 78, "--user"), (403, 78, "--user"), (404, 78, "(404)"), (503, 75, "(503)")],
)
def test_refusals_say_what_happens_next(
    plugin: Plugin, capsys: pytest.CaptureFixture[str], status: int, code: int, said: str
) -> None:
    plugin.on("", {"detail": "n is too large"}, path=f"{DAG}/dagRuns", status=status)
    assert plugin("trigger", "shop") == code
    assert said in capsys.readouterr().err


def test_runs_and_logs(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    plugin.on("", {"dag_runs": [RUN]}, path=f"{DAG}/dagRuns")
    assert plugin("runs", "shop") == 0
    assert "manual__1  failed  manual  2026-05-10 12:00:00  3" in capsys.readouterr().out
    tasks = [task("land", "success"), task("fan", "failed", 1), task("last", None, start=None)]
    plugin.on("", {"task_instances": tasks, "total_entries": 3}, path=f"{DAG}/dagRuns/manual__1/taskInstances")
    for name in ("land", "fan"):
        lines = {
            "content": [{"event": "::group::x"}, {"timestamp": "T", "event": f"line of {name}"}],
            "continuation_token": None,
        }
        plugin.on("", lines, path=f"{DAG}/dagRuns/manual__1/taskInstances/{name}/logs/2")
    assert plugin("logs", "shop") == 0
    assert capsys.readouterr().out == (
        "== fan[1]: failed\nT line of fan\n== land: success\nT line of land\n== last: not started\n"
    )
    assert plugin("logs", "shop", "manual__1", "land") == 0
    assert capsys.readouterr().out == "== land: success\nT line of land\n"
    assert plugin("logs", "shop", "manual__1", "nope") == 78
    assert "its stages: fan, land, last" in capsys.readouterr().err


def pipeline(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "shop", "namespace": "team", "generation": 2}, "spec": {}, "status": status}


def condition(kind: str, status: str, reason: str = "", message: str = "", generation: int = 2) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation}


def test_why_names_everything_that_is_wrong(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [condition("Accepted", "False", "BadSpec", "spec.stages[0]: no such table"), condition("Rendered", "True")]
    plugin.kubectl("get-pipelines.adutora.dev", pipeline(conditions=bad))
    pod = {
        "metadata": {"name": "land-1"},
        "status": {
            "containerStatuses": [{"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no image"}}}]
        },
    }
    plugin.kubectl("get-pods", {"items": [pod]})
    stack = "Traceback\nValueError: bad config\n"
    errors = [
        {"filename": "/b/other.team.shop.py", "stack_trace": "x"},
        {"filename": "/b/team.shop.py", "stack_trace": stack},
    ]
    plugin.on("", {"import_errors": errors}, path="/api/v2/importErrors")
    plugin.on("", {"dag_runs": [RUN]}, path=f"{DAG}/dagRuns")
    tasks = [task("land", "failed"), task("next", "upstream_failed")]
    plugin.on("", {"task_instances": tasks, "total_entries": 2}, path=f"{DAG}/dagRuns/manual__1/taskInstances")
    log = [{"event": "fine", "level": "info"}, {"event": "no file matches 'a.csv'\nmore", "level": "error"}]
    plugin.on(
        "", {"content": log, "continuation_token": None}, path=f"{DAG}/dagRuns/manual__1/taskInstances/land/logs/2"
    )
    assert plugin("why", "shop") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Accepted is False: BadSpec: spec.stages[0]: no such table",
        "pod land-1: ImagePullBackOff: no image",
        "Airflow cannot read it: ValueError: bad config",
        "its last run, manual__1, failed",
        "  stage land failed at try 2",
        "    no file matches 'a.csv'",
        "  stage next did not run: one before it failed",
    ]


def test_why_of_a_pipeline_that_is_well(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    plugin.kubectl("get-pipelines.adutora.dev", pipeline(conditions=[condition("Ready", "True")]))
    plugin.kubectl("get-pods", {"items": []})
    plugin.on("", {"import_errors": []}, path="/api/v2/importErrors")
    plugin.on("", {"dag_runs": [{**RUN, "state": "success"}]}, path=f"{DAG}/dagRuns")
    assert plugin("why", "shop") == 0
    assert capsys.readouterr().out == "nothing is wrong with pipeline shop\n"


def test_why_tells_what_it_can_where_airflow_is_down(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    plugin.kubectl("get-pipelines.adutora.dev", pipeline(conditions=[condition("Ready", "True", generation=1)]))
    plugin.on("", {"detail": "down"}, path="/auth/token", status=503)
    assert plugin("why", "shop") == 0
    out = capsys.readouterr().out
    assert "Ready speaks of generation 1" in out
    assert "its pods cannot be read" in out
    assert "Airflow's view of it is not known" in out
    assert plugin("why", "nope") == 0  # kubectl answers the same here
    plugin.kubectl("get-pipelines.adutora.dev", pipeline())
    assert plugin("why", "shop") == 0
    assert "the operator has not seen it" in capsys.readouterr().out


def test_a_pipeline_that_is_not_there(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("why", "shop") == 78
    assert "not found" in capsys.readouterr().err


def test_the_platform_and_its_login_are_found(
    plugin: Plugin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = {"data": {"username": "YWRtaW4=", "password": "cGFzcw=="}}
    plugin.kubectl("get-services", {"items": [{"metadata": {"namespace": "adutora"}}]})
    plugin.kubectl("get-secret", secret)
    port = plugin.server.port
    (plugin.folder / "answers" / "port-forward---namespace").write_text(f"Forwarding from 127.0.0.1:{port} -> 8080\n")
    plugin.on("", {"dag_runs": []}, path=f"{DAG}/dagRuns")
    assert main(["runs", "shop", "--namespace", "team"]) == 0
    assert capsys.readouterr().out == "no runs\n"
    assert plugin.server.requests[0].json() == {"username": "admin", "password": "pass"}
    plugin.kubectl("get-services", {"items": []})
    assert main(["runs", "shop", "--namespace", "team"]) == 78
    assert "--platform NAMESPACE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('{"error": "no rows", "hint": "look", "uri": "s3://b/x"}', "no rows (look); the whole outcome: s3://b/x"),
        ("not json", "ended with code 65 (Error)"),
        (None, "ended with code 65 (Error)"),
        ("[1]", "ended with code 65 (Error)"),
    ],
)
def test_outcomes_of_pods_in_words(message: str | None, said: str) -> None:
    ended = {"exitCode": 65, "reason": "Error", "message": message}
    assert outcome_text(ended).endswith(said)
    assert list(pod_troubles({"status": {"containerStatuses": [{"state": {"terminated": ended}}]}})) == [
        outcome_text(ended)
    ]


def test_pods_that_cannot_be_placed() -> None:
    status = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}]
    }
    assert list(pod_troubles({"status": status})) == ["Unschedulable: no room"]
    evicted = {"phase": "Failed", "reason": "Evicted", "message": "disk"}
    assert list(pod_troubles({"status": evicted})) == ["Evicted: disk"]


def test_a_log_without_errors_shows_its_end() -> None:
    lines = [{"event": f"l{n}", "level": "info"} for n in range(9)]
    assert last_errors(iter(lines)) == ["l4", "l5", "l6", "l7", "l8"]


def test_a_port_forward_lasts_as_long_as_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "kubectl"
    program.write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho 'Forwarding from 127.0.0.1:4711 -> 8080'\nexec sleep 60\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("adutora.kubectl.kubernetes._WAIT", 0.2)
    with Kubectl().forwarded("team") as url:
        time.sleep(0.5)
        assert url == "http://127.0.0.1:4711"
        assert "sleep" in Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/cmdline").read_text()


def spark_pod(name: str, component: str, phase: str, **status: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component, "adutora.dev/stage": "count"}
    if component == "stage":
        labels["adutora.dev/engine"] = "spark"
    return {"metadata": {"name": name, "namespace": "team", "labels": labels}, "status": {"phase": phase, **status}}


NO_ROOM = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes: 1 Insufficient cpu.",
}


def test_why_says_what_executors_wait_for_and_where_the_ui_is(
    plugin: Plugin, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin.kubectl("get-pipelines.adutora.dev", pipeline(conditions=[condition("Accepted", "True")]))
    waiting = spark_pod("count-1-exec-1", "executor", "Pending", conditions=[NO_ROOM])
    plugin.kubectl("get-pods", {"items": [spark_pod("count-1", "stage", "Running"), waiting]})
    plugin.on("", {"import_errors": [], "total_entries": 0}, path="/api/v2/importErrors")
    plugin.on("", {"dag_runs": []}, path=f"{DAG}/dagRuns")
    assert plugin("why", "shop") == 0
    assert capsys.readouterr().out.splitlines() == [
        "executor count-1-exec-1 of stage count: Unschedulable: 0/1 nodes: 1 Insufficient cpu.",
        "stage count runs on Spark; its UI, at http://localhost:4040: "
        "kubectl port-forward --namespace team pod/count-1 4040",
    ]


def test_logs_of_executors(plugin: Plugin, capsys: pytest.CaptureFixture[str]) -> None:
    pods = [
        spark_pod("d", "stage", "Running"),
        spark_pod("e-1", "executor", "Running"),
        spark_pod("e-2", "executor", "Pending"),
    ]
    plugin.kubectl("get-pods", {"items": pods})
    (plugin.folder / "answers" / "logs-e-1").write_text("one\ntwo\n")
    said = "== executor e-1 of stage count: Running\none\ntwo\n== executor e-2 of stage count: Pending\n"
    assert plugin("logs", "shop", "--executors") == 0
    assert capsys.readouterr().out == said
    assert plugin("logs", "shop", "count", "--executors") == 0
    assert capsys.readouterr().out == said
    assert plugin("logs", "shop", "other", "--executors") == 0
    assert "has no executors now" in capsys.readouterr().out
