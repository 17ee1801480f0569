"""A stage's pod: the real program in a process of its own, told by the environment, heard by its termination message."""

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adutora.dagconfig import DagConfig, StageConfig

pytestmark = pytest.mark.slow

RUN = {
    "id": "manual__2026-05-10T12:00:00+00:00", "date": "2026-05-10", "scheduled_at": None, "interval_start": None,
    "interval_end": None, "started_at": "2026-05-10T12:00:00+00:00", "trigger": "manual",
}  # fmt: skip


@dataclass
class Ended:
    """What a pod left."""

    code: int
    log: str
    raw: bytes
    message: Any

    @property
    def whole(self) -> Any:
        return json.loads(Path(self.message["uri"]).read_bytes())


class PodBench:
    """A folder with a lake, files and secrets, and pods that run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lake = root / "lake"
        self.files = root / "files" / "team" / "shop"
        self.files.mkdir(parents=True)
        self.termination = root / "termination-log"
        self.work = root / "work"
        self.project: dict[str, Any] = {"files_root": str(root / "files")}

    def config(self, *, kind: str = "sql", block: dict[str, Any] | None = None, **stage: Any) -> DagConfig:
        fields: dict[str, Any] = {
            "name": "stage", "type": kind, "block": block or {"query": "SELECT 1 AS a"}, "depends_on": (), "retries": 0,
            "retry_delay": 1, "timeout": 60, "resources": {"cpu": 1000, "memory": 1 << 30, "scratch": 1 << 30},
        }  # fmt: skip
        lake = {"root": str(self.lake), "connection": None, "layers": {}}
        return DagConfig(
            name="shop", namespace="team", stages=(StageConfig(**(fields | stage)),), timezone="UTC",
            **{"lake": lake, **self.project},
        )  # fmt: skip

    def env(self, config: DagConfig, **task: Any) -> dict[str, str]:
        data = {"stage": "stage", "run": RUN, "params": {}, "given_params": [], "attempt": 1, "item_index": None}
        text = base64.b64encode(gzip.compress(json.dumps(config.to_json()).encode())).decode()
        pieces = [text[at : at + 300] for at in range(0, len(text), 300)]
        return {
            "PATH": os.environ["PATH"],
            "ADUTORA_TASK": json.dumps(data | task),
            "ADUTORA_WORK": str(self.work),
            "ADUTORA_TERMINATION_LOG": str(self.termination),
            "ADUTORA_SECRETS_DIR": str(self.root / "secrets"),
            "ADUTORA_CONNECTIONS_DIR": str(self.root / "connections"),
            **{f"ADUTORA_CONFIG_{number}": piece for number, piece in enumerate(pieces)},
        }

    def secret(self, name: str, **keys: str) -> None:
        for key, value in keys.items():
            path = self.root / "secrets" / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value)

    def start(self, env: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
        self.work.mkdir(exist_ok=True)
        self.termination.write_text("x" * 4000)  # of an earlier container
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "adutora.runtime.pod", *arguments], env=env, cwd=self.root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def end(self, process: "subprocess.Popen[str]") -> Ended:
        log, _ = process.communicate(timeout=60)
        raw = self.termination.read_bytes()
        assert len(raw) <= 2048
        return Ended(process.returncode, log, raw, json.loads(raw))

    def run(self, env: dict[str, str], *arguments: str) -> Ended:
        return self.end(self.start(env, *arguments))


@pytest.fixture
def pod(tmp_path: Path) -> PodBench:
    return PodBench(tmp_path)


OUTPUT = {"table": "silver.a", "mode": "overwrite"}


def test_a_stage_runs_and_tells(pod: PodBench) -> None:
    config = pod.config(block={"query": "SELECT $(params.n) AS a, '$(run.date)' AS d"}, output=OUTPUT)
    ended = pod.run(pod.env(config, params={"n": 7}))
    assert ended.code == 0, ended.log
    message = ended.message
    assert message["exitCode"] == 0
    assert message["rowsOut"] == 1
    assert message["tables"] == [{"name": "silver.a", "version": 0, "changed": True}]
    assert message["outputs"] == {}
    assert message["truncated"] is False
    assert message["uri"] == f"{pod.lake}/_adutora/outcomes/team.shop/{RUN['id']}/stage.1.json"
    assert ended.whole["configHash"] == config.hash
    assert ended.whole["tables"][0]["total_rows"] == 1
    assert ended.whole["peakMemory"] > 1 << 20
    again = pod.run(pod.env(config, params={"n": 7}, attempt=2))
    assert again.message["tables"] == [{"name": "silver.a", "version": 0, "changed": True}]  # the same write, once


def test_files_of_a_mounted_volume(pod: PodBench) -> None:
    (pod.files / "in.csv").write_text("a,b\n1,x\n2,y\n")
    inputs = ({"name": "rows", "file": "$(params.path)"},)
    config = pod.config(block={"query": "SELECT * FROM rows"}, inputs=inputs, output=OUTPUT)
    ended = pod.run(pod.env(config, params={"path": "in.csv"}, given_params=["path"]))
    assert ended.code == 0, ended.log
    assert ended.message["rowsOut"] == 2


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/in.csv", "~/x.csv", "a/../../../secrets/s/key"])
def test_a_given_path_never_leaves_the_files(pod: PodBench, path: str) -> None:
    inputs = ({"name": "rows", "file": "$(params.path)", "format": "csv"},)
    config = pod.config(block={"query": "SELECT * FROM rows"}, inputs=inputs, output=OUTPUT)
    ended = pod.run(pod.env(config, params={"path": path}, given_params=["path"]))
    assert ended.code == 78
    assert path in ended.message["error"]


DECLARED = (
    {"name": "n", "type": "integer", "min": 1, "max": 9},
    {"name": "day", "type": "date"},
    {"name": "word", "type": "string", "pattern": "(a+)+b"},
    {"name": "mode", "type": "string", "enum": ["full", "quick"]},
)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 10}, "parameter n: 10 is more than max 9"),
        ({"n": "7"}, 'parameter n: "7" is no integer'),
        ({"n": None}, "parameter n: has no value"),
        ({"day": "2026-02-30"}, 'parameter day: "2026-02-30" is no date'),
        ({"word": "a" * 40}, f'parameter word: "{"a" * 40}" does not match the pattern (a+)+b'),  # Python: for ages
        ({"mode": "slow", "n": 0}, "; parameter mode: "),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["connections"]])
def test_values_are_checked_before_the_stage_runs(
    pod: PodBench, given: dict[str, Any], said: str, arguments: list[str]
) -> None:
    pod.project["params"] = DECLARED
    config = pod.config(block={"query": "SELECT 1 AS a"}, output=OUTPUT)
    values = {"n": 7, "day": "2026-02-28", "word": "aab", "mode": "full"}
    ended = pod.run(pod.env(config, params=values | given), *arguments)
    assert ended.code == 78, ended.log
    assert said in ended.message["error"]
    assert not pod.lake.joinpath("silver").exists()


def test_values_that_fit(pod: PodBench) -> None:
    pod.project["params"] = DECLARED
    values = {"n": 7, "day": "2026-02-28", "word": "aab", "mode": "full"}
    assert pod.run(pod.env(pod.config(output=OUTPUT), params=values)).code == 0


def test_a_look_for_new_files(pod: PodBench) -> None:
    """As the first task of a run that a `files` trigger starts: it reads the ledger and writes nothing."""
    config = pod.config(
        kind="ingest", block={"files": {"path": "*.csv", "read": "new"}}, output={"table": "bronze.a", "mode": "append"}
    )

    def new() -> Any:
        ended = pod.run(pod.env(config), "files")
        assert ended.code == 0, ended.log
        return ended.message["outputs"]["new"]

    assert new() == 0
    (pod.files / "a.csv").write_text("x\n1\n")
    assert (new(), new()) == (1, 1)
    assert pod.run(pod.env(config)).message["rowsOut"] == 1
    assert new() == 0
    os.utime(pod.files / "a.csv", (1, 1))
    assert new() == 0  # touched, and no new version
    (pod.files / "b.csv").write_text("x\n2\n")
    assert new() == 1
    whole = pod.config(kind="ingest", block={"files": {"path": "*.csv"}}, output=OUTPUT)
    assert pod.run(pod.env(whole), "files").message["outputs"] == {"new": None}
    assert pod.run(pod.env(pod.config(output=OUTPUT)), "files").code == 78


def test_people_are_told_by_a_pod(pod: PodBench, server: Any, answer: Any) -> None:
    hook = {"name": "hook", "webhook": {}, "secretRef": {"name": "hook"}}
    pod.project |= {"connections": {"hook": hook}, "notify": ({"events": ["failure"], "connection": "hook"},)}
    pod.secret("hook", url=f"{server.url}/s3cret-path")
    server.on("/s3cret-path", answer(200, {}))
    notice = {"pipeline": "team.shop", "run": "r", "state": "failure", "failed": [{"stage": "a", "error": "no rows"}]}
    env = pod.env(pod.config()) | {"ADUTORA_NOTICE": json.dumps(notice)}
    ended = pod.run(env, "notify")
    assert ended.code == 0, ended.log
    (request,) = server.requests
    assert json.loads(request.body)["failed"] == [{"stage": "a", "error": "no rows"}]
    assert "s3cret-path" not in ended.log
    server.on("/s3cret-path", answer(404, {}))
    refused = pod.run(env, "notify")
    assert refused.code == 78
    assert refused.message["error"] == "hook was not told of the failure: connection hook refuses: 404 {}"
    assert pod.run(pod.env(pod.config()) | {"ADUTORA_NOTICE": "{}"}, "notify").code == 78


def test_a_missing_file_is_named_with_where_it_should_be(pod: PodBench) -> None:
    (pod.files / "orders.csv").write_text("a\n1\n")
    config = pod.config(inputs=({"name": "rows", "file": "order.csv"},), output=OUTPUT)
    ended = pod.run(pod.env(config))
    assert ended.code == 65
    assert ended.message["error"] == f"no file matches 'order.csv' in {pod.files}"
    assert "orders.csv" in ended.message["hint"]
    assert "adutora push" in ended.message["hint"]


def test_user_code_runs_as_on_a_laptop(pod: PodBench) -> None:
    (pod.files / "shop_rows.py").write_text("def rows(inputs, n):\n    print('hello')\n    return [{'n': n}]\n")
    config = pod.config(
        kind="python",
        block={"function": "shop_rows:rows", "args": {"n": 3}},
        output={"table": "silver.n", "mode": "overwrite"},
    )
    ended = pod.run(pod.env(config))
    assert ended.code == 0, ended.log
    assert "hello" in ended.log
    missing = pod.run(pod.env(pod.config(kind="python", block={"function": "shop_row:rows"})))
    assert missing.code == 78
    assert missing.message["error"] == f"there is no module shop_row in {pod.files}, nor an installed one"
    assert missing.message["hint"] == "did you mean shop_rows?"


def test_secrets_are_masked_everywhere(pod: PodBench) -> None:
    pod.secret("shop-api", token="s3cr3t-t0ken")
    pod.project["connections"] = {
        "api": {"name": "api", "http": {"baseUrl": "http://127.0.0.1:1/s3cr3t-t0ken", "auth": {"bearer": {}}},
                "secretRef": {"name": "shop-api"}},
    }  # fmt: skip
    block = {"connection": "api", "method": "GET", "path": "/s3cr3t-t0ken"}
    ended = pod.run(pod.env(pod.config(kind="http", block=block, connections=("api",))))
    assert ended.code == 75, ended.log
    everything = ended.log + ended.raw.decode() + json.dumps(ended.whole)
    assert "s3cr3t-t0ken" not in everything
    assert "***" in ended.message["error"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ADUTORA_TASK": None}, "ADUTORA_TASK is not set"),
        ({"ADUTORA_TASK": "{"}, "ADUTORA_TASK is no JSON"),
        ({"ADUTORA_TASK": "[]"}, "no JSON object"),
        ({"ADUTORA_TASK": '{"stage": "nowhere"}'}, "nowhere"),
        ({"ADUTORA_CONFIG_0": None}, "ADUTORA_CONFIG_0 is not set"),
        ({"ADUTORA_CONFIG_0": "%%%"}, "hold no DagConfig"),
        ({"ADUTORA_CONFIG_1": None}, "hold no DagConfig"),
    ],
)
def test_what_the_platform_told_wrongly(pod: PodBench, change: dict[str, str | None], said: str) -> None:
    env = {**pod.env(pod.config()), **change}
    ended = pod.run({name: value for name, value in env.items() if value is not None})
    assert ended.code == 78
    assert ended.message["exitCode"] == 78
    assert said in ended.message["error"]


def test_a_config_that_was_changed_is_refused(pod: PodBench) -> None:
    config = pod.config()
    data = config.to_json() | {"owner": "somebody"}
    text = base64.b64encode(gzip.compress(json.dumps(data).encode())).decode()
    env = {name: value for name, value in pod.env(config).items() if not name.startswith("ADUTORA_CONFIG_")}
    ended = pod.run(env | {"ADUTORA_CONFIG_0": text})
    assert ended.code == 78
    assert "hash does not fit" in ended.message["error"]


def test_what_only_a_laptop_has_names_the_project_field(pod: PodBench) -> None:
    pod.project["lake"] = {"root": "lake", "connection": None, "layers": {}}
    ended = pod.run(pod.env(pod.config()))
    assert (ended.code, "spec.lake.root" in ended.message["error"]) == (78, True)
    del pod.project["lake"]
    pod.project["connections"] = {"online": {"name": "online", "sqlite": {"path": "online.db"}}}
    block = {"connection": "online", "prefix": "p", "key": "a"}
    inputs = ({"table": "silver.a", "read": "all"},)
    ended = pod.run(pod.env(pod.config(kind="publish", block=block, inputs=inputs, connections=("online",))))
    assert (ended.code, "spec.connections[online]" in ended.message["error"]) == (78, True)
    pod.project["files_root"] = None
    ended = pod.run(pod.env(pod.config(inputs=({"name": "rows", "file": "x.csv"},), output=OUTPUT)))
    assert (ended.code, "spec.filesRoot" in ended.message["error"]) == (78, True)


def test_sigterm_stops_cleanly(pod: PodBench) -> None:
    (pod.files / "slow.py").write_text("import time\ndef wait(inputs):\n    print('waiting')\n    time.sleep(60)\n")
    process = pod.start(pod.env(pod.config(kind="python", block={"function": "slow:wait"})))
    assert process.stdout is not None
    while "waiting" not in process.stdout.readline():
        assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    ended = pod.end(process)
    assert time.monotonic() - begun < 10
    assert ended.code == 130
    assert ended.message["reason"] == "Stopped"
    assert ended.whole["exitCode"] == 130


def test_sigterm_while_a_library_runs(pod: PodBench) -> None:
    query = "SELECT sum(a.range * b.range) AS s FROM range(10000000) a, range(10000000) b"
    process = pod.start(pod.env(pod.config(block={"query": query}, output=OUTPUT)))
    assert process.stdout is not None
    while "stage stage of run" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    ended = pod.end(process)
    assert ended.code == 130, ended.log
    assert ended.message["reason"] == "Stopped"


def test_sigterm_while_it_starts(pod: PodBench) -> None:
    process = pod.start(pod.env(pod.config()))
    status = Path(f"/proc/{process.pid}/status")
    while not int(
        next(line for line in status.read_text().splitlines() if line.startswith("SigCgt")).split()[1], 16
    ) & (1 << 14):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    ended = pod.end(process)
    assert (ended.code, ended.message["reason"]) == (130, "Stopped")


def test_a_lake_that_takes_no_outcome_is_told(pod: PodBench) -> None:
    pod.lake.mkdir()
    (pod.lake / "_adutora").write_text("a file where a folder should be")
    ended = pod.run(pod.env(pod.config(output=OUTPUT)))
    assert ended.code == 0, ended.log
    assert ended.message["uri"] is None
    assert "could not be stored" in ended.message["message"]


LARGE = {"function": "large:outputs"}


def test_outputs_that_are_too_large_are_found_by_the_next_stage(pod: PodBench) -> None:
    (pod.files / "large.py").write_text("def outputs(inputs):\n    return {'text': 'x' * 2000}\n")
    first = pod.run(pod.env(pod.config(kind="python", block=LARGE)))
    assert first.code == 0, first.log
    assert "outputs" not in first.message
    assert first.message["outputsUri"] == first.message["uri"]
    query = "SELECT length('$(stages.before.outputs.text)') AS n"
    config = pod.config(block={"query": query}, output=OUTPUT)
    uris = {"before": first.message["outputsUri"]}
    ended = pod.run(pod.env(config, outputs={}, outputs_uris=uris))
    assert ended.code == 0, ended.log
    theirs = pod.lake / "_adutora/outcomes/other.shop/r-1/stage.1.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(json.dumps({"outputs": {"text": "x"}}))
    for uri in (str(theirs), "/etc/passwd", f"{pod.lake}/_adutora/outcomes/team.shop/../../../x"):
        assert pod.run(pod.env(config, outputs_uris={"before": uri})).code == 78


def test_outputs_that_are_lost_are_made_again(pod: PodBench) -> None:
    (pod.files / "large.py").write_text("def outputs(inputs):\n    return {'text': 'x' * 2000}\n")
    pod.lake.write_text("a file where the lake should be")
    ended = pod.run(pod.env(pod.config(kind="python", block=LARGE)))
    assert (ended.code, ended.message["reason"]) == (75, "OutcomeLost")


def test_a_cached_stage_finds_its_last_success(pod: PodBench) -> None:
    config = pod.config(output=OUTPUT, cache=True)
    assert pod.run(pod.env(config)).message["cached"] is False
    assert not (pod.work / "state").exists()  # another pod has another /work: nothing may stand there
    again = pod.run(pod.env(config, run=RUN | {"id": "r-2"}))
    assert again.message["cached"] is True


def test_connection_files_of_a_users_image(pod: PodBench) -> None:
    pod.secret("db", user="me", password="s3cr3t-pass")
    pod.project["connections"] = {
        "db": {"name": "db", "postgres": {"host": "h", "database": "d"}, "secretRef": {"name": "db"}}
    }
    config = pod.config(kind="container", block={"image": "x:1", "connections": ["db"]}, connections=("db",))
    ended = pod.run(pod.env(config), "connections")
    assert ended.code == 0, ended.log
    folder = pod.root / "connections" / "db"
    assert (folder / "password").read_text() == "s3cr3t-pass"
    assert (folder / "password").stat().st_mode & 0o777 == 0o444
    assert json.loads((folder / "settings.json").read_text())["host"] == "h"
    assert not pod.lake.exists()
    assert pod.run(pod.env(config), "else").code == 78


@pytest.fixture
def full_folder(tmp_path: Path) -> Callable[[int], Path]:
    def make(size: int) -> Path:
        folder = tmp_path / "small"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("a small disk cannot be mounted here")
        return folder

    return make


def test_a_full_disk_is_temporary_and_told(pod: PodBench, full_folder: Callable[[int], Path]) -> None:
    pod.work = full_folder(1 << 20)
    try:
        (pod.work / "ballast").write_bytes(b"x" * ((1 << 20) - 4096))
        (pod.files / "mod.py").write_text(
            "def rows(inputs):\n    return [{'a': str(i) * 1000} for i in range(100_000)]\n"
        )
        ended = pod.run(pod.env(pod.config(kind="python", block={"function": "mod:rows"}, output=OUTPUT)))
        assert ended.code == 75, ended.log
        assert "full" in ended.message["error"]
    finally:
        subprocess.run(["umount", str(pod.work)], check=True)
