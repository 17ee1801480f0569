"""Settings that Spark starts with: none is started here."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError
from adutora.runtime.context import StageContext
from adutora.runtime.spark import settings as module
from adutora.runtime.spark.cluster import Cluster
from adutora.runtime.spark.java import check_java
from adutora.runtime.spark.s3a import url
from adutora.runtime.spark.session import _escaped
from adutora.runtime.spark.settings import settings
from adutora.runtime.spark.waiting import reasons
from adutora.spec.spark import Executors

CLUSTER = {
    "ADUTORA_SPARK_MASTER": "k8s://https://kubernetes.default.svc", "ADUTORA_SPARK_IMAGE": "adutora/spark:1",
    "ADUTORA_SPARK_EXECUTOR_ACCOUNT": "adutora-executor", "ADUTORA_SPARK_EXECUTOR_TEMPLATE": '{"kind": "Pod"}',
    "ADUTORA_POD_NAME": "aggregate-0123456789-1-0", "ADUTORA_POD_NAMESPACE": "team", "ADUTORA_POD_IP": "10.1.2.3",
    "ADUTORA_SPARK_EVENT_LOG": "",
}  # fmt: skip
Maker = Callable[..., StageContext]


@pytest.fixture(autouse=True)
def _no_jars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "class_path", lambda: None)
    for name in CLUSTER:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def on_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)


def executors(**fields: Any) -> Executors:
    return Executors.model_validate(fields)


def test_on_a_laptop_everything_is_in_this_process(stage_context: Maker) -> None:
    found = settings(stage_context(), None, {"spark.sql.shuffle.partitions": "3"})
    assert found["spark.master"].startswith("local[")
    assert found["spark.driver.host"] == "127.0.0.1"
    assert found["spark.sql.variable.substitute"] == "false"
    assert found["spark.sql.shuffle.partitions"] == "3"
    assert found["spark.driver.memory"] == "512m"


def test_java_maps_the_classes_that_an_image_kept(
    stage_context: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_HOME", str(tmp_path))
    without = settings(stage_context(), None, None)
    assert "SharedArchiveFile" not in without["spark.driver.extraJavaOptions"]
    (tmp_path / "classes.jsa").touch()
    found = settings(stage_context(), None, None)
    for side in ("driver", "executor"):
        assert f"-XX:SharedArchiveFile={tmp_path}/classes.jsa" in found[f"spark.{side}.extraJavaOptions"]


@pytest.mark.parametrize(
    "key",
    [
        "spark.master",
        "spark.hadoop.fs.s3a.secret.key",
        "spark.driver.extraJavaOptions",
        "spark.sql.variable.substitute",
    ],
)
def test_what_a_stage_may_not_set_is_refused_once_more(key: str, stage_context: Maker) -> None:
    with pytest.raises(ConfigError, match=key):
        settings(stage_context(kind="spark", block={"app": "a.py"}), None, {key: "x"})


def test_a_statement_keeps_its_meaning(stage_context: Maker) -> None:
    with pytest.raises(ConfigError, match="what the statement means"):
        settings(stage_context(), None, {"spark.sql.ansi.enabled": "false"})
    app = stage_context(kind="spark", block={"app": "a.py"})
    assert settings(app, None, {"spark.sql.ansi.enabled": "false"})["spark.sql.ansi.enabled"] == "false"


def test_too_little_memory_is_said(stage_context: Maker) -> None:
    ctx = stage_context()
    ctx.task = replace(ctx.task, memory=512 << 20)
    with pytest.raises(ConfigError, match="1Gi of memory, and the stage has 512Mi"):
        settings(ctx, None, None)


@pytest.mark.usefixtures("on_cluster")
def test_on_a_cluster_executors_are_pods(stage_context: Maker) -> None:
    ctx = stage_context(run="manual__2026-05-10T12:00:00+00:00")
    found = settings(ctx, executors(min=1, max=4, cpu="500m", memory="2Gi"), None)
    assert found["spark.master"] == "k8s://https://kubernetes.default.svc"
    assert (found["spark.driver.host"], found["spark.driver.port"]) == ("10.1.2.3", "7078")
    assert (found["spark.driver.blockManager.port"], found["spark.blockManager.port"]) == ("7079", "7079")
    assert found["spark.kubernetes.driver.pod.name"] == "aggregate-0123456789-1-0"
    assert found["spark.kubernetes.executor.request.cores"] == "500m"
    assert (found["spark.executor.cores"], found["spark.executor.memory"]) == ("1", "1228m")
    assert found["spark.executor.memoryOverhead"] == "820m"
    assert found["spark.dynamicAllocation.maxExecutors"] == "4"
    assert found["spark.dynamicAllocation.shuffleTracking.enabled"] == "true"
    assert found["spark.authenticate"] == found["spark.network.crypto.enabled"] == "true"
    label = found["spark.kubernetes.executor.label.adutora.dev/run"]
    assert label.startswith("manual__2026-05-10T12_00_00_00_00-")
    assert "spark.kubernetes.executor.label.adutora.dev/task" not in found
    assert json.loads(Path(found["spark.kubernetes.executor.podTemplateFile"]).read_text()) == {"kind": "Pod"}
    assert "spark.eventLog.enabled" not in found


@pytest.mark.usefixtures("on_cluster")
def test_as_many_executors_as_are_asked_for(stage_context: Maker) -> None:
    found = settings(stage_context(), executors(min=3, max=3), None)
    assert found["spark.executor.instances"] == "3"
    assert "spark.dynamicAllocation.enabled" not in found
    assert found["spark.executor.maxNumFailures"] == "6"


@pytest.mark.usefixtures("on_cluster")
def test_the_event_log_lies_beside_the_lake(
    stage_context: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ADUTORA_SPARK_EVENT_LOG")
    found = settings(stage_context(), None, None)
    assert found["spark.eventLog.dir"] == f"{tmp_path}/lake/_spark-events"
    assert Path(found["spark.eventLog.dir"]).is_dir()


def test_a_cluster_with_a_part_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="ADUTORA_SPARK_IMAGE, ADUTORA_POD_IP is not set"):
        Cluster.of({**CLUSTER, "ADUTORA_SPARK_IMAGE": "", "ADUTORA_POD_IP": ""})
    assert Cluster.of({"ADUTORA_SPARK_MASTER": "local[2]"}) is None


def test_keys_of_the_lake_are_settings_of_s3a_alone(
    stage_context: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = tmp_path / ".adutora" / "secrets" / "lake"
    secrets.mkdir(parents=True)
    (secrets / "accessKey").write_text("the-access-key")
    (secrets / "secretKey").write_text("the-secret-key")
    ctx = stage_context()
    s3 = {"bucket": "lake", "endpoint": "http://127.0.0.1:9", "region": "us-east-1"}
    config = replace(
        ctx.task.config,
        lake={"root": "s3://lake/x", "connection": "lake", "layers": {}},
        connections={"lake": {"name": "lake", "s3": s3, "secretRef": {"name": "lake"}}},
    )
    ctx.task = replace(ctx.task, config=config, lake_root="s3://lake/x")
    found = settings(ctx, None, None)
    assert found["spark.hadoop.fs.s3a.secret.key"] == "the-secret-key"
    assert found["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert [name for name, value in found.items() if "the-" in value] == [
        "spark.hadoop.fs.s3a.access.key", "spark.hadoop.fs.s3a.secret.key",
    ]  # fmt: skip
    assert url("s3://lake/x") == "s3a://lake/x"
    assert url("/lake/x") == "/lake/x"


def test_values_survive_a_file_of_properties() -> None:
    assert _escaped("a\\b\nc é 😀") == "a\\\\b\\nc \\u00e9 \\ud83d\\ude00"


@pytest.mark.parametrize(
    ("version", "wrong"), [("11.0.2", "Java 17 or newer"), ("1.8.0_392", "is Java 8"), ("17.0.15", None), ("21", None)]
)
def test_java_must_be_new_enough(version: str, wrong: str | None, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch(mode=0o755)
    (tmp_path / "release").write_text(f'JAVA_VERSION="{version}"\n')
    if wrong is None:
        check_java({"JAVA_HOME": str(tmp_path)})
        return
    with pytest.raises(ConfigError, match=wrong) as error:
        check_java({"JAVA_HOME": str(tmp_path)})
    assert "openjdk-17-jre-headless" in str(error.value)


def test_no_java_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is none on PATH") as error:
        check_java({"PATH": str(tmp_path)})
    assert "brew install openjdk@17" in str(error.value)
    with pytest.raises(ConfigError, match="none in JAVA_HOME"):
        check_java({"JAVA_HOME": str(tmp_path / "gone")})


def test_what_executors_wait_for() -> None:
    unschedulable = {"status": {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"},
    ]}}  # fmt: skip
    pulling = {"status": {"phase": "Pending", "containerStatuses": [
        {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}},
    ]}}  # fmt: skip
    made = {
        "status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}
    }
    assert reasons([unschedulable, unschedulable, pulling]) == (
        "2 pods: Unschedulable: 0/1 nodes are available; 1 pod: ImagePullBackOff: no such image"
    )
    assert reasons([made]) == "1 pod: Pending, its container is being made"
    assert "no pod was made" in reasons([])
