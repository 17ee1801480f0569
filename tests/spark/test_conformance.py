"""DuckDB and Spark give the same rows. A double may differ after twelve digits: sums are added up in another order."""

import datetime as dt
from typing import Any

import pytest

from adutora.runtime.substitution import Scope
from tests.spark.conftest import Both
from tests.spark_cases import SCALARS, STATEMENTS, expressions

ITEMS: dict[str, Any] = {
    "a number": 7, "a large number": 3_000_000_000, "a double": 2.5, "a text": "São Paulo", "an odd text": "it's \\ ${env:HOME} :x",
    "true": True, "null": None, "a day": dt.date(2024, 2, 29), "a time": dt.datetime(2024, 2, 29, 23, 59, tzinfo=dt.UTC),
    "a list": [1, 2, 3],
}  # fmt: skip


@pytest.mark.parametrize("group", SCALARS)
def test_expressions(group: str, both: Both) -> None:
    columns = ", ".join(f"{each} AS c{number}" for number, each in enumerate(expressions(group)))
    both.compare(f"SELECT id, {columns} FROM t")


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements(name: str, both: Both) -> None:
    both.compare(STATEMENTS[name])


@pytest.mark.parametrize("name", ITEMS)
def test_values_are_bound_and_never_text(name: str, both: Both) -> None:
    both.compare("SELECT id, $(item) AS value, $(item) IS NULL AS missing FROM t", Scope(item=ITEMS[name]))


def test_values_in_conditions_and_limits(both: Both) -> None:
    scope = Scope(params={"least": 2, "day": dt.date(2024, 1, 1), "name": "São%", "rows": 2})
    both.compare(
        "SELECT id FROM t WHERE i >= $(params.least) AND day > $(params.day) ORDER BY id LIMIT $(params.rows)", scope
    )
    both.compare("SELECT id FROM t WHERE s LIKE $(params.name)", scope)
    both.compare(
        "CREATE TEMP TABLE good AS SELECT id FROM t WHERE i > $(params.least); SELECT id, $(params.rows) AS n FROM good",
        scope,
    )
