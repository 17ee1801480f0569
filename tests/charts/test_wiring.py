"""What the charts say to one another: Project, secrets, names, network, and the umbrella with the stand-in."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adutora.spec.project import Project
from tests.charts.rendering import ALL, CHART, UMBRELLA, Helm, Json, Rendered, containers

TEAMS = "global.adutora.namespaces={team-a,team-b}"


@pytest.fixture(scope="module")
def chart(helm: Helm) -> Rendered:
    return helm.template(CHART, *ALL, TEAMS)


def data(secret: Json) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def test_each_namespace_has_a_project_that_our_own_models_accept(chart: Rendered) -> None:
    for team in ("team-a", "team-b"):
        rendered = chart.get("Project", "default", team)
        plain = {**rendered, "metadata": {key: rendered["metadata"][key] for key in ("name", "namespace")}}
        project = Project.model_validate(plain)
        assert project.spec.lake.root == f"s3://adutora-lake/_namespaces/{team}"
        assert project.spec.filesRoot == "s3://adutora-files"
        assert {each.name: each.type for each in project.spec.connections} == {"lake": "s3", "online": "redis"}


def test_the_secrets_that_a_project_names_are_there(chart: Rendered) -> None:
    for project in chart.of("Project"):
        namespace = project["metadata"]["namespace"]
        for connection in project["spec"]["connections"]:
            chart.get("Secret", connection["secretRef"]["name"], namespace)


def test_a_store_and_its_users_have_the_same_password(chart: Rendered) -> None:
    redis = data(chart.get("Secret", "adutora-redis"))["password"]
    assert data(chart.get("Secret", "adutora-online", "team-a"))["password"] == redis
    assert (
        data(chart.get("Secret", "adutora-airflow-broker"))["connection"]
        == f"redis://:{redis}@adutora-redis.adutora:6379/1"
    )
    keys = data(chart.get("Secret", "adutora-s3"))
    assert data(chart.get("Secret", "adutora-lake", "team-b")) == keys
    logs = json.loads(data(chart.get("Secret", "adutora-airflow-logs"))["connection"])
    assert (logs["login"], logs["password"]) == (keys["accessKey"], keys["secretKey"])
    password = data(chart.get("Secret", "adutora-postgresql"))["password"]
    metadata = data(chart.get("Secret", "adutora-airflow-metadata"))["connection"]
    assert metadata == f"postgresql+psycopg2://airflow:{password}@adutora-postgresql.adutora:5432/airflow"


def test_the_fernet_key_is_one(chart: Rendered) -> None:
    key = data(chart.get("Secret", "adutora-airflow-keys"))["fernet-key"]
    assert len(base64.urlsafe_b64decode(key)) == 32
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", key)


def test_values_win_over_the_development_stores(helm: Helm, tmp_path: Path) -> None:
    mine = {
        "lake": {"root": "s3://mine"},
        "defaults": {"retries": 3},
        "connections": [
            {"name": "online", "redis": {"host": "cache"}},
            {"name": "shop", "postgres": {"host": "db", "database": "x"}},
        ],
    }
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({"project": {"spec": mine}}))
    spec = helm.template(CHART, *ALL, tmp_path / "values.yaml").get("Project", "default")["spec"]
    assert spec["lake"] == {"root": "s3://mine"}
    assert spec["filesRoot"] == "s3://adutora-files"
    assert spec["defaults"] == {"retries": 3}
    assert [(each["name"], each.get("redis")) for each in spec["connections"]] == [
        ("online", {"host": "cache"}), ("shop", None), ("lake", None),
    ]  # fmt: skip


def test_without_stores_the_project_is_what_was_given(helm: Helm) -> None:
    rendered = helm.template(CHART, "project.spec.lake.root=s3://mine")
    assert rendered.get("Project", "default")["spec"] == {"lake": {"root": "s3://mine"}}
    assert not rendered.of("StatefulSet")
    assert not rendered.of("Secret")


def test_a_secret_of_ones_own_is_not_made_again(helm: Helm) -> None:
    rendered = helm.template(
        CHART, *ALL, *(f"stores.{name}.existingSecret=mine-{name}" for name in ("s3", "redis", "postgresql"))
    )
    assert not {"adutora-s3", "adutora-redis", "adutora-postgresql"} & rendered.names("Secret")
    for name in ("s3", "redis", "postgresql"):
        assert f"mine-{name}" in json.dumps(rendered.get("StatefulSet", f"adutora-{name}"))


def test_what_must_outlive_the_release_is_kept(chart: Rendered) -> None:
    for kind in ("Secret", "CustomResourceDefinition", "Project"):
        for each in chart.of(kind):
            assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep", each["metadata"]["name"]
    for store in chart.of("StatefulSet"):
        assert store["spec"]["persistentVolumeClaimRetentionPolicy"] == {
            "whenDeleted": "Retain",
            "whenScaled": "Retain",
        }


def test_crds_are_the_generated_ones(chart: Rendered) -> None:
    files = [yaml.safe_load(path.read_text()) for path in (CHART / "files" / "crds").glob("*.yaml")]
    assert len(files) >= 4
    for file in files:
        assert chart.get("CustomResourceDefinition", file["metadata"]["name"])["spec"] == file["spec"]


def test_crds_can_be_left_to_others(helm: Helm) -> None:
    assert not helm.template(CHART, "crds.install=false").of("CustomResourceDefinition")


def policy_peers(rules: list[Json]) -> set[str]:
    peers = [peer for rule in rules for peer in rule.get("to", rule.get("from", []))]
    return {
        peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component", "?") for peer in peers
    }


def test_stages_reach_what_they_are_given(chart: Rendered) -> None:
    policy = chart.get("NetworkPolicy", "adutora-stages", "team-a")["spec"]
    assert policy["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/managed-by": "adutora",
        "app.kubernetes.io/component": "stage",
    }
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == []
    assert policy_peers(policy["egress"]) == {"?", "s3", "redis"}  # ?: kube-system, for DNS
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {53, 6379, 7070}


def test_stages_of_other_namespaces_do_not_reach_the_stores(chart: Rendered) -> None:
    for name in ("s3", "redis"):
        rules = chart.get("NetworkPolicy", f"adutora-{name}")["spec"]["ingress"]
        named = [peer["namespaceSelector"] for rule in rules for peer in rule["from"] if "namespaceSelector" in peer]
        served = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
        assert named
        assert all(each == {"matchExpressions": [served]} for each in named)
    assert "stage" not in policy_peers(chart.get("NetworkPolicy", "adutora-postgresql")["spec"]["ingress"])


def test_the_operator_is_told_its_namespaces(chart: Rendered) -> None:
    env = env_of(chart.get("Deployment", "adutora-operator"), "operator")
    assert env["ADUTORA_NAMESPACES"] == "team-a,team-b"
    assert env["ADUTORA_AIRFLOW_URL"] == "http://airflow-api-server:8080"
    assert env["ADUTORA_AIRFLOW_USER"] == {"secretKeyRef": {"name": "adutora-airflow-operator", "key": "username"}}


def env_of(workload: Json, container: str) -> dict[str, Any]:
    box = next(each for each in containers(workload["spec"]["template"]["spec"]) if each["name"] == container)
    return {env["name"]: env.get("value", env.get("valueFrom")) for env in box.get("env") or []}


COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


@pytest.fixture(scope="module")
def platform(helm: Helm, umbrella: Path) -> Rendered:
    return helm.template(umbrella, TEAMS, "global.adutora.stageImages.spark=adutora/spark:1")


@pytest.mark.parametrize("component", COMPONENTS)
def test_airflow_knows_the_images_and_namespaces(platform: Rendered, component: str) -> None:
    env = env_of(platform.get("Deployment", f"airflow-{component}"), component)
    assert json.loads(env["ADUTORA_IMAGES"]) == {"default": "adutora/stages:0.1.0", "spark": "adutora/spark:1"}
    assert env["ADUTORA_STAGE_SERVICE_ACCOUNT"] == "adutora-stage"
    assert env["ADUTORA_BUNDLE_ROOT"] == "/opt/airflow/adutora"


@pytest.mark.parametrize("component", COMPONENTS[1:])
def test_the_side_car_fills_the_folder_that_airflow_reads(platform: Rendered, component: str) -> None:
    workload = platform.get("Deployment", f"airflow-{component}")
    assert env_of(workload, "adutora-sync")["ADUTORA_NAMESPACES"] == "team-a,team-b"
    spec = workload["spec"]["template"]["spec"]
    mounts = {
        box["name"]: {mount["mountPath"]: mount["name"] for mount in box["volumeMounts"]} for box in spec["containers"]
    }
    assert mounts[component]["/opt/airflow/adutora"] == mounts["adutora-sync"]["/opt/airflow/adutora"] == "adutora"
    assert {"name": "adutora", "emptyDir": {"sizeLimit": "1Gi"}} in spec["volumes"]


def test_the_accounts_of_the_roles_are_those_of_airflow(platform: Rendered) -> None:
    accounts = platform.names("ServiceAccount")
    for binding in platform.of("RoleBinding"):
        assert {subject["name"] for subject in binding["subjects"]} <= accounts, binding["metadata"]["name"]


def test_every_secret_that_a_pod_names_is_there(platform: Rendered) -> None:
    there = platform.names("Secret")
    for pod in platform.pods():
        for box in containers(pod.spec):
            named = [
                env["valueFrom"]["secretKeyRef"]["name"]
                for env in box.get("env") or []
                if "secretKeyRef" in env.get("valueFrom", {})
            ]
            assert set(named) <= there, pod.where
        volumes = [volume["secret"]["secretName"] for volume in pod.spec.get("volumes") or [] if "secret" in volume]
        assert set(volumes) <= there, pod.where


def shape(rendered: Rendered, select: Callable[[Json], Any]) -> dict[str, Any]:
    """What `select` sees of each container of Airflow's workloads."""
    out = {}
    for kind in ("Deployment", "Job"):
        for each in rendered.of(kind):
            if each["metadata"]["name"].startswith("airflow-"):
                for box in containers(each["spec"]["template"]["spec"]):
                    if not box["name"].endswith(("-log-groomer", "-migrations")) or kind == "Job":
                        out[f"{each['metadata']['name']}/{box['name']}"] = select(box)
    return out


