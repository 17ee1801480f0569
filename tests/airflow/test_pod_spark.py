"""The pod of a stage on Spark: a driver that may make executors, and the template of those."""

import json
from typing import Any

import pytest

from adutora.errors import ConfigError
from adutora_airflow.pod import Again, manifest
from adutora_airflow.spark import account_notice
from tests.airflow.conftest import compiled, pipeline, sql, stage_run
from tests.airflow.test_pod import PROJECT

EXECUTOR_LABELS = {
    "app.kubernetes.io/managed-by": "adutora", "app.kubernetes.io/component": "executor",
    "adutora.dev/pipeline": "shop", "adutora.dev/stage": "a", "adutora.dev/run": "manual__1",
}  # fmt: skip


def on_spark(**more: Any) -> dict[str, Any]:
    block = {"query": "SELECT 1 AS a", "engine": "spark", **more.pop("sql", {})}
    return {"name": "a", "sql": block, **more}


def pod_of(stage: dict[str, Any], **run: Any) -> dict[str, Any]:
    return manifest(stage_run(compiled(pipeline(stage), **PROJECT), "a", **run), Again())


def env_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def template_of(pod: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(env_of(pod)["ADUTORA_SPARK_EXECUTOR_TEMPLATE"].replace("$$", "$")))


def test_it_runs_in_the_image_of_spark_under_an_account_that_may_make_pods() -> None:
    pod = pod_of(on_spark())
    assert pod["spec"]["containers"][0]["image"] == "registry.test/spark:1"
    assert pod["spec"]["serviceAccountName"] == "adutora-spark"
    assert pod["spec"]["automountServiceAccountToken"] is True
    assert pod["metadata"]["labels"]["adutora.dev/engine"] == "spark"
    # No other stage gets any of this.
    other = pod_of(sql("a"))
    assert other["spec"]["automountServiceAccountToken"] is False
    assert "adutora.dev/engine" not in other["metadata"]["labels"]
    assert not any(name.startswith(("ADUTORA_SPARK", "ADUTORA_POD")) for name in env_of(other))


def test_it_is_told_its_cluster_and_itself() -> None:
    env = env_of(pod_of(on_spark()))
    assert env["ADUTORA_SPARK_MASTER"] == "k8s://https://kubernetes.default.svc"
    assert env["ADUTORA_SPARK_IMAGE"] == "registry.test/spark:1"
    assert env["ADUTORA_SPARK_EXECUTOR_ACCOUNT"] == "adutora-spark-executor"
    assert {name: env[name]["fieldRef"]["fieldPath"] for name in env if name.startswith("ADUTORA_POD")} == {
        "ADUTORA_POD_NAME": "metadata.name", "ADUTORA_POD_NAMESPACE": "metadata.namespace", "ADUTORA_POD_IP": "status.podIP",
    }  # fmt: skip
    assert "ADUTORA_SPARK_EVENT_LOG" not in env


@pytest.mark.parametrize("value", ["", "s3://logs/spark"])
def test_event_logs_go_where_the_platform_says(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADUTORA_SPARK_EVENT_LOG", value)
    assert env_of(pod_of(on_spark()))["ADUTORA_SPARK_EVENT_LOG"] == value


def test_its_ports_are_those_of_the_network_policies() -> None:
    (container,) = pod_of(on_spark())["spec"]["containers"]
    assert {each["name"]: each["containerPort"] for each in container["ports"]} == {
        "driver": 7078, "blocks": 7079, "ui": 4040,
    }  # fmt: skip


def test_executors_are_confined_and_hold_no_secret_and_no_token() -> None:
    pod = pod_of(on_spark(timeout="5m", resources={"scratch": "3Gi"}))
    template = template_of(pod)
    spec = template["spec"]
    assert template["metadata"]["labels"] == EXECUTOR_LABELS
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"] == pod["spec"]["securityContext"]
    assert spec["activeDeadlineSeconds"] == 300
    (container,) = spec["containers"]
    assert container["securityContext"] == pod["spec"]["containers"][0]["securityContext"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"]} == {str(3 << 30)}
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/work", "/tmp", "/var/data/spark"}
    # The driver has the lake's keys, and tells them over its own encrypted channel.
    assert any("secret" in volume for volume in pod["spec"]["volumes"])


def test_only_writable_volumes_of_its_own() -> None:
    (container,) = pod_of(on_spark())["spec"]["containers"]
    assert {"/work", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_a_profile_places_executors_too_and_its_account_is_spoken_of() -> None:
    config = compiled(pipeline(on_spark(profile="large")), **PROJECT)
    pod = manifest(stage_run(config, "a"), Again())
    spec = template_of(pod)["spec"]
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"pool": "highmem"}, "high")
    assert pod["spec"]["serviceAccountName"] == "big"
    assert env_of(pod)["ADUTORA_SPARK_EXECUTOR_ACCOUNT"] == "big"
    notice = account_notice(config.stage("a"), dict(config.profiles["large"])) or ""
    assert "service account big of profile large" in notice
    assert "spark.moreServiceAccounts" in notice
    assert account_notice(config.stage("a"), {}) is None


def test_an_image_of_the_users_runs_driver_and_executors() -> None:
    app = {"app": "jobs/a.py", "image": "registry.acme.io/jobs:1"}
    pod = pod_of({"name": "a", "spark": app, "output": {"table": "silver.a"}})
    assert pod["spec"]["containers"][0]["image"] == "registry.acme.io/jobs:1"
    assert env_of(pod)["ADUTORA_SPARK_IMAGE"] == "registry.acme.io/jobs:1"


def test_without_an_image_of_spark_the_default_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADUTORA_IMAGES", '{"default": "registry.test/stages:1"}')
    with pytest.raises(ConfigError, match="no image for spark stages") as error:
        pod_of(on_spark())
    assert '"spark": "registry.acme.io/adutora/spark:1.0"' in (error.value.hint or "")


def test_the_same_try_gives_the_same_pod() -> None:
    assert pod_of(on_spark()) == pod_of(on_spark())
