"""What the image of Spark is made with: its jars and their lock file, what slims it, and what starts its executors."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "images" / "spark"
JARS = ROOT / "adutora" / "runtime" / "spark"
LOCKED = re.compile(r"([0-9a-f]{64})  ([\w.-]+):([\w.-]+):([\w.]+)")


def locked() -> list[tuple[str, ...]]:
    lines = [line for line in (JARS / "jars.lock").read_text().splitlines() if line and not line.startswith("#")]
    found = [LOCKED.fullmatch(line) for line in lines]
    assert all(found), lines
    return [match.groups() for match in found if match]


def test_each_jar_is_locked_once() -> None:
    names = [(group, artifact) for _, group, artifact, _ in locked()]
    assert len(names) == len(set(names))


def test_jars_fit_the_locked_python_packages() -> None:
    packages = {each["name"]: each["version"] for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    versions = {artifact: version for _, _, artifact, version in locked()}
    spark = ".".join(packages["pyspark"].split(".")[:2])
    assert versions[f"delta-spark_{spark}_2.13"] == versions["delta-storage"] == packages["delta-spark"]
    assert len({version for _, group, _, version in locked() if group == "software.amazon.awssdk"}) == 1


class Repository:
    """Maven Central with one jar."""

    def __init__(self) -> None:
        self.content, self.failures, self.asked = b"jar", 0, list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                failing = outer.failures > 0
                outer.failures -= 1
                self.send_response(503 if failing else 200)
                self.end_headers()
                self.wfile.write(b"" if failing else outer.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/maven2"


@pytest.fixture
def repository() -> Iterator[Repository]:
    made = Repository()
    yield made
    made.server.shutdown()
    made.server.server_close()


def fetch(
    tmp_path: Path, repository: Repository, *folder: str, digest: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the fetcher with a lock file of one jar."""
    program = tmp_path / "fetch-jars"
    program.write_bytes((JARS / "fetch-jars").read_bytes())
    (tmp_path / "jars.lock").write_text(
        f"# one\n{digest or hashlib.sha256(b'jar').hexdigest()}  org.acme:thing_2.13:1.2\n"
    )
    env = {**os.environ, "MAVEN_CENTRAL": repository.url, "ADUTORA_CACHE": str(tmp_path / "cache")}
    return subprocess.run(
        [sys.executable, str(program), *folder], env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_jars_are_fetched_once_into_a_folder_of_the_lock_file(tmp_path: Path, repository: Repository) -> None:
    for _ in range(2):
        done = fetch(tmp_path, repository)
        assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.parent == tmp_path / "cache" / "spark-jars"
    assert [each.name for each in folder.iterdir()] == ["thing_2.13-1.2.jar"]
    assert repository.asked == ["/maven2/org/acme/thing_2.13/1.2/thing_2.13-1.2.jar"]


def test_another_jar_than_the_locked_one_is_refused_and_nothing_is_left(tmp_path: Path, repository: Repository) -> None:
    repository.content = b"evil"
    done = fetch(tmp_path, repository, str(tmp_path / "jars"))
    assert done.returncode == 1
    assert "org.acme:thing_2.13:1.2" in done.stderr
    assert hashlib.sha256(b"evil").hexdigest() in done.stderr
    assert not (tmp_path / "jars").exists()
    assert not list(tmp_path.glob(".jars-*"))


def test_a_server_in_trouble_is_asked_again(tmp_path: Path, repository: Repository) -> None:
    repository.failures = 1
    done = fetch(tmp_path, repository, str(tmp_path / "jars"))
    assert done.returncode == 0, done.stderr
    assert len(repository.asked) == 2


def test_native_code_of_other_machines_goes_and_the_rest_stays(tmp_path: Path) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    (tmp_path / "examples").mkdir()
    for name in ("netty-osx-x86_64.jar", "netty-linux-x86_64.jar", "netty-linux-aarch_64.jar"):
        (jars / name).touch()
    with zipfile.ZipFile(jars / "rocksdbjni-9.jar", "w") as made:
        for name in ("librocksdbjni-linux64.so", "librocksdbjni-linux-aarch64.so", "librocksdbjni-linux64-musl.so",
                     "librocksdbjni-win64.dll", "librocksdbjni-osx-arm64.jnilib", "org/rocksdb/win32.class"):  # fmt: skip
            made.writestr(name, "x")
    subprocess.run([sys.executable, str(IMAGE / "slim-spark"), str(tmp_path)], check=True)
    assert sorted(each.name for each in jars.iterdir()) == [
        "netty-linux-aarch_64.jar", "netty-linux-x86_64.jar", "rocksdbjni-9.jar",
    ]  # fmt: skip
    with zipfile.ZipFile(jars / "rocksdbjni-9.jar") as slim:
        assert slim.namelist() == [
            "librocksdbjni-linux64.so", "librocksdbjni-linux-aarch64.so", "org/rocksdb/win32.class",
        ]  # fmt: skip
    assert not (tmp_path / "examples").exists()


@pytest.fixture
def entry(tmp_path: Path) -> dict[str, str]:
    """Environment with a Java that says how it was called."""
    java = tmp_path / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    java.chmod(0o755)
    return {"PATH": os.environ["PATH"], "JAVA_HOME": str(tmp_path / "java"), "SPARK_HOME": "/opt/spark"}


def test_an_executor_is_started_as_spark_tells_it(entry: dict[str, str]) -> None:
    told = {
        "SPARK_JAVA_OPT_10": "-Dten=a b", "SPARK_JAVA_OPT_2": "-Dtwo=$HOME", "SPARK_EXECUTOR_MEMORY": "600m",
        "SPARK_DRIVER_URL": "spark://C@10.0.0.1:7078", "SPARK_EXECUTOR_ID": "1", "SPARK_EXECUTOR_CORES": "2",
        "SPARK_APPLICATION_ID": "spark-1", "SPARK_EXECUTOR_POD_IP": "10.0.0.2", "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "exec-1", "SPARK_EXTRA_CLASSPATH": "/x/*",
    }  # fmt: skip
    script = str(IMAGE / "entrypoint.sh")
    done = subprocess.run([script, "executor"], env={**entry, **told}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "-Dtwo=$HOME", "-Dten=a b", "-Xms600m", "-Xmx600m", "-cp", "/work/scratch/no-conf:/opt/spark/jars/*:/x/*",
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
        "--driver-url", "spark://C@10.0.0.1:7078", "--executor-id", "1", "--cores", "2", "--app-id", "spark-1",
        "--hostname", "10.0.0.2", "--resourceProfileId", "0", "--podName", "exec-1",
    ]  # fmt: skip


def test_the_history_server_makes_its_folder_first(entry: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "spark" / "bin" / "spark-class"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "class $1"\n')
    program.chmod(0o755)
    told = {
        "SPARK_HOME": str(tmp_path / "spark"),
        "SPARK_HISTORY_OPTS": "-Dspark.history.fs.logDirectory=s3a://b/e -Da=b -Dspark.hadoop.fs.s3a.endpoint=http://s3:1",
    }
    script = str(IMAGE / "entrypoint.sh")
    done = subprocess.run([script, "history"], env={**entry, **told}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[2:] == [
        "org.apache.hadoop.fs.FsShell", "-D", "fs.s3a.endpoint=http://s3:1", "-mkdir", "-p", "s3a://b/e",
        "class org.apache.spark.deploy.history.HistoryServer",
    ]  # fmt: skip


def test_what_spark_did_not_tell_is_an_error(entry: dict[str, str]) -> None:
    done = subprocess.run(
        [str(IMAGE / "entrypoint.sh"), "executor"], env=entry, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "SPARK_EXECUTOR_MEMORY" in done.stderr


def test_any_other_command_is_run_as_it_is(entry: dict[str, str]) -> None:
    done = subprocess.run(
        [str(IMAGE / "entrypoint.sh"), "echo", "a b"], env=entry, capture_output=True, text=True, check=True
    )
    assert done.stdout == "a b\n"


def test_one_jar_names_the_others_in_order(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    names = [f"{letter}-{'x' * length}.jar" for letter, length in (("b", 90), ("a", 3), ("c", 40))]
    for name in names:
        (tmp_path / "jars" / name).touch()
    subprocess.run([sys.executable, str(IMAGE / "pathing-jar"), str(tmp_path)], check=True)
    assert [path.name for path in (tmp_path / "jars").iterdir()] == ["all.jar"]
    with zipfile.ZipFile(tmp_path / "jars" / "all.jar") as jar:
        text = jar.read("META-INF/MANIFEST.MF").decode()
    assert all(len(line) <= 72 for line in text.split("\r\n"))
    assert f"Class-Path: {' '.join(f'../lib/{name}' for name in sorted(names))}\r\n" in text.replace("\r\n ", "")
