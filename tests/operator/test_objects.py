"""What is kept of the cluster: small, never older than what is there, and honest about revisions."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from adutora.errors import ConfigError
from adutora_operator.mentions import Mentions
from adutora_operator.objects import Cluster, Key, revision, revision_of, seen
from adutora_operator.settings import Settings, from_environment

KEY = Key("Pipeline", "team", "p")
Json = dict[str, Any]


def body(version: str = "5", uid: str = "u", name: str = "p") -> Json:
    metadata = {"name": name, "namespace": "team", "uid": uid, "resourceVersion": version, "generation": 2}
    return {"metadata": {**metadata, "managedFields": [{"x": "y"}], "annotations": {"a": "b"}}, "spec": {"owner": "me"}}


def written(name: str = "p-3", **spec: Any) -> Json:
    spec = {"pipeline": "p", "sequence": 3, "hash": hashlib.sha256(b"{}").hexdigest(), "config": "{}", **spec}
    owners = [{"uid": "other"}, {"uid": "me", "controller": True}]
    return {"metadata": {"name": name, "uid": "r", "resourceVersion": "7", "ownerReferences": owners}, "spec": spec}


def test_what_nobody_reads_is_not_kept() -> None:
    kept = seen(body())
    assert (kept.uid, kept.version, kept.generation) == ("u", "5", 2)
    assert kept.load()["spec"] == {"owner": "me"}
    assert "managedFields" not in json.dumps(kept.load())


def test_an_event_of_the_past_says_nothing_new() -> None:
    cluster = Cluster()
    assert cluster.put(KEY, seen(body("9")))
    assert not cluster.put(KEY, seen(body("9")))
    assert not cluster.put(KEY, seen(body("8")))
    assert cluster.put(KEY, seen(body("10")))
    assert cluster.put(KEY, seen(body("3", uid="another")))
    assert not cluster.drop(KEY, "u")
    assert cluster.drop(KEY, "another")


@pytest.mark.parametrize(
    ("name", "split"),
    [("p-1", ("p", 1)), ("a-1-20", ("a-1", 20)), ("p", None), ("p-", None), ("-1", None), ("p-01", None), ("p-x", None),
     ("p-0", None), ("p-٣", None), ("p-" + "9" * 40, None)],
)  # fmt: skip
def test_names_of_revisions(name: str, split: tuple[str, int] | None) -> None:
    assert revision_of(name) == split


def test_a_revision_is_what_it_holds() -> None:
    true = revision(written())
    assert (true.owner, true.sequence, true.digest) == ("me", 3, hashlib.sha256(b"{}").hexdigest())
    for wrong in ({"hash": "0" * 64}, {"config": "{} "}, {"sequence": 4}, {"pipeline": "q"}):
        assert revision(written(**wrong)).digest == ""
    two = written()
    two["metadata"]["ownerReferences"].append({"uid": "you", "controller": True})
    assert revision(two).owner == ""


def test_since_when_a_revision_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.put(KEY, seen(body()))
    assert cluster.since(KEY, 1) == 0
    cluster.runs_since(KEY, 1, "90")
    assert (cluster.since(KEY, 1), cluster.since(KEY, 2)) == (90, 0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 61)
    assert cluster.since(KEY, 1) == 0
    cluster.runs_since(KEY, 1, "95")
    cluster.drop(KEY, "u")
    assert cluster.since(KEY, 1) == 0


def test_the_project_of_a_namespace() -> None:
    cluster = Cluster()
    assert cluster.project_of("team") is None
    for name in ("b", "default"):
        cluster.put(Key("Project", "team", name), seen(body(name=name)))
        assert cluster.project_of("team") == Key("Project", "team", name)
    cluster.put(Key("Project", "other", "x"), seen(body()))
    cluster.put(Key("Project", "other", "y"), seen(body()))
    assert cluster.project_of("other") is None


def test_who_speaks_of_a_table_is_concerned() -> None:
    mentions = Mentions()

    def put(name: str, *stages: Json) -> set[str]:
        return {key.name for key in mentions.put(KEY._replace(name=name), {"stages": list(stages)})}

    writer = {"output": {"table": "a.b"}}
    assert put("reader", {"inputs": [{"table": "a.b"}]}) == set()
    assert put("writer", writer) == {"reader"}
    assert put("trigger", {"x": {"assets": {"any": ["a.b"]}}}) == set()
    assert put("writer", {"output": {"table": "a.c"}}) == {"reader", "trigger"}
    assert put("shop", {"publish": {"prefix": "p"}}) == set()
    assert put("twin", {"publish": {"prefix": "p"}}) == {"shop"}
    assert {key.name for key in mentions.put(KEY._replace(name="twin"), None)} == {"shop"}
    assert mentions.put(KEY._replace(name="broken"), {"stages": "x"}) == set()
    assert mentions.put(Key("Pipeline", "elsewhere", "w"), {"stages": [writer]}) == set()


def test_environment() -> None:
    assert from_environment({}) == Settings()
    env = {"ADUTORA_NAMESPACES": "a, b,", "ADUTORA_AIRFLOW_URL": "http://x/", "ADUTORA_AIRFLOW_USER": "u"}
    with pytest.raises(ConfigError, match="ADUTORA_AIRFLOW_PASSWORD_FILE is not set"):
        from_environment(env)
    read = from_environment({**env, "ADUTORA_AIRFLOW_PASSWORD_FILE": "/p"})
    assert read.namespaces == ("a", "b")
    assert read.airflow is not None
    assert (read.airflow.url, read.airflow.password_file) == ("http://x", Path("/p"))
    for wrong in ({"ADUTORA_POLL_SECONDS": "soon"}, {"ADUTORA_WORKERS": "0"}, {"ADUTORA_AIRFLOW_URL": "airflow:8080"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            from_environment(wrong)
