"""Pipelines and objects that mean harm: each is refused with a reason, and a neighbour runs on."""

import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql
from tests.e2e.kubectl import Kubectl, KubectlError, wait_for

pytestmark = pytest.mark.cluster
Json = dict[str, Any]
NUMBERS = itertools.count()
JINJA = "{{ 7 * 7 }} {% raw %} {{ conn.online }}"


def restarts(platform: Platform) -> dict[str, int]:
    """Restarts of every container of the platform."""
    return {
        f"{pod['metadata']['name']}/{each['name']}": each["restartCount"]
        for pod in platform.kubectl.list("pods", "!adutora.dev/pipeline")
        for each in pod["status"].get("containerStatuses", [])
    }


@pytest.fixture(scope="module", autouse=True)
def neighbour(platform: Platform) -> Iterator[str]:
    """A pipeline of somebody else: after all that, it has its one revision, runs, and nothing has crashed."""
    before = restarts(platform)
    platform.apply(pipeline("neighbour", sql("a", "SELECT 1 AS n", "bronze.neighbour")))
    platform.ready("neighbour")
    yield "neighbour"
    platform.airflow.succeed(f"{NAMESPACE}.neighbour")
    assert platform.table("bronze.neighbour")[1:] == [["1"]]
    assert len(platform.kubectl.list("pipelinerevisions", "adutora.dev/pipeline=neighbour")) == 1
    after = restarts(platform)
    assert {name: after[name] for name in before if name in after and after[name] > before[name]} == {}
    assert platform.airflow.get("/importErrors")["import_errors"] == []
    platform.kubectl.delete("pipeline", "neighbour")


@pytest.fixture
def hostile(platform: Platform) -> Iterator[str]:
    """Name of a pipeline that is deleted after the test."""
    name = f"hostile-{next(NUMBERS)}"
    yield name
    platform.kubectl.delete("pipeline", name)


def refusal(platform: Platform, body: Json | str, by: str = "apply") -> str:
    """Apply what should be refused; returns the words of the API server, or of the operator in `Accepted`."""
    try:
        platform.kubectl.run(by, "-f", "-", given=body if isinstance(body, str) else json.dumps(body))
    except KubectlError as error:
        return str(error)
    assert isinstance(body, dict)
    name = body["metadata"]["name"]
    found = wait_for(f"Accepted of {name}", lambda: platform.kubectl.condition(name, "Accepted"), 60)
    assert found["status"] == "False", f"it was accepted: {found['message']}"
    assert not platform.kubectl.list("pipelinerevisions", f"adutora.dev/pipeline={name}")
    return str(found["message"])


def stage(**more: Any) -> Json:
    """A stage that is right, but for what is given."""
    return {**sql("a", "SELECT 1 AS n", "bronze.hostile"), **more}


def query(text: str) -> Json:
    return stage(sql={"query": text})


def file(path: str) -> Json:
    return stage(inputs=[{"name": "raw", "file": path, "format": "csv"}], sql={"query": "SELECT * FROM raw"})


def land(path: str) -> Json:
    return {"name": "a", "ingest": {"files": {"path": path, "format": "csv"}}, "output": {"table": "bronze.hostile"}}


def image(**more: Any) -> Json:
    return {"name": "a", "container": {"image": "adutora/stages:dev", "command": ["true"], **more}}


