"""The `container` stage, with an executable named `podman` on PATH that stands in for the engine.

It is a real process that is called as Podman would be, and runs the "image" (a shell script) on this machine with
what was mounted. What Podman itself makes of the arguments is not shown here.
"""

import json
import logging
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.stages.container.command import Place, run_command
from adutora.stages.container.run import ContainerFailedError, read_outputs, run
from adutora.stages.container.spec import Container

ENGINE = """\
#!{python} -IS
import json, os, signal, subprocess, sys
home = os.path.dirname(os.path.abspath(__file__))
def note(name, text):
    with open(os.path.join(home, name), "a") as file: file.write(text + "\\n")
def read(name):
    path = os.path.join(home, name)
    return open(path).read() if os.path.exists(path) else ""
args = sys.argv[1:]
note("calls", json.dumps(args))
if args[0] == "info":
    print(read("broken"), file=sys.stderr); sys.exit(1 if read("broken") else 0)
if args[:2] == ["image", "inspect"]:
    sys.exit(1 if read("absent") else 0)
if args[0] == "pull":
    print(read("absent"), file=sys.stderr); sys.exit(1 if "ok" not in read("absent") else 0)
if args[0] == "ps":
    print(read("left")); sys.exit(0)
if args[0] == "stop":
    os.kill(int(read("pid")), signal.SIGTERM); sys.exit(0)
if args[0] == "run":
    env = {{"PATH": os.environ["PATH"]}}
    for arg in args:
        if arg.startswith("--mount="):
            parts = dict(p.split("=", 1) for p in arg[8:].split(",") if "=" in p)
            if "source" in parts: env["AT" + parts["target"].replace("/", "_")] = parts["source"]
        if arg.startswith("--env="):
            name, value = arg[6:].split("=", 1)
            env[name] = value
    process = subprocess.Popen(["/bin/sh", os.path.join(home, "image")], env=env)
    note("pid", str(process.pid))
    sys.exit(process.wait() % 256)
"""


@pytest.fixture
def podman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the stand-in: `image` is what runs, `calls` what it was asked."""
    home = tmp_path / "bin"
    home.mkdir()
    (home / "podman").write_text(ENGINE.format(python=sys.executable))
    (home / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:/usr/bin:/bin")
    return home


def calls(home: Path) -> list[list[str]]:
    return [json.loads(line) for line in (home / "calls").read_text().splitlines()]


CONNECTIONS = {
    "shop-db": {
        "postgres": {"host": "db", "database": "shop"},
        "secretRef": {"name": "shop", "keys": {"user": "login"}},
    }
}


@pytest.fixture
def go(podman: Path, bench: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Run a stage whose image is the shell script `script`."""
    folder = tmp_path / ".adutora/secrets/shop"
    folder.mkdir(parents=True)
    (folder / "login").write_text("alice")
    (folder / "password").write_text("pa55word-of-alice\n")

    def run_script(script: str, **fields: Any) -> Any:
        (podman / "image").write_text(textwrap.dedent(script))
        ctx = bench(CONNECTIONS, resources={"cpu": "500m", "memory": "256Mi"})
        run(Container.model_validate({"image": "registry.acme.io/x:1", **fields}), ctx)
        return ctx

    return run_script


def test_command_line(tmp_path: Path) -> None:
    spec = Container.model_validate(
        {
            "image": "x:1",
            "command": ["python", "x.py"],
            "args": ["--day", "$HOME; rm"],
            "env": [{"name": "DAY", "value": "a=b c"}],
        }
    )
    place = Place("adutora-r-s-1", {"dev.adutora.run": "r"}, Path("/s/x"), Path("/s/c"), Path("/f"), 1 << 28, 500)
    command = run_command("podman", spec, place)
    assert command == [
        "podman", "run", "--rm", "--pull=never", "--name=adutora-r-s-1", "--label=dev.adutora.run=r",
        "--read-only", "--tmpfs=/tmp:rw,mode=1777", "--cap-drop=ALL", "--security-opt=no-new-privileges",
        "--security-opt=label=disable", "--memory=268435456b", "--memory-swap=268435456b", "--cpus=0.5",
        "--mount=type=bind,source=/f,target=/work,readonly",
        "--mount=type=bind,source=/s/x,target=/var/run/adutora",
        "--mount=type=bind,source=/s/c,target=/var/run/adutora/connections,readonly",
        "--env=DAY=a=b c", "--entrypoint=python", "--", "x:1", "x.py", "--day", "$HOME; rm",
    ]  # fmt: skip


