"""The pod of a stage: what it may, what it is told, and nothing of a user's text run or expanded."""

import base64
import gzip
import json
from typing import Any

import pytest

from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError
from adutora_airflow.pod import Again, image_of, manifest, safe_label, task_key
from tests.airflow.conftest import compiled, pipeline, sql, stage_run

PROJECT: dict[str, Any] = {
    "lake": {"root": "s3://lake", "connection": "lake"},
    "connections": [
        {"name": "lake", "s3": {"bucket": "lake"}, "secretRef": {"name": "lake-keys"}},
        {"name": "online", "redis": {"host": "redis"}, "secretRef": {"name": "redis-password"}},
        {"name": "books", "http": {"baseUrl": "http://books"}, "secretRef": {"name": "books"}},
    ],
    "profiles": [
        {"name": "large", "serviceAccount": "big", "nodeSelector": {"pool": "highmem"}, "priorityClass": "high"}
    ],
}


def pod_of(stage: dict[str, Any], again: Again | None = None, **run: Any) -> dict[str, Any]:
    config = compiled(pipeline(stage), **PROJECT)
    return manifest(stage_run(config, stage["name"], **run), again or Again())


def stage_of(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    return dict(container)


def env_of(container: dict[str, Any]) -> dict[str, str]:
    # As the kubelet reads it: `$$` is `$`, `$(NAME)` would be another variable.
    assert not any("$(" in each["value"].replace("$$", "") for each in container["env"])
    return {each["name"]: each["value"].replace("$$", "$") for each in container["env"]}


def test_it_is_restricted() -> None:
    pod = pod_of(sql("a"))
    spec, container = pod["spec"], stage_of(pod)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert (spec["restartPolicy"], spec["serviceAccountName"]) == ("Never", "adutora-stage")
    assert pod["metadata"]["namespace"] == "team"


def test_it_is_told_its_task_and_its_pipeline() -> None:
    config = compiled(pipeline(sql("a")), **PROJECT)
    env = env_of(stage_of(manifest(stage_run(config, "a", params={"p": "$(x) $HOME"}), Again())))
    task = json.loads(env["ADUTORA_TASK"])
    assert (task["stage"], task["attempt"], task["params"]) == ("a", 1, {"p": "$(x) $HOME"})
    told = gzip.decompress(base64.b64decode(env["ADUTORA_CONFIG_0"]))
    assert DagConfig.from_json(json.loads(told)) == config


def test_a_large_pipeline_comes_in_pieces() -> None:
    import random

    rng = random.Random(1)
    noise = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(240_000))
    parts = [noise[start : start + 60_000] for start in range(0, len(noise), 60_000)]
    stages = [{"name": name, "sql": {"query": f"SELECT '{part}'"}} for name, part in zip("abcd", parts, strict=True)]
    config = compiled(pipeline(*stages))
    env = env_of(stage_of(manifest(stage_run(config, "a"), Again())))
    pieces = [env[f"ADUTORA_CONFIG_{number}"] for number in range(sum("CONFIG" in name for name in env))]
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= 96 * 1024
    assert json.loads(gzip.decompress(base64.b64decode("".join(pieces))))["hash"] == config.hash


def test_memory_is_request_and_limit() -> None:
    resources = {"cpu": "2", "memory": "1Gi", "maxMemory": "4Gi", "scratch": "3Gi"}
    pod = pod_of(sql("a", resources=resources))
    assert stage_of(pod)["resources"] == {
        "requests": {"cpu": "2000m", "memory": str(1 << 30)}, "limits": {"memory": str(1 << 30)},
    }  # fmt: skip
    assert pod["spec"]["volumes"][0] == {"name": "work", "emptyDir": {"sizeLimit": str(3 << 30)}}
    more = pod_of(sql("a", resources=resources), Again(1, 0, 2 << 30))
    assert stage_of(more)["resources"]["limits"] == {"memory": str(2 << 30)}
    assert json.loads(env_of(stage_of(more))["ADUTORA_TASK"])["memory"] == 2 << 30
    assert more["metadata"]["name"] != pod["metadata"]["name"]


def test_only_secrets_of_its_own_connections() -> None:
    def mounted(stage: dict[str, Any]) -> set[str]:
        pod = pod_of(stage)
        names = {volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume}
        mounts = {m["mountPath"] for m in stage_of(pod)["volumeMounts"] if m["name"].startswith("secret")}
        assert mounts == {f"/run/adutora/secrets/{name}" for name in names}
        return names

    assert mounted(sql("a")) == {"lake-keys"}
    publish = {"name": "b", "input": {"table": "x.y", "external": True}, "publish": {"key": ["k"], "prefix": "p"}}
    assert mounted(publish) == {"lake-keys", "redis-password"}


def test_a_profile_sets_pod_fields() -> None:
    spec = pod_of(sql("a", profile="large"))["spec"]
    assert spec["serviceAccountName"] == "big"
    assert spec["nodeSelector"] == {"pool": "highmem"}
    assert spec["priorityClassName"] == "high"


OWN = {
    "image": "registry.acme.io/x:1", "command": ["sh", "-c", "echo $HOME $(date) $$"], "args": ["{{ x }}"],
    "env": [{"name": "DAY", "value": "on $(run.date)"}, {"name": "ODD", "value": "$$(x) $HOME"}],
}  # fmt: skip


def test_an_image_of_the_users() -> None:
    pod = pod_of({"name": "a", "container": OWN})
    container = stage_of(pod)
    assert container["image"] == "registry.acme.io/x:1"
    assert container["command"] == ["sh", "-c", "echo $$HOME $$(date) $$$$"]
    assert container["args"] == ["{{ x }}"]
    assert env_of(container) == {"DAY": "on 2026-05-10", "ODD": "$(x) $HOME"}
    assert container["terminationMessagePath"] == "/var/run/adutora/outputs.json"
    assert "initContainers" not in pod["spec"]
    assert not any("secret" in volume for volume in pod["spec"]["volumes"])
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_an_image_of_the_users_gets_its_connections_as_files() -> None:
    pod = pod_of({"name": "a", "container": {**OWN, "connections": ["books"]}})
    (first,) = pod["spec"]["initContainers"]
    assert first["image"] == "registry.test/stages:1"
    assert first["command"][-1] == "connections"
    assert [m["mountPath"] for m in first["volumeMounts"]] == [
        "/work", "/var/run/adutora", "/run/adutora/secrets/books",
    ]  # fmt: skip
    # The user's image sees the files that were written for it, and no mounted secret.
    assert [m["mountPath"] for m in stage_of(pod)["volumeMounts"]] == ["/work", "/tmp", "/var/run/adutora"]


def test_names_and_labels_fit() -> None:
    pod = pod_of(sql("a" * 63))
    assert len(pod["metadata"]["name"]) <= 63
    for value in pod["metadata"]["labels"].values():
        assert len(value) <= 63
    assert safe_label("manual__2026-05-10T00:00:00+00:00") != safe_label("manual__2026-05-10T00:00:00.00:00")
    assert safe_label("plain-1") == "plain-1"
    assert task_key("t.p", "r", "s", None) != task_key("t.p", "r", "s", 0)


def test_the_same_try_gives_the_same_pod() -> None:
    assert pod_of(sql("a")) == pod_of(sql("a"))


def test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (image_of("python"), image_of("sql")) == ("registry.test/python:1", "registry.test/stages:1")
    monkeypatch.delenv("ADUTORA_IMAGES")
    with pytest.raises(ConfigError, match="ADUTORA_IMAGES"):
        image_of("sql")
