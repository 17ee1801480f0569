"""Spark in the charts: who reaches whom, what Airflow is told, and the history server."""

import json

import pytest

from tests.charts.rendering import ALL, CHART, Helm, Json, Rendered, containers
from tests.charts.test_wiring import env_of, platform  # noqa: F401 - the fixture

DRIVER = {
    "app.kubernetes.io/managed-by": "adutora", "app.kubernetes.io/component": "stage", "adutora.dev/engine": "spark",
}  # fmt: skip
EXECUTOR = {"app.kubernetes.io/managed-by": "adutora", "app.kubernetes.io/component": "executor"}


@pytest.fixture(scope="module")
def chart(helm: Helm) -> Rendered:
    return helm.template(CHART, *ALL, "global.adutora.namespaces={team-a,team-b}", "spark.moreServiceAccounts={big}")


def reached(rules: list[Json], side: str) -> set[tuple[str, int]]:
    """Peers, by component, with the ports on which they are reached or reach."""
    return {
        (peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component", "other"), port["port"])
        for rule in rules for peer in rule[side] for port in rule["ports"]
    }  # fmt: skip


def test_drivers_and_executors_reach_one_another_and_no_one_else_reaches_them(chart: Rendered) -> None:
    drivers = chart.get("NetworkPolicy", "adutora-spark-drivers", "team-a")["spec"]
    executors = chart.get("NetworkPolicy", "adutora-spark-executors", "team-a")["spec"]
    assert drivers["podSelector"]["matchLabels"] == DRIVER
    assert executors["podSelector"]["matchLabels"] == EXECUTOR
    assert reached(drivers["ingress"], "from") == {("executor", 7078), ("executor", 7079)}
    assert reached(drivers["egress"], "to") == {("executor", 7079), ("other", 443), ("other", 6443)}
    assert reached(executors["ingress"], "from") == {("stage", 7079), ("executor", 7079)}
    assert {("stage", 7078), ("stage", 7079), ("executor", 7079), ("s3", 7070)} <= reached(executors["egress"], "to")
    assert not {443, 6443} & {port for _, port in reached(executors["egress"], "to")}


def test_the_api_server_is_looked_for_in_private_networks_or_where_the_values_say(helm: Helm, chart: Rendered) -> None:
    def blocks(rendered: Rendered, namespace: str) -> set[str]:
        egress = rendered.get("NetworkPolicy", "adutora-spark-drivers", namespace)["spec"]["egress"]
        return {peer["ipBlock"]["cidr"] for rule in egress for peer in rule["to"] if "ipBlock" in peer}

    assert "0.0.0.0/0" not in blocks(chart, "team-a")
    mine = helm.template(CHART, *ALL, "networkPolicies.apiServer[0].ipBlock.cidr=10.1.2.3/32")
    assert blocks(mine, "adutora") == {"10.1.2.3/32"}


def test_the_lake_is_reached_by_executors_and_the_history_server(chart: Rendered) -> None:
    rules = chart.get("NetworkPolicy", "adutora-s3")["spec"]["ingress"]
    assert {("executor", 7070), ("spark-history", 7070), ("stage", 7070)} <= reached(rules, "from")


def test_accounts_of_profiles_get_the_role_in_each_namespace(chart: Rendered) -> None:
    binding = chart.get("RoleBinding", "adutora-spark", "team-b")
    assert [(each["name"], each["namespace"]) for each in binding["subjects"]] == [
        ("adutora-spark", "team-b"), ("big", "team-b"),
    ]  # fmt: skip
    policy = json.dumps(chart.get("ValidatingAdmissionPolicy", "adutora-spark-executors.adutora"))
    for team in ("team-a", "team-b"):
        assert f"system:serviceaccount:{team}:adutora-spark'" in policy
        assert f"system:serviceaccount:{team}:big'" in policy


def history(rendered: Rendered) -> tuple[Json, dict[str, str]]:
    workload = rendered.get("Deployment", "adutora-spark-history")
    (box,) = containers(workload["spec"]["template"]["spec"])
    text = env_of(workload, "history")["SPARK_HISTORY_OPTS"]
    return box, dict(word.removeprefix("-D").split("=", 1) for word in text.split())


def test_the_history_server_reads_the_development_lake_with_its_keys(chart: Rendered) -> None:
    box, options = history(chart)
    assert box["image"] == "adutora/spark:0.1.0"
    assert options["spark.history.fs.logDirectory"] == "s3a://adutora-lake/_spark-events"
    assert options["spark.hadoop.fs.s3a.endpoint"] == "http://adutora-s3.adutora:7070"
    keys = {env["name"]: env["valueFrom"]["secretKeyRef"] for env in box["env"] if "valueFrom" in env}
    assert keys == {
        "AWS_ACCESS_KEY_ID": {"name": "adutora-s3", "key": "accessKey"},
        "AWS_SECRET_ACCESS_KEY": {"name": "adutora-s3", "key": "secretKey"},
    }
    assert chart.get("NetworkPolicy", "adutora-spark-history")["spec"]["ingress"] == []


def test_elsewhere_it_needs_to_be_told_where_logs_are_and_takes_the_clouds_role(helm: Helm) -> None:
    assert "spark.historyServer.logDirectory is empty" in helm.refusal(CHART, "spark.historyServer.enabled=true")
    rendered = helm.template(
        CHART, "spark.historyServer.enabled=true", "spark.historyServer.logDirectory=s3://acme/events",
        "spark.historyServer.serviceAccount.annotations.role=arn",
    )  # fmt: skip
    box, options = history(rendered)
    assert options["spark.history.fs.logDirectory"] == "s3a://acme/events"
    assert "WebIdentityTokenFile" in options["spark.hadoop.fs.s3a.aws.credentials.provider"]
    assert not [env for env in box["env"] if "valueFrom" in env]
    assert rendered.get("ServiceAccount", "adutora-spark-history")["metadata"]["annotations"] == {"role": "arn"}


def test_it_is_off_unless_asked_for(helm: Helm) -> None:
    assert not [name for name in helm.template(CHART).names("Deployment") if "history" in name]


def test_values_that_are_wrong_are_refused(helm: Helm) -> None:
    assert "sparkEventLog" in helm.refusal(CHART, "global.adutora.sparkEventLog=s3 bucket")
    assert "heap" in helm.refusal(CHART, "spark.historyServer.heap=lots")


@pytest.mark.parametrize("component", ["scheduler", "triggerer"])
def test_airflow_knows_the_accounts(platform: Rendered, component: str) -> None:  # noqa: F811
    env = env_of(platform.get("Deployment", f"airflow-{component}"), component)
    assert env["ADUTORA_SPARK_SERVICE_ACCOUNT"] == "adutora-spark"
    assert env["ADUTORA_SPARK_EXECUTOR_SERVICE_ACCOUNT"] == "adutora-spark-executor"
    assert "ADUTORA_SPARK_EVENT_LOG" not in env


@pytest.mark.parametrize(("given", "told"), [("none", ""), ("s3://logs/spark", "s3://logs/spark")])
def test_airflow_knows_where_event_logs_go(helm: Helm, umbrella: object, given: str, told: str) -> None:
    rendered = helm.template(umbrella, f"global.adutora.sparkEventLog={given}")  # type: ignore[arg-type]
    assert env_of(rendered.get("Deployment", "airflow-scheduler"), "scheduler")["ADUTORA_SPARK_EVENT_LOG"] == told