def environment(box: Json) -> dict[str, Any]:
    found = {env["name"]: env.get("value", env.get("valueFrom")) for env in box.get("env") or []}
    return {name: value for name, value in found.items() if name != "PYTHONUNBUFFERED"}


def mounts(box: Json) -> set[tuple[str, str, str | None]]:
    found = {(each["mountPath"], each["name"], each.get("subPath")) for each in box["volumeMounts"]}
    return {each for each in found if "pod_template" not in each[0]}


@pytest.mark.parametrize(
    "select",
    [environment, mounts, lambda box: (box["image"], box.get("command"), box.get("args")),
     lambda box: box["securityContext"], lambda box: box["resources"]],
    ids=["environment", "mounts", "command", "security", "resources"],
)  # fmt: skip
def test_the_stand_in_runs_what_the_official_chart_runs(
    helm: Helm, umbrella: Path, official: Path, select: Callable[[Json], Any]
) -> None:
    kind = UMBRELLA / "values-kind.yaml"
    ours, theirs = shape(helm.template(umbrella, kind), select), shape(helm.template(official, kind), select)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert ours[name] == value, name


def test_the_stand_in_configures_what_the_official_chart_configures(helm: Helm, umbrella: Path, official: Path) -> None:
    ours, theirs = (settings(helm.template(each)) for each in (umbrella, official))
    assert ours.items() <= theirs.items()
    given = yaml.safe_load((UMBRELLA / "values.yaml").read_text())["airflow"]["config"]
    assert {(section, key) for section, values in given.items() for key in values} <= set(ours)


def settings(rendered: Rendered) -> dict[tuple[str, str], Any]:
    """airflow.cfg."""
    out, section = {}, ""
    for line in rendered.get("ConfigMap", "airflow-config")["data"]["airflow.cfg"].splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif " = " in line:
            key, _, value = line.partition(" = ")
            out[section, key] = json.loads(value) if value.startswith("[") else value
    return out
