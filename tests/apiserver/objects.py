"""Objects that tests apply, and what they wait for."""

from typing import Any

from tests.apiserver.server import Client, wait_for

Json = dict[str, Any]


def pipeline(name: str = "one", table: str = "gold.one", query: str = "SELECT 1 AS a", **spec: Any) -> Json:
    stages = [{"name": "s", "sql": {"query": query}, "output": {"table": table}}]
    return {
        "apiVersion": "adutora.dev/v1alpha1", "kind": "Pipeline",
        "metadata": {"name": name, "namespace": "team"}, "spec": {"stages": stages, **spec},
    }  # fmt: skip


def project(name: str = "default", **spec: Any) -> Json:
    metadata = {"name": name, "namespace": "team"}
    return {"apiVersion": "adutora.dev/v1alpha1", "kind": "Project", "metadata": metadata, "spec": spec}


def condition(body: Json | None, kind: str) -> Json:
    """Return a condition; an empty one where there is none."""
    found = [each for each in ((body or {}).get("status") or {}).get("conditions") or [] if each["type"] == kind]
    return found[0] if found else {}


def words(body: Json | None) -> dict[str, str]:
    """Return `{"Ready": "True Pinned", …}`."""
    kinds = ("Accepted", "Rendered", "Parsed", "Ready")
    return {kind: f"{condition(body, kind).get('status')} {condition(body, kind).get('reason')}" for kind in kinds}


def up_to_date(admin: Client, name: str = "one", **wanted: str) -> Json:
    """Wait until the status speaks of the spec as it is, and says `wanted`, for example Ready="True Ready"."""
    seen: list[Any] = []

    def there() -> Json | None:
        body = admin.get("pipelines", name)
        seen[:] = [words(body)]
        if body is None or (body.get("status") or {}).get("observedGeneration") != body["metadata"]["generation"]:
            return None
        return body if all(words(body)[kind] == value for kind, value in wanted.items()) else None

    try:
        found: Json = wait_for(f"{name}: {wanted}", there, 20)
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {seen}") from None
    return found


def revisions(admin: Client, name: str = "one") -> dict[int, Json]:
    """Return the objects named like revisions of a pipeline, by sequence."""
    return {
        each["spec"]["sequence"]: each
        for each in admin.list("pipelinerevisions")
        if each["metadata"]["name"].rpartition("-")[0] == name
    }
