import datetime as dt

import pytest

from adutora.errors import ConfigError, DataError
from adutora.runtime.substitution import Scope, bind, expand, expand_json, substitute, truth
from adutora.spec.base import Input
from adutora.stages.http.spec import Http
from adutora.stages.sql.spec import Sql

SCOPE = Scope(
    params={"name": "x'; DROP TABLE t; --", "n": 3, "yes": True, "no": False, "list": [1, 2], "tricky": "$(params.n)"},
    run={"id": "r1", "date": dt.date(2026, 1, 2), "scheduledAt": None},
    trigger={"type": "manual"},
    stages={"scrape": {"pages": [1, 2, 3], "mode": "full"}},
    item={"page": 7},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$(params.n)", 3),
        ("n=$(params.n)", "n=3"),
        ("$(params.yes)", True),
        ("a $(params.yes) b", "a true b"),
        ("$(run.date)", "2026-01-02"),
        ("day/$(run.date).csv", "day/2026-01-02.csv"),
        ("$(stages.scrape.outputs.pages)", [1, 2, 3]),
        ("$(item)", {"page": 7}),
        ("$$(params.n)", "$(params.n)"),
        ("$(run.scheduledAt)", None),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_a_lone_reference_keeps_its_type(text: str, value: object) -> None:
    assert expand(text, SCOPE) == value


def test_a_value_is_never_substituted_again() -> None:
    assert expand("$(params.tricky)", SCOPE) == "$(params.n)"
    assert expand("<$(params.tricky)>", SCOPE) == "<$(params.n)>"


def test_a_list_inside_a_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="lone"):
        expand("x$(params.list)", SCOPE)


def test_an_output_that_was_not_left_is_told() -> None:
    with pytest.raises(DataError, match="left no output 'rows'"):
        expand("$(stages.scrape.outputs.rows)", SCOPE)


def test_json_is_substituted_inside() -> None:
    assert expand_json({"a": ["$(params.n)", {"b": "$(item)"}]}, SCOPE) == {"a": [3, {"b": {"page": 7}}]}


def test_sql_is_bound_and_never_spliced() -> None:
    text, values = bind("SELECT $(params.name), $(params.n), $(params.name)", SCOPE)
    assert text == "SELECT $adutora_0, $adutora_1, $adutora_0"
    assert values == {"adutora_0": "x'; DROP TABLE t; --", "adutora_1": 3}


def test_marked_fields_are_substituted_and_sql_is_left() -> None:
    http = Http.model_validate({"connection": "api", "path": "/p/$(params.n)", "json": {"d": "$(run.date)"}})
    done = substitute(http, SCOPE)
    assert (done.path, done.json_) == ("/p/3", {"d": "2026-01-02"})
    assert substitute(Sql(query="SELECT $(params.n)"), SCOPE).query == "SELECT $(params.n)"
    assert substitute(Input(name="a", file="$(params.n)"), SCOPE).file == "3"


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        (None, True),
        (True, True),
        (False, False),
        ("$(params.yes)", True),
        ("$(params.no)", False),
        ("!$(params.no)", True),
        ("$(stages.scrape.outputs.mode) == 'full'", True),
        ("$(stages.scrape.outputs.mode) != 'full'", False),
        ("$(params.n) == '3'", True),
    ],
)
def test_conditions(when: str | bool | None, holds: bool) -> None:
    assert truth(when, SCOPE) is holds


def test_a_condition_must_be_true_or_false() -> None:
    with pytest.raises(ConfigError, match="not true or false"):
        truth("$(params.n)", SCOPE)
