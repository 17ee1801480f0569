"""Time-outs, Ctrl-C, retries, and processes that end badly."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.trouble.conftest import Lab, alive, family, kill, stages_of, until

pytestmark = pytest.mark.integration


def code(lab: Lab, body: str) -> None:
    lab.file("own.py", body)


def python(function: str = "main", **more: object) -> dict[str, object]:
    return {"name": "own", "python": {"function": f"own:{function}"}, **more}


def test_a_timeout_ends_the_whole_group(lab: Lab) -> None:
    code(lab, "import os, subprocess, sys, time, pathlib\n"
              "def main(inputs):\n"
              "    child = subprocess.Popen(['sleep', '1000'])\n"
              "    pathlib.Path('pids').write_text(f'{os.getpid()} {child.pid}')\n"
              "    time.sleep(1000)\n")  # fmt: skip
    lab.pipeline(python(timeout="2s", retries=0))
    result = lab.run()
    stage = result.stage("own")
    assert (result.code, stage["reason"]) == (75, "Timeout"), result.text
    assert "2 s" in stage["error"]
    assert "timeout" in stage["hint"]
    pids = [int(pid) for pid in (lab.root / "pids").read_text().split()]
    assert not any(alive(pid) for pid in pids)
    assert stage["duration"] < 8


@pytest.mark.slow
def test_a_stage_and_a_child_that_ignore_sigterm_are_forced(lab: Lab) -> None:
    code(lab, "import os, signal, subprocess, sys, time, pathlib\n"
              "STUBBORN = 'import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)'\n"
              "def main(inputs):\n"
              "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
              "    child = subprocess.Popen([sys.executable, '-c', STUBBORN])\n"
              "    pathlib.Path('pids').write_text(f'{os.getpid()} {child.pid}')\n"
              "    while True: time.sleep(1)\n")  # fmt: skip
    lab.pipeline(python(timeout="2s", retries=0))
    result = lab.run()
    assert (result.code, result.stage("own")["reason"]) == (75, "Timeout"), result.text
    assert not any(alive(int(pid)) for pid in (lab.root / "pids").read_text().split())
    assert result.stage("own")["duration"] < 20


def test_a_timeout_is_tried_again(lab: Lab) -> None:
    code(lab, "import time, pathlib\n"
              "def main(inputs):\n"
              "    if not pathlib.Path('second').exists():\n"
              "        pathlib.Path('second').touch(); time.sleep(1000)\n"
              "    return {'n': 1}\n")  # fmt: skip
    lab.pipeline(python(timeout="2s"))
    assert lab.ok().stage("own")["tries"] == 2


def test_the_runs_own_timeout(lab: Lab) -> None:
    code(lab, "import time\ndef main(inputs):\n    time.sleep(1000)\n")
    lab.pipeline(python(), {**python(), "name": "later", "dependsOn": ["own"]}, timeout="2s")
    result = lab.run()
    assert result.code == 75, result.text
    assert result.json["status"] == "failed"
    assert result.statuses() == {"own": "stopped", "later": "stopped"}
    assert result.seconds < 12


SLOW = "import time, pathlib\ndef main(inputs):\n    pathlib.Path('up').touch()\n    while pathlib.Path('slow').exists(): time.sleep(0.1)\n    return {'n': 1}\n"
AFTER = {"name": "after", "dependsOn": ["own"], "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.after"}}
FIRST = {"name": "first", "sql": {"query": "SELECT 1 AS a"}, "output": {"table": "silver.first"}}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_stops_and_resume_completes(lab: Lab, number: int) -> None:
    """Ctrl-C goes to the whole group of the terminal; SIGTERM and SIGHUP to the command."""
    lab.file("slow", "")
    code(lab, SLOW)
    lab.pipeline(FIRST, python(dependsOn=["first"]), AFTER)
    process = lab.start("--output", "json")
    until((lab.root / "up").exists)
    everyone = family(process.pid)
    begun = time.monotonic()
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    result = lab.wait(process, 15)
    assert time.monotonic() - begun < 6
    assert result.code == 130, result.text
    assert result.json["status"] == "stopped"
    assert result.statuses() == {"first": "succeeded", "own": "stopped", "after": "stopped"}
    assert not any(alive(pid) for pid in everyone)
    assert "stopped" in lab.call("runs", "--state", str(lab.state)).out
    (lab.root / "slow").unlink()
    version = lab.version("silver.first")
    done = lab.ok("--resume", "last")
    assert set(done.statuses().values()) == {"succeeded"}
    assert done.stage("first")["tries"] == 1
    assert lab.version("silver.first") == version


def test_a_second_interrupt_forces(lab: Lab) -> None:
    code(lab, "import signal, time, pathlib\ndef main(inputs):\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
              "    pathlib.Path('up').touch()\n    while True: time.sleep(1)\n")  # fmt: skip
    lab.pipeline(python())
    process = lab.start("--output", "json")
    until((lab.root / "up").exists)
    everyone = family(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.7)
    os.killpg(process.pid, signal.SIGINT)
    result = lab.wait(process, 8)
    assert result.code == 130, result.text
    assert not any(alive(pid) for pid in everyone)


def test_an_interrupt_while_it_waits_for_a_retry(lab: Lab) -> None:
    code(lab, "def main(inputs):\n    raise ConnectionError('not yet')\n")
    lab.pipeline(python(retryDelay="5m"))
    process = lab.start("--output", "json")
    until(lambda: not stages_of(process) and (lab.run_folder() / "stages/own/outcome.json").exists())
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    result = lab.wait(process, 8)
    assert (result.code, result.statuses()) == (130, {"own": "stopped"}), result.text


def test_a_temporary_failure_is_tried_again_with_back_off(lab: Lab) -> None:
    code(lab, "import pathlib, time\n"
              "def main(inputs):\n"
              "    with open('tries', 'a') as file: file.write(f'{time.monotonic()}\\n')\n"
              "    if len(pathlib.Path('tries').read_text().split()) < 3: raise ConnectionError('no answer from the shop')\n"
              "    return {'n': 1}\n")  # fmt: skip
    lab.pipeline(python())
    result = lab.ok()
    assert result.stage("own")["tries"] == 3
    assert result.err.count("no answer from the shop") == 2
    times = [float(each) for each in (lab.root / "tries").read_text().split()]
    assert 0.5 <= times[1] - times[0] < 4
    assert 1.0 <= times[2] - times[1] < 5
    assert result.stage("own")["error"] is None


def test_tries_run_out(lab: Lab) -> None:
    code(lab, "def main(inputs):\n    raise ConnectionError('no answer from the shop')\n")
    lab.pipeline(python(retries=1), AFTER)
    result = lab.run()
    assert result.code == 75, result.text
    assert result.stage("own")["tries"] == 2
    assert result.stage("after")["status"] == "skipped"
    assert "own failed" in result.stage("after")["message"]


@pytest.mark.parametrize(
    ("raised", "exit_code"),
    [
        ("adutora.errors.DataError('bad rows')", 65),
        ("adutora.errors.ConfigError('bad rows')", 78),
        ("ValueError('bad rows')", 65),
    ],
)
def test_bad_data_and_config_are_not_tried_again(lab: Lab, raised: str, exit_code: int) -> None:
    code(lab, f"import adutora.errors\ndef main(inputs):\n    raise {raised}\n")
    lab.pipeline(python())
    result = lab.run()
    assert (result.code, result.stage("own")["tries"]) == (exit_code, 1), result.text
    assert "bad rows" in result.stage("own")["error"]


ENDS = {
    "exit": ("os._exit(3)", "code 3"),
    "killed": ("os.kill(os.getpid(), 9)", "SIGKILL"),
    "segfault": ("ctypes.string_at(0)", "SIGSEGV"),
    "abort": ("os.abort()", "SIGABRT"),
    "exit-zero": ("os._exit(0)", "code 0"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_ends_without_a_word_is_told_and_tried_again(lab: Lab, how: str) -> None:
    call, word = ENDS[how]
    code(
        lab,
        f"import os, ctypes, pathlib\ndef main(inputs):\n    if not pathlib.Path('second').exists():\n        pathlib.Path('second').touch()\n        {call}\n    return {{'n': 1}}\n",
    )
    lab.pipeline(python())
    result = lab.ok()
    assert result.stage("own")["tries"] == 2
    assert word in result.err, result.err


def test_a_process_that_always_ends_so_fails_the_run(lab: Lab) -> None:
    code(lab, "import os\ndef main(inputs):\n    os._exit(3)\n")
    lab.pipeline(python(retries=0))
    result = lab.run()
    assert result.code not in (0, 65, 75, 78, 130), result.text
    assert result.json["status"] == "failed"
    assert "code 3" in result.stage("own")["error"]


def test_100_megabytes_of_output(lab: Lab) -> None:
    code(lab, "import os\ndef main(inputs):\n"
              "    for _ in range(50_000): print('x' * 1023)\n"
              "    for _ in range(50): os.write(1, b'y' * 1_000_000)\n"
              "    return {'n': 1}\n")  # fmt: skip
    lab.pipeline(python())
    result = lab.ok()
    assert result.stage("own")["outputs"] == {"n": 1}
    assert len(result.out) + len(result.err) < 20_000
    assert (lab.run_folder() / "stages/own/log.txt").stat().st_size < 200_000_000


def test_a_child_left_behind_goes_with_its_stage(lab: Lab) -> None:
    code(lab, "import subprocess, pathlib\ndef main(inputs):\n"
              "    child = subprocess.Popen(['sleep', '1000'])\n"
              "    pathlib.Path('pid').write_text(str(child.pid))\n    return {'n': 1}\n")  # fmt: skip
    lab.pipeline(python())
    lab.ok()
    until(lambda: not alive(int((lab.root / "pid").read_text())), 5)


def test_the_runner_and_what_forks_its_stages_killed_at_once(lab: Lab) -> None:
    """Nobody is left who could end the stage: it must end by itself."""
    lab.file("slow", "")
    code(lab, SLOW)
    lab.pipeline(python())
    process = lab.start()
    until((lab.root / "up").exists)
    everyone = family(process.pid)
    kill(*everyone[:2])
    until(lambda: not any(alive(pid) for pid in everyone), 15)


def test_what_forks_the_stages_is_killed(lab: Lab) -> None:
    """The runner ends at once, with a message, and no stage is left."""
    lab.file("slow", "")
    code(lab, SLOW)
    lab.pipeline(python())
    process = lab.start("--output", "json")
    until((lab.root / "up").exists)
    everyone = family(process.pid)
    kill(everyone[1])
    result = lab.wait(process, 15)
    assert result.code not in (0, -9), result.text
    assert "Traceback" not in result.err
    until(lambda: not any(alive(pid) for pid in everyone), 15)
    (lab.root / "slow").unlink()
    lab.ok("--resume", "last")


@pytest.mark.parametrize("place", ["stage", "runner"])
def test_stubborn_children_go_when_the_runner_is_killed(lab: Lab, place: str) -> None:
    code(lab, "import os, signal, subprocess, sys, time, pathlib\n"
              "STUBBORN = 'import signal,time,pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); pathlib.Path(\"up\").touch(); time.sleep(1000)'\n"
              "def main(inputs):\n"
              "    subprocess.Popen([sys.executable, '-c', STUBBORN])\n"
              "    while True: time.sleep(1)\n")  # fmt: skip
    lab.pipeline(python(retries=0))
    process = lab.start("--output", "json")
    until((lab.root / "up").exists)
    everyone = family(process.pid)
    kill(*(stages_of(process) if place == "stage" else [process.pid]))
    lab.wait(process, 15)
    until(lambda: not any(alive(pid) for pid in everyone), 15)


def test_state_is_readable_while_it_runs(lab: Lab) -> None:
    lab.file("slow", "")
    code(lab, SLOW)
    lab.pipeline(python())
    process = lab.start("--output", "json")
    until((lab.root / "up").exists)
    assert "running" in lab.call("runs", "--state", str(lab.state)).out
    refused = lab.run("--resume", "last")
    assert refused.code == 75, refused.text
    assert "another process" in refused.err
    (lab.root / "slow").unlink()
    assert lab.wait(process).code == 0


def test_paths_of_the_run_are_there(lab: Lab) -> None:
    lab.pipeline(FIRST)
    folder = Path(lab.ok().json["folder"])
    assert {path.name for path in folder.iterdir()} >= {"config.json", "run.json", "stages", "lock"}
