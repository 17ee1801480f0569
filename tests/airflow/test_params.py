"""Patterns of parameters: Airflow checks them by an engine that some of them would keep busy for years."""

import pytest

from adutora_airflow.params import is_quick


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
