"""Patterns of parameters: Airflow checks them by an engine that some of them would keep busy for years."""

import time
from typing import Any

import pytest

from adutora.errors import ConfigError
from adutora_airflow import params
from adutora_airflow.conditions import begin
from adutora_airflow.factory import make_dag
from adutora_airflow.params import is_quick
from tests.airflow.conftest import compiled, context_of, pipeline


@pytest.mark.parametrize(
    "pattern",
    [
        ".+[.]csv",
        "[a-z]{2,4}-[0-9]+",
        "a|b",
        "(abc)+",
        r"(\+|-)?[0-9]+",
        r"\(a+\)",
        "[)(+*|]+",
        "a?b?",
        "a{2}b{3}c{1,4}",
    ],
)
def test_what_airflow_checks(pattern: str) -> None:
    assert is_quick(pattern)


@pytest.mark.parametrize(
    "pattern", ["(a+)+c|a*b", "(a|a)*b", "(?:a*)*", "((a+)b?)+", "(x(a|b))+", "(a{1,9}){9}", "a*a*a*b", "(?P<x>a+)*"]
)
def test_what_would_take_it_too_long(pattern: str) -> None:
    assert not is_quick(pattern)


@pytest.mark.parametrize("pattern", [r"\p{L}+", "[[:alpha:]]+", r"(?P<x>a)\z", "(?s:.)(?U)a+"])
def test_what_python_reads_in_another_way(pattern: str) -> None:
    """RE2 knows it, so the pipeline is right: Airflow's form takes any text, and its DAG can be parsed."""
    assert not is_quick(pattern)
    declared = [{"name": "p", "type": "string", "default": "abc", "pattern": pattern}]
    make_dag(compiled(pipeline({"name": "a", "container": {"image": "x"}}, params=declared))).params.validate()


def own_image(value: Any, **declared: Any) -> Any:
    body = pipeline({"name": "a", "container": {"image": "x"}}, params=[{"name": "p", "type": "string", **declared}])
    dag = make_dag(compiled(body))
    return begin(context_of(dag, "a", conf={"p": value}), "a", None)


def test_values_for_a_users_own_image_are_checked_by_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_image("aab", pattern="(a+)+b").params == {"p": "aab"}
    for value, declared in (
        ("aac", {"pattern": "(a+)+b"}),
        ("x", {"enum": ["a", "b"]}),
        (7, {"type": "integer", "max": 6}),
        ("x", {"pattern": "a+"}),
    ):
        with pytest.raises(ConfigError, match="parameter p: "):
            own_image(value, **declared)
    monkeypatch.setattr(params, "SLOW", 1)
    began = time.monotonic()
    with pytest.raises(ConfigError, match="took longer than 1 s"):
        own_image("a" * 60, pattern="(a+)+b")
    assert time.monotonic() - began < 5
    with pytest.raises(ConfigError, match="cannot be checked for a stage with an image of its own"):
        own_image("abc", pattern=r"\p{L}+")
