"""The CRDs on a real API server: taken by plain kubectl, never stricter than the CLI, and what passes them is told.

The table of good and bad files is that of the CLI's own tests.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from adutora.spec.yamlfile import load
from adutora.validate import validate_files
from adutora.validate.objects import validate_objects
from tests.apiserver.objects import condition, pipeline, up_to_date
from tests.apiserver.running import OperatorProcess
from tests.apiserver.server import GROUP, ApiServer, Client, wait_for
from tests.unit.validate import test_semantic, test_structural

pytestmark = pytest.mark.integration
REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*/pipeline.yaml"))
HEAD = "apiVersion: adutora.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: x}\nspec:\n"
BOUNDS = {
    "long name": "stages: [{name: " + "a" * 64 + ", probe: {connection: online}}]",
    "too many stages": "stages:\n"
    + "".join(f"  - {{name: s{n}, probe: {{connection: online}}}}\n" for n in range(101)),
    "dots in a name": "stages: [{name: ../../etc, probe: {connection: online}}]",
    "revision 0": "revision: 0\nstages: [{name: a, probe: {connection: online}}]",
    "pinned": "revision: 3\nstages: [{name: a, probe: {connection: online}}]",
    "jinja": "stages: [{name: a, description: '{{ 7*7 }}', probe: {connection: online}}]",
}
Json = dict[str, Any]


def texts() -> Iterator[tuple[str, str]]:
    """Name and text of every file of the table."""
    for module in (test_structural, test_semantic):
        for name, (text, _) in module.CASES.items():
            yield f"{module.__name__.rpartition('_')[2]}: {name}", HEAD + _indented(text)
    for name, text in BOUNDS.items():
        yield f"bounds: {name}", HEAD + _indented(text)
    for path in EXAMPLES:
        yield f"example: {path.parent.name}", path.read_text()
    spec = REPOSITORY.parent / "shared" / "spec"
    for path in sorted(spec.glob("*.yaml")) if spec.is_dir() else []:
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") == "Pipeline":
                yield f"shared: {document['metadata']['name']}", yaml.safe_dump(document, sort_keys=False)


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.strip("\n").split("\n"))


def test_what_kubectl_prints(server: ApiServer, admin: Client, operators: Callable[..., OperatorProcess]) -> None:
    """Plain `kubectl apply`, columns, short names, category, explain."""
    operators()
    body = pipeline(triggers=[{"cron": "@daily"}])
    server.kubectl("apply", "-f", "-", text=json.dumps(body))
    up_to_date(admin, Ready="True Ready")
    lines = server.kubectl("get", "apl").splitlines()
    assert lines[0].split() == ["NAME", "READY", "REASON", "SCHEDULE", "LAST", "RUN", "AGE"]
    assert lines[1].split()[:4] == ["one", "True", "Ready", "@daily"]
    assert "one-1" in server.kubectl("get", "adutora")
    assert "unchanged" in server.kubectl("apply", "-f", "-", text=json.dumps(body))
    assert "Pins a revision" in server.kubectl("explain", "pipeline.spec.revision")
    assert "condition met" in server.kubectl("wait", "--for=condition=Ready", "apl/one", "--timeout=10s")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_examples_are_taken_by_kubectl(server: ApiServer, path: Path) -> None:
    text = path.read_text().replace("namespace: default", "namespace: team")
    assert server.kubectl("apply", "--dry-run=server", "-f", "-", text=text)


def test_a_revision_never_changes(admin: Client, operators: Callable[..., OperatorProcess]) -> None:
    operators()
    admin.apply(pipeline())
    up_to_date(admin, Ready="True Ready")
    status, answer = admin.patch("pipelinerevisions", "one-1", {"spec": {"hash": "0" * 64}})
    assert (status, "a revision never changes" in answer["message"]) == (422, True)


def test_the_crd_refuses_nothing_that_the_cli_takes(
    admin: Client, operators: Callable[..., OperatorProcess], tmp_path: Path, server: ApiServer
) -> None:
    """Every file of the table in a namespace of its own; what the API server takes, the operator judges as the CLI."""
    operators(ADUTORA_NAMESPACES="", KUBECONFIG=str(server.kubeconfig("admin")))
    taken: dict[str, tuple[str, Json, list[str]]] = {}
    refused = 0
    for number, (name, text) in enumerate(texts()):
        path = tmp_path / f"{number}" / "pipeline.yaml"
        path.parent.mkdir()
        path.write_text(text)
        right = not any(each.severity == "error" for each in validate_files([path]).diagnostics)
        body = _as_kubectl_reads(path)
        body["metadata"]["namespace"] = f"case-{number}"
        admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": f"case-{number}"}})
        where = f"{GROUP}/namespaces/case-{number}/pipelines?fieldValidation=Strict"
        status, answer = admin.call("POST", where, body)
        if status >= 300:
            refused += 1
            assert not right, f"{name}: the CRD refuses what the CLI takes: {answer['message']}"
            continue
        taken[name] = (f"case-{number}", answer, [str(each) for each in validate_objects(body, None).errors])
    assert len(taken) > 120, (len(taken), refused)
    for name, (namespace, body, expected) in taken.items():
        _judged(admin, name, namespace, body["metadata"]["name"], expected)
    for namespace, body, _ in taken.values():
        admin.delete("pipelines", body["metadata"]["name"], namespace)


def _as_kubectl_reads(path: Path) -> Json:
    """Return the object as the CLI reads it; where YAML 1.1 surprises, kubectl would read something else."""
    value = load(path).documents[0].value
    body: Json = json.loads(json.dumps(value, default=str))
    return body


def _judged(admin: Client, name: str, namespace: str, pipeline_name: str, expected: list[str]) -> None:
    def judged() -> Json | None:
        body = admin.get("pipelines", pipeline_name, namespace)
        return body if condition(body, "Accepted") else None

    accepted = condition(wait_for(name, judged, 30), "Accepted")
    assert accepted["status"] == ("False" if expected else "True"), f"{name}: {accepted}"
    if expected:
        # In the order of the object, and the API server sorts the fields of a map.
        assert sorted(accepted["message"].split("\n")) == sorted(
            each.replace(": error: ", ": ", 1) for each in expected
        ), name


def test_a_field_that_nobody_knows_is_told(admin: Client, operators: Callable[..., OperatorProcess]) -> None:
    """Also where the client asks for no check: it is not dropped in silence."""
    operators()
    body = pipeline(ownr="x")
    admin.call("POST", f"{GROUP}/namespaces/team/pipelines?fieldValidation=Ignore", body)
    found = up_to_date(admin, Accepted="False InvalidSpec")
    assert condition(found, "Accepted")["message"] == "spec.ownr: unknown field `ownr` (did you mean `owner`?)"
