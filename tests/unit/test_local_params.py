import pytest

from adutora.errors import ConfigError
from adutora.local.params import check_params, parse_params

DECLARED = [
    {"name": "input", "type": "string", "default": "a.csv", "pattern": ".+[.]csv"},
    {"name": "save", "type": "boolean", "default": False},
    {"name": "count", "type": "integer", "default": 1, "min": 0, "max": 9},
    {"name": "share", "type": "number", "default": 0.5},
    {"name": "day", "type": "date", "default": "2026-01-01"},
    {"name": "mode", "type": "string", "default": "full", "enum": ["full", "quick"]},
]


def test_defaults_hold_and_nothing_counts_as_given() -> None:
    values, given = parse_params(DECLARED, [])
    assert values == {"input": "a.csv", "save": False, "count": 1, "share": 0.5, "day": "2026-01-01", "mode": "full"}
    assert given == []


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("save=true", "save", True),
        ("save=No", "save", False),
        ("count=7", "count", 7),
        ("share=1e-3", "share", 0.001),
        ("day=2026-02-28", "day", "2026-02-28"),
        ("input=x=y.csv", "input", "x=y.csv"),
        ("mode=quick", "mode", "quick"),
    ],
)
def test_texts_become_values_of_their_types(text: str, name: str, value: object) -> None:
    values, given = parse_params(DECLARED, [text])
    assert values[name] == value
    assert type(values[name]) is type(value)
    assert given == [name]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("save=maybe", "neither true nor false"),
        ("count=1.5", "no whole number"),
        ("count=99999999999999999999", "no whole number"),
        ("count=10", "more than max 9"),
        ("share=nan", "no number"),
        ("share=one", "no number"),
        ("day=2026-02-30", "no date"),
        ("input=a.txt", "pattern"),
        ("mode=slow", "none of the values"),
        ("inptu=a.csv", "did you mean `input`"),
        ("save", "not name=value"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_params(DECLARED, [text])


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse_params([*DECLARED, {"name": "must", "type": "string"}], ["save=maybe", "count=x"])
    assert all(word in str(error.value) for word in ("save", "count", "must"))


def test_a_resumed_run_lacks_a_new_parameter() -> None:
    with pytest.raises(ConfigError, match="without parameter mode"):
        check_params(DECLARED, {param["name"]: 1 for param in DECLARED if param["name"] != "mode"})


def test_a_resumed_run_has_values_that_fit_no_more() -> None:
    values = {"input": "a.csv", "save": False, "count": 12, "share": 0.5, "day": "2026-01-01", "mode": "full"}
    with pytest.raises(ConfigError, match="parameter count: 12 is more than max 9"):
        check_params(DECLARED, values)
    check_params(DECLARED, values | {"count": 9})