def test_secrets_of_other_connections_are_hidden(go: Callable[..., Any], podman: Path) -> None:
    go("exit 0")
    asked = calls(podman)[-1]
    assert "--mount=type=tmpfs,target=/work/.adutora" in asked
    assert asked.index("--mount=type=tmpfs,target=/work/.adutora") < asked.index("--")


def test_without_command_the_image_own_runs() -> None:
    place = Place("n", {}, Path("/x"), Path("/c"), Path("/f"), None, None)
    command = run_command("docker", Container(image="x:1", args=["a"]), place)
    assert command[-3:] == ["--", "x:1", "a"]
    assert not [part for part in command if part.startswith(("--entrypoint", "--memory", "--cpus", "--env"))]


def test_never_more_cores_than_there_are() -> None:
    place = Place("n", {}, Path("/x"), Path("/c"), Path("/f"), None, 64_000_000)
    assert f"--cpus={os.cpu_count()}" in run_command("podman", Container(image="x:1"), place)


@pytest.mark.parametrize("image", ["--privileged", "x y", "$(id)", "-v/:/host", " x", "x\n"])
def test_image_that_is_an_option(image: str) -> None:
    place = Place("n", {}, Path("/x"), Path("/c"), Path("/f"), None, None)
    with pytest.raises(ConfigError, match="is no name of an image"):
        run_command("podman", Container(image=image), place)


def test_folder_that_a_mount_cannot_name() -> None:
    place = Place("n", {}, Path("/x"), Path("/c"), Path("/f,readonly=false"), None, None)
    with pytest.raises(ConfigError, match="cannot be mounted"):
        run_command("podman", Container(image="x"), place)


def test_runs_logs_and_takes_outputs(
    go: Callable[..., Any], podman: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "data.txt").write_text("from the pipeline's folder")
    ctx = go(
        """
        echo "day $DAY"; cat "$AT_work/data.txt"; echo; echo oops >&2
        echo '{"rows": 3, "list": ["a"]}' > "$AT_var_run_adutora/outputs.json"
        """,
        env=[{"name": "DAY", "value": "2026-01-02"}],
    )
    assert ctx.outcome.outputs == {"rows": 3, "list": ["a"]}
    assert [m for m in caplog.messages if "runs image" not in m] == [
        "day 2026-01-02",
        "from the pipeline's folder",
        "oops",
    ]
    asked = calls(podman)
    assert [call[0] for call in asked] == ["info", "image", "ps", "run"]
    assert "--name=adutora-r-1-stage-1" in asked[-1]
    assert "label=dev.adutora.run=r-1" in asked[2]


def test_connections_arrive_as_files_and_go(go: Callable[..., Any], tmp_path: Path, podman: Path) -> None:
    ctx = go(
        """
        cd "$AT_var_run_adutora_connections/shop-db" && cp settings.json user password /"$AT_var_run_adutora" &&
        stat -c '%a' password settings.json . .. | tr '\\n' ' ' > "$AT_var_run_adutora/modes"
        """,
        connections=["shop-db"],
    )
    exchange = ctx.scratch / "exchange"
    assert json.loads((exchange / "settings.json").read_text()) == {
        "name": "shop-db", "type": "postgres", "host": "db", "port": 5432, "database": "shop", "maxConcurrent": 4,
    }  # fmt: skip
    assert (exchange / "user").read_text() == "alice"
    assert (exchange / "password").read_text() == "pa55word-of-alice"
    assert (exchange / "modes").read_text().split() == ["444", "444", "755", "755"]
    assert stat.S_IMODE(ctx.scratch.stat().st_mode) == 0o700
    assert not [path for path in (ctx.scratch / "connections").rglob("*") if path.is_file()]
    assert "pa55word" not in (podman / "calls").read_text()


def test_secrets_go_when_the_image_fails(go: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ContainerFailedError):
        go("exit 3", connections=["shop-db"])
    assert not [path for path in (tmp_path / "scratch/connections").rglob("*") if path.is_file()]


