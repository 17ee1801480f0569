"""Rights and pods: least privilege, and the pod security standard `restricted`, as the rendered charts have them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charts.rendering import ALL, CHART, UMBRELLA, VALUES_FILES, Helm, Json, PodTemplate, Rendered, containers

# What may be asked for, and nothing beside it.
ALLOWED = {
    ("", "pods"): {"create", "get", "list", "watch", "delete"},
    ("", "pods/log"): {"get"},
    ("adutora.dev", "pipelines"): {"get", "list", "watch"},
    ("adutora.dev", "projects"): {"get", "list", "watch"},
    ("adutora.dev", "pipelinerevisions"): {"get", "list", "watch", "create", "delete"},
    ("adutora.dev", "pipelines/status"): {"patch"},
    ("adutora.dev", "projects/status"): {"patch"},
    ("adutora.dev", "pipelines/finalizers"): {"update"},
}
# KubernetesExecutor adopts workers of a scheduler that died.
WORKERS = {**ALLOWED, ("", "pods"): {*ALLOWED["", "pods"], "patch"}}
# A driver takes all its executors away in one call; that they are its own is for the admission policy.
DRIVERS = {("", "pods"): {*ALLOWED["", "pods"], "deletecollection"}}
LIMITS = {"Role adutora-airflow-workers": WORKERS, "Role adutora-spark": DRIVERS}


@pytest.fixture(scope="module")
def chart(helm: Helm) -> Rendered:
    return helm.template(CHART, *ALL, "global.adutora.namespaces={team-a,team-b}")


def test_no_role_asks_for_more_than_is_needed(chart: Rendered) -> None:
    for where, rule in chart.rules():
        limits = LIMITS.get(where, ALLOWED)
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                assert set(rule["verbs"]) <= limits[group, resource], where


def test_no_role_of_the_cluster(chart: Rendered) -> None:
    assert not chart.of("ClusterRole")
    assert not chart.of("ClusterRoleBinding")


@pytest.mark.parametrize("name", [None, *VALUES_FILES])
def test_nobody_reads_secrets_or_enters_pods_with_the_official_chart(
    helm: Helm, official: Path, name: str | None
) -> None:
    rendered = helm.template(official, *([UMBRELLA / name] if name else []))
    for where, rule in rendered.rules():
        assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}, where
        assert not {"secrets", "pods/exec", "pods/attach", "serviceaccounts/token"} & set(rule["resources"]), where
    assert not rendered.of("ClusterRoleBinding")


def test_each_rule_has_its_reason() -> None:
    for path in CHART.glob("templates/**/rbac.yaml"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if line.startswith("  - apiGroups:"):
                assert lines[number - 1].startswith("  # "), f"{path.name}:{number + 1}: no reason above the rule"


def test_roles_stand_in_the_served_namespaces_alone(chart: Rendered) -> None:
    homes = {(role["metadata"]["name"], role["metadata"].get("namespace")) for role in chart.of("Role")}
    each = {"adutora-operator", "adutora-airflow-tasks", "adutora-airflow-sync", "adutora-spark"}
    assert homes == {
        *((name, team) for name in each for team in ("team-a", "team-b")),
        ("adutora-airflow-workers", None),
    }


def test_stages_have_an_account_without_rights_or_token(chart: Rendered) -> None:
    for account in chart.of("ServiceAccount"):
        if account["metadata"]["name"] == "adutora-stage":
            assert account["automountServiceAccountToken"] is False
    bound = {subject["name"] for binding in chart.of("RoleBinding") for subject in binding["subjects"]}
    assert "adutora-stage" not in bound


def test_executors_have_an_account_without_rights_and_drivers_tokens_are_asked_for(chart: Rendered) -> None:
    accounts = {each["metadata"]["name"]: each for each in chart.of("ServiceAccount")}
    for name in ("adutora-spark", "adutora-spark-executor", "adutora-spark-history"):
        assert accounts[name]["automountServiceAccountToken"] is False, name
    bound = [
        (subject["name"], subject["namespace"])
        for binding in chart.of("RoleBinding") if binding["roleRef"]["name"] == "adutora-spark"
        for subject in binding["subjects"]
    ]  # fmt: skip
    assert sorted(bound) == [("adutora-spark", "team-a"), ("adutora-spark", "team-b")]


def test_without_spark_nothing_of_it_is_there(helm: Helm) -> None:
    rendered = helm.template(CHART, *ALL, "spark.enabled=false")
    assert not [each["metadata"]["name"] for each in rendered.objects if "spark" in each["metadata"]["name"]]


def breaches(pod: PodTemplate) -> Iterator[str]:
    """What the standard `restricted` forbids, and what we forbid beside it."""
    spec = pod.spec
    shared: Json = spec.get("securityContext") or {}
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares the host's"
    allowed = {"configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim", "name"}
    for volume in spec.get("volumes") or []:
        yield from (f"volume {volume['name']} is {kind}" for kind in set(volume) - allowed)
    for container in containers(spec):
        own: Json = container.get("securityContext") or {}
        effective = {**shared, **own}
        wanted = {
            "runAsNonRoot": effective.get("runAsNonRoot") is True,
            "runAsUser": effective.get("runAsUser", 0) != 0,
            "seccompProfile": (effective.get("seccompProfile") or {}).get("type") == "RuntimeDefault",
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged"),
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "memory limit": "memory" in (container.get("resources") or {}).get("limits", {}),
            "requests": {"cpu", "memory"} <= set((container.get("resources") or {}).get("requests", {})),
        }
        yield from (f"{container['name']}: {name}" for name, holds in wanted.items() if not holds)


def test_every_pod_is_restricted(chart: Rendered) -> None:
    pods = list(chart.pods())
    assert len(pods) == 6  # the operator, three stores, Spark's history server, helm test
    assert not [f"{pod.where}: {breach}" for pod in pods for breach in breaches(pod)]


def test_every_pod_of_the_platform_is_restricted(helm: Helm, umbrella: Path) -> None:
    pods = list(helm.template(umbrella).pods())
    assert len(pods) == 5 + 4 + 2
    assert not [f"{pod.where}: {breach}" for pod in pods for breach in breaches(pod)]


@pytest.mark.parametrize("name", [None, *VALUES_FILES])
def test_every_pod_of_the_official_chart_is_restricted(helm: Helm, official: Path, name: str | None) -> None:
    rendered = helm.template(official, *([UMBRELLA / name] if name else []))
    assert not [f"{pod.where}: {breach}" for pod in rendered.pods() for breach in breaches(pod)]


def test_only_those_who_speak_to_the_api_server_have_a_token(helm: Helm, official: Path) -> None:
    rendered = helm.template(official)
    silent = {
        each["metadata"]["name"]
        for each in rendered.of("ServiceAccount")
        if each.get("automountServiceAccountToken") is False
    }
    holders = {
        pod.where for pod in rendered.pods()
        if pod.spec.get("automountServiceAccountToken") is not False and pod.spec.get("serviceAccountName") not in silent
    }  # fmt: skip
    assert holders == {
        "Deployment adutora-operator", "Deployment airflow-scheduler", "Deployment airflow-dag-processor",
        "Deployment airflow-triggerer", "Pod adutora-test",
    }  # fmt: skip


def test_no_password_stands_outside_a_secret(chart: Rendered) -> None:
    for each in chart.objects:
        if each["kind"] in ("Secret", "CustomResourceDefinition"):
            continue
        pod = pod_env(each)
        assert not [name for name, value in pod if value and any(word in name for word in ("PASSWORD", "SECRET", "KEY"))
                    and not name.endswith("_FILE")], each["metadata"]["name"]  # fmt: skip


def pod_env(thing: Json) -> list[tuple[str, str | None]]:
    """Environment variables with a value of their own."""
    found = list(Rendered([thing]).pods())
    return [
        (env["name"], env.get("value")) for pod in found for box in containers(pod.spec) for env in box.get("env") or []
    ]