# What is tried -> the stage, and what the refusal says.
REFUSED: dict[str, tuple[Json, str]] = {
    "unclosed": (query("SELECT $(params.p AS n"), "$( is not closed"),
    "nested": (query("SELECT $(params.$(params.p)) AS n"), "a $(…) inside another"),
    "an expression": (query("SELECT $(1 + 1) AS n"), "names nothing"),
    "python": (query("SELECT $(params.__class__.__mro__) AS n"), "leads nowhere"),
    "the environment": (query("SELECT $(env.PATH) AS n"), "there is no `env`"),
    "a secret": (query("SELECT $(secrets.lake.secretKey) AS n"), "there is no `secrets`"),
    "in a stage's name": (stage(name="$(params.p)"), "stages[0].name"),
    "in a table's name": (stage(output={"table": "bronze.$(params.p)"}), "output.table"),
    "in a connection": ({"name": "a", "probe": {"connection": "$(params.p)"}}, "probe.connection"),
    "in a file's way out": (file("$(params.p)/../../x.csv"), "leaves the pipeline's folder"),
    "a table with ..": (stage(output={"table": "bronze...x"}), "output.table"),
    "a table with /": (stage(output={"table": "bronze.a/b"}), "output.table"),
    "a stage with ..": (stage(name=".."), "stages[0].name"),
    "a stage with /": (stage(name="a/b"), "stages[0].name"),
    "a file above": (file("../other/data.csv"), "leaves the pipeline's folder"),
    "a file in between": (file("data/../../other/data.csv"), "leaves the pipeline's folder"),
    "a file of the pod": (file("/run/adutora/secrets/adutora-lake/secretKey"), "is an absolute path"),
    "a file of the home": (file("~/.aws/credentials"), "is an absolute path"),
    "a file of a bucket": (file("s3://adutora-lake/bronze/neighbour/x.csv"), "is a URL"),
    "ingest from above": (land("../*/data.csv"), "leaves the pipeline's folder"),
    "ingest of all": (land("/etc/*"), "is an absolute path"),
    "an extension": (query("INSTALL httpfs"), "sql.query"),
    "a module of python": (
        {"name": "a", "python": {"function": "../x:f"}, "output": {"table": "bronze.hostile"}},
        "python.function",
    ),
    "another namespace's connection": ({"name": "a", "probe": {"connection": "other/lake"}}, "probe.connection"),
    "a connection that is not there": ({"name": "a", "probe": {"connection": "othr"}}, "othr"),
    "a secret of its own": ({"name": "a", "probe": {"connection": "online", "secretRef": {"name": "x"}}}, "secretRef"),
    "a service account": (stage(serviceAccount="adutora-operator"), "serviceAccount"),
    "a service account in a container": (image(serviceAccountName="adutora-operator"), "serviceAccountName"),
    "a volume": (image(volumeMounts=[{"name": "x", "mountPath": "/x"}]), "volumeMounts"),
    "root": (image(securityContext={"runAsUser": 0}), "securityContext"),
    "a secret in the environment": (
        image(env=[{"name": "X", "valueFrom": {"secretKeyRef": {"name": "adutora-lake", "key": "secretKey"}}}]),
        "container.env[0]",
    ),
    "a profile that is not there": (stage(profile="system"), "there is no profile `system`"),
    "a resource without end": (stage(resources={"memory": "1" * 30}), "memory"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_stage_is_refused_with_a_reason(platform: Platform, hostile: str, what: str) -> None:
    block, reason = REFUSED[what]
    said = refusal(platform, pipeline(hostile, block, params=[{"name": "p", "type": "string", "default": "x"}]))
    assert reason in said


@pytest.mark.parametrize("name", ["a.b", "..", "a/b", "../../x", "UPPER", "-a", "x" * 64, f"{NAMESPACE}.neighbour"])
def test_names_that_could_be_a_path_or_another_dag(platform: Platform, name: str) -> None:
    said = refusal(platform, pipeline(name, stage()))
    assert any(words in said for words in ("metadata.name", "may not", "lower", "RFC 1123")), said
    assert name not in {each["metadata"]["name"] for each in platform.kubectl.list("pipelines")}


def test_a_huge_spec(platform: Platform, hostile: str) -> None:
    large = [query(f"SELECT 1 AS n -- {'x' * 15_000}") | {"name": f"s-{n}", "output": None} for n in range(20)]
    for each in large:
        del each["output"]
    # `apply` would note all of it in an annotation, for which this is too long before anybody of ours is asked.
    assert "is larger than 200 KiB" in refusal(platform, pipeline(hostile, *large), by="create")
    platform.kubectl.delete("pipeline", hostile)
    beyond = pipeline(hostile, query("SELECT 1 -- " + "x" * 4_000_000))
    assert "too large" in refusal(platform, beyond, by="create")
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    said = refusal(
        platform, pipeline(hostile, {"name": "a", "http": {"connection": "online", "path": "/", "json": deep}})
    )
    assert said


def test_jinja_in_every_text_stays_text(platform: Platform, hostile: str) -> None:
    show = ["python", "-c", "import os, sys; sys.exit(os.environ['X'] != sys.argv[1])", JINJA]
    many = {
        "name": "many",
        "forEach": {"values": [JINJA, "b"]},
        "container": {"image": "adutora/stages:dev", "command": show[:-1], "args": [JINJA], "env": [{"name": "X", "value": "$(item)"}]},
        "when": "$(params.p) != 'b'",
    }  # fmt: skip
    env = image(command=show[:-1], args=[JINJA], env=[{"name": "X", "value": "$(params.p)"}]) | {"name": "env"}
    single = {**many, "forEach": {"values": [JINJA]}}
    platform.apply(
        pipeline(
            hostile,
            sql("a", f"SELECT '{JINJA}' AS n, $(params.p) AS p", "bronze.hostile_jinja", description=JINJA),
            {**env, "description": JINJA},
            single,
            description=f"# {JINJA}",
            owner=JINJA,
            tags=[JINJA, "{{ ti }}"],
            params=[{"name": "p", "type": "string", "default": JINJA, "title": JINJA, "description": JINJA, "enum": [JINJA, "b"]}],
            tables=[{"name": "bronze.hostile_jinja", "description": JINJA, "owner": JINJA}],
        )
    )  # fmt: skip
    platform.ready(hostile)
    platform.airflow.succeed(f"{NAMESPACE}.{hostile}")
    assert platform.table("bronze.hostile_jinja")[1:] == [[JINJA, JINJA]]
    shown = platform.airflow.get(f"/dags/{NAMESPACE}.{hostile}/details")
    assert JINJA in {tag["name"] for tag in shown["tags"]}
    assert shown["params"]["p"]["schema"]["title"] == JINJA


def test_kubernetes_own_substitution_finds_nothing(platform: Platform, hostile: str) -> None:
    """The kubelet reads `$(NAME)` in a command as a variable's value: what a user wrote stays as written."""
    check = "import sys; sys.exit(sys.argv[1:] != ['$(ADUTORA_TASK)', '$$(X)', '$(X)'])"
    one = image(
        command=["python", "-c", check], args=["$(ADUTORA_TASK)", "$$(X)", "$(X)"], env=[{"name": "X", "value": "1"}]
    )
    try:
        platform.apply(pipeline(hostile, one))
    except KubectlError as error:
        raise AssertionError(f"args are verbatim: {error}") from None
    platform.ready(hostile)
    platform.airflow.succeed(f"{NAMESPACE}.{hostile}")


def test_sql_reads_no_file_of_its_pod(platform: Platform, hostile: str) -> None:
    steal = "SELECT content FROM read_text('/run/adutora/secrets/adutora-lake/secretKey')"
    platform.apply(pipeline(hostile, query(steal)))
    platform.ready(hostile)
    dag = f"{NAMESPACE}.{hostile}"
    run = platform.airflow.started(dag)
    assert platform.airflow.ended(dag, run) == "failed"
    [task] = platform.airflow.tasks(dag, run).values()
    assert task["try_number"] == 1, "it is tried again"
    assert "disabled" in platform.airflow.log(dag, run, "a")


def forged(platform: Platform, sequence: int) -> Json:
    """A revision of the neighbour that does something else, with everything right about it but its author."""
    true = platform.kubectl.get("pipelinerevision", "neighbour-1")
    assert true is not None
    config = json.loads(true["spec"]["config"])
    config["stages"][0]["block"]["query"] = "SELECT 666 AS n"
    text = json.dumps(config)
    digest = hashlib.sha256(text.encode()).hexdigest()
    metadata = {key: true["metadata"][key] for key in ("labels", "ownerReferences", "namespace")}
    return {
        **{key: true[key] for key in ("apiVersion", "kind")},
        "metadata": {**metadata, "name": f"neighbour-{sequence}"},
        "spec": {"pipeline": "neighbour", "sequence": sequence, "hash": digest, "config": text},
    }


def denied(kubectl: Kubectl, *arguments: str, given: Json | None = None) -> str:
    """Run kubectl, which must fail; returns what it said."""
    with pytest.raises(KubectlError) as error:
        kubectl.run(*arguments, given=None if given is None else json.dumps(given))
    return str(error.value)


ONLY = "only the operator writes revisions and the status of pipelines; apply the Pipeline instead"


def test_an_administrator_cannot_forge_a_revision(platform: Platform) -> None:
    assert ONLY in denied(platform.kubectl, "create", "-f", "-", given=forged(platform, 2))
    body = json.dumps({"status": {"revision": 2}})
    said = denied(
        platform.kubectl, "patch", "pipeline", "neighbour", "--subresource=status", "--type=merge", "-p", body
    )
    assert ONLY in said
    owners = json.dumps({"metadata": {"ownerReferences": []}})
    assert ONLY in denied(platform.kubectl, "patch", "pipelinerevision", "neighbour-1", "--type=merge", "-p", owners)


def test_a_forged_revision_that_came_in_is_not_taken(platform: Platform) -> None:
    """Where the policy is gone for a moment, the operator and the side-car still know their own."""
    binding = f"adutora-operator-writes.{NAMESPACE}"
    kept = platform.kubectl.get("validatingadmissionpolicybinding", binding)
    assert kept is not None
    kept["metadata"] = {key: kept["metadata"][key] for key in ("name", "labels", "annotations")}
    platform.kubectl.delete("validatingadmissionpolicybinding", binding)
    try:
        body = json.dumps(forged(platform, 2))

        def made() -> bool:
            try:
                platform.kubectl.run("create", "-f", "-", given=body)
            except KubectlError as error:
                return "AlreadyExists" in str(error)
            return True

        wait_for("the policy's end", made, 60)
        wait_for("its removal", lambda: platform.kubectl.get("pipelinerevision", "neighbour-2") is None, 60)
    finally:
        platform.apply(kept)
    found = platform.kubectl.get("pipeline", "neighbour")
    assert found is not None
    assert found["status"]["revision"] == 1
    wait_for("the policy", lambda: ONLY in _said(platform, forged(platform, 3)), 60)
    platform.kubectl.delete("pipelinerevision", "neighbour-3")


def _said(platform: Platform, body: Json) -> str:
    try:
        platform.kubectl.run("create", "-f", "-", given=json.dumps(body))
    except KubectlError as error:
        return str(error)
    return ""


EDITOR = ["--as=mallory", "--as-group=system:authenticated"]
RIGHTS: list[Json] = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "pipelines-editor"},
        "rules": [
            {"apiGroups": ["adutora.dev"], "resources": ["pipelines"], "verbs": ["*"]},
            {"apiGroups": ["adutora.dev"], "resources": ["projects"], "verbs": ["create", "update", "patch", "get"]},
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "pipelines-editor"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pipelines-editor"},
        "subjects": [{"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}],
    },
]  # fmt: skip


@pytest.fixture
def mallory(platform: Platform) -> Iterator[None]:
    """A user who may edit Pipelines and Projects, and nothing else."""
    platform.apply(*RIGHTS)
    yield
    for each in RIGHTS:
        platform.kubectl.delete(each["kind"], each["metadata"]["name"])
    platform.kubectl.delete("project", "mallory")


def test_an_editor_edits_pipelines_and_nothing_else(platform: Platform, mallory: None, hostile: str) -> None:
    mine = pipeline(hostile, stage())
    platform.kubectl.run("apply", "-f", "-", *EDITOR, given=json.dumps(mine))
    assert "forbidden" in denied(platform.kubectl, "create", "-f", "-", *EDITOR, given=forged(platform, 2))
    patch = ["--type=merge", "-p", json.dumps({"status": {"revision": 7}})]
    said = denied(platform.kubectl, "patch", "pipeline", "neighbour", "--subresource=status", *patch, *EDITOR)
    assert "forbidden" in said
    # Without the subresource the API server leaves a status out.
    platform.kubectl.run("patch", "pipeline", hostile, *patch, *EDITOR)
    time.sleep(2)
    platform.ready(hostile)
    found = platform.kubectl.get("pipeline", hostile)
    assert found is not None
    assert found["status"]["revision"] == 1
    for kind in ("pods", "secrets", "pipelinerevisions", "configmaps"):
        assert "forbidden" in denied(platform.kubectl, "get", kind, *EDITOR)


def test_a_project_names_no_secret_that_its_author_may_not_read(platform: Platform, mallory: None) -> None:
    def project(**spec: Any) -> Json:
        return {"apiVersion": "adutora.dev/v1alpha1", "kind": "Project", "metadata": {"name": "mallory"}, "spec": spec}

    stolen = {"name": "x", "redis": {"host": "evil.example"}, "secretRef": {"name": "adutora-airflow-admin"}}
    said = denied(platform.kubectl, "apply", "-f", "-", *EDITOR, given=project(connections=[stolen]))
    assert "a Project that names Secrets is written by who may read the Secrets of its namespace" in said
    assert "adutora-airflow-admin" in said
    found = (platform.kubectl.get("project", "default") or {})["spec"]["connections"]
    there = f"/spec/connections/{[each['name'] for each in found].index('lake')}/s3/endpoint"
    elsewhere = json.dumps([{"op": "replace", "path": there, "value": "http://evil.example"}])
    patch = ["--type=json", "-p", elsewhere]
    assert "this one names" in denied(platform.kubectl, "patch", "project", "default", *patch, *EDITOR)
    other = {**stolen, "secretRef": {"name": "kube-system/x"}}
    assert "secretRef.name" in denied(platform.kubectl, "apply", "-f", "-", given=project(connections=[other]))
    account = [{"name": "x", "serviceAccount": "kube-system/default"}]
    assert "serviceAccount" in denied(platform.kubectl, "apply", "-f", "-", given=project(profiles=account))
    account = [{"name": "x", "serviceAccount": "adutora-operator"}]
    said = denied(platform.kubectl, "apply", "-f", "-", *EDITOR, given=project(profiles=account))
    assert "a Project whose profiles name a service account is written by who may create pods" in said


def test_a_second_writer_of_a_table_gives_way(platform: Platform, hostile: str) -> None:
    said = refusal(platform, pipeline(hostile, stage(output={"table": "bronze.neighbour"})))
    assert f"{NAMESPACE}.neighbour" in said


def test_a_pattern_that_takes_forever_holds_nobody_up(platform: Platform, hostile: str) -> None:
    """RE2 takes it in its stride, Python's `re` would look for years: at parsing, and at each trigger."""
    pattern, given = "(a+)+c|a*b", "a" * 60
    platform.apply(
        pipeline(
            hostile,
            sql("a", "SELECT $(params.p) AS n", "bronze.hostile_pattern"),
            params=[{"name": "p", "type": "string", "default": f"{given}b", "pattern": pattern}],
        )
    )
    platform.ready(hostile)
    wait_for("the DAG", lambda: platform.airflow.dag(f"{NAMESPACE}.{hostile}"), 60)
    started = time.monotonic()
    run = platform.airflow.trigger(f"{NAMESPACE}.{hostile}", p=given).json()["dag_run_id"]
    assert time.monotonic() - started < 10
    # The form took any text; the stage does not.
    assert platform.airflow.ended(f"{NAMESPACE}.{hostile}", run) == "failed"
    assert "does not match the pattern" in platform.airflow.log(f"{NAMESPACE}.{hostile}", run, "a")