def test_missing_secret_starts_nothing(go: Callable[..., Any], tmp_path: Path, podman: Path) -> None:
    (tmp_path / ".adutora/secrets/shop/password").unlink()
    with pytest.raises(ConfigError, match="key password of secret shop is missing"):
        go("exit 0", connections=["shop-db"])
    assert "run" not in [call[0] for call in calls(podman)]
    assert not [path for path in (tmp_path / "scratch/connections").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("code", "error", "text"),
    [
        (65, DataError, "ended with code 65"),
        (75, TemporaryError, "ended with code 75"),
        (78, ConfigError, "ended with code 78"),
        (125, ConfigError, "podman cannot run image"),
        (126, ConfigError, "its command cannot be run"),
        (127, ConfigError, "its command cannot be run"),
        (137, ContainerFailedError, "resources.memory"),
        (1, ContainerFailedError, "ended with code 1"),
    ],
)
def test_exit_codes(go: Callable[..., Any], code: int, error: Any, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        go(f"exit {code}")
    assert (caught.value.exit_code in (65, 78)) == (error in (DataError, ConfigError))


def test_no_engine_says_what_to_install(go: Callable[..., Any], podman: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (podman / "broken").write_text("cannot set up namespace")
    monkeypatch.setenv("PATH", str(podman))
    with pytest.raises(ConfigError) as caught:
        go("exit 0")
    assert caught.value.message == (
        "a container stage needs podman or docker: podman does not work: cannot set up namespace; docker is not installed"
    )
    assert caught.value.hint is not None
    assert "install Podman" in caught.value.hint


def test_docker_where_podman_does_not_work(go: Callable[..., Any], podman: Path) -> None:
    docker = podman / "other"
    docker.mkdir()
    (podman / "broken").write_text("no")
    (docker / "docker").write_text((podman / "podman").read_text())
    (docker / "docker").chmod(0o755)
    (docker / "image").write_text("exit 0")
    os.environ["PATH"] = f"{podman}:{docker}:/usr/bin:/bin"
    go("exit 1")
    assert calls(docker)[-1][0] == "run"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("manifest unknown: x", ConfigError),
        ("denied: no access", ConfigError),
        ("dial tcp: i/o timeout", TemporaryError),
        ("dial tcp: registry.acme.io: no such host", TemporaryError),
    ],
)
def test_image_that_cannot_be_pulled(go: Callable[..., Any], podman: Path, said: str, error: Any) -> None:
    (podman / "absent").write_text(said)
    with pytest.raises(error, match=r"image registry.acme.io/x:1 cannot be pulled by podman: " + said):
        go("exit 0")


def test_image_is_pulled_where_it_is_not_here(go: Callable[..., Any], podman: Path) -> None:
    (podman / "absent").write_text("ok")
    go("exit 0")
    assert [call[0] for call in calls(podman)] == ["info", "image", "pull", "ps", "run"]


def test_what_a_killed_try_left_is_removed(go: Callable[..., Any], podman: Path) -> None:
    (podman / "left").write_text("abc123\ndef456\n")
    go("exit 0")
    assert ["rm", "--force", "abc123", "def456"] in calls(podman)


def test_outputs_of_an_earlier_try_do_not_count(go: Callable[..., Any]) -> None:
    assert go('echo \'{"a": 1}\' > "$AT_var_run_adutora/outputs.json"').outcome.outputs == {"a": 1}
    assert go("exit 0").outcome.outputs == {}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("not json", "is no JSON"),
        ("[1]", "holds no JSON object"),
        ('{"a b": 1}', "is no name of an output"),
        (json.dumps({"a": "x" * 3000}), "2048 are allowed"),
        ("x" * 70_000, "larger than 65536"),
        ("\udcff", "is no JSON"),
    ],
)
def test_outputs_that_are_none(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "outputs.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=text):
        read_outputs(file)


def test_outputs_through_a_link_or_a_pipe(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"a": 1}')
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(DataError):
            read_outputs(tmp_path / name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError):
        read_outputs(tmp_path / "folder")


STOPPED = """
import logging, signal, sys
from pathlib import Path
from adutora.stages.container.run import _attend
from adutora.stages.container.engine import Engine
class Stopped(BaseException): pass
def stop(*_): raise Stopped
signal.signal(signal.SIGTERM, stop)
path = sys.argv[1]
try:
    _attend(Engine("podman", path), [path, "run", "--name=n", "--", "x"], "n", logging.getLogger())
except Stopped:
    print("stopped", flush=True)
"""


def test_sigterm_stops_the_container(podman: Path) -> None:
    (podman / "image").write_text(
        f'trap "echo ended > {podman}/ended; exit 0" TERM\ntouch {podman}/up\nwhile :; do sleep 0.05; done\n'
    )
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(podman / "podman")], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        until = time.monotonic() + 20
        while not (podman / "up").exists() and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert out == b"stopped\n"
    until = time.monotonic() + 5
    while not (podman / "ended").exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert (podman / "ended").exists()
    assert [call[0] for call in calls(podman)] == ["run", "stop", "rm"]
