"""Files that are missing, broken or not what they were: a clear end, and tables at their last commit."""

from decimal import Decimal
from typing import Any

import pytest

from tests.integration.trouble.conftest import Lab

pytestmark = pytest.mark.integration

COUNT: dict[str, Any] = {
    "name": "agg",
    "inputs": [{"name": "c", "file": "data/c.csv"}],
    "sql": {"query": "SELECT city, count(*) AS n, sum(capital) AS total FROM c GROUP BY city"},
    "output": {"table": "gold.cities"},
}
LAND = {
    "name": "land",
    "ingest": {"files": {"path": "data/*.csv"}},
    "output": {"table": "bronze.orders", "mode": "append"},
}
GOOD = "city,capital\nRio,10\nRio,20\nSP,5\n"


def given(lab: Lab, content: str | bytes = GOOD) -> list[tuple[Any, ...]]:
    """A table of an earlier, good run, which no trouble may touch."""
    lab.file("data/c.csv", content)
    lab.pipeline(COUNT)
    lab.ok()
    return lab.rows("gold.cities")


def refused(lab: Lab, before: list[tuple[Any, ...]], *words: str, code: int = 65) -> str:
    """The run fails once, is not tried again, names what is wrong, and the table stands."""
    version = lab.version("gold.cities")
    result = lab.run()
    stage = result.stage("agg")
    assert result.code == code, result.text
    assert stage["tries"] == 1
    said = f"{stage['error']} | {stage['hint']}"
    assert all(word in said for word in words), said
    assert (lab.version("gold.cities"), lab.rows("gold.cities")) == (version, before)
    return said


def test_missing_file_names_the_nearest(lab: Lab) -> None:
    before = given(lab)
    (lab.root / "data/c.csv").rename(lab.root / "data/cc.csv")
    refused(lab, before, "data/c.csv", "cc.csv")


def test_empty_file(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", "")
    refused(lab, before, "data/c.csv", "empty", "header")


def test_header_alone_is_no_rows(lab: Lab) -> None:
    given(lab)
    lab.file("data/c.csv", "city,capital\n")
    lab.pipeline({**COUNT, "sql": {"query": "SELECT city, count(*) AS n FROM c GROUP BY city"}})
    assert lab.ok().stage("agg")["rows_in"] == 0
    assert lab.rows("gold.cities") == []


def test_header_alone_has_no_types_to_count_with(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", "city,capital\n")
    refused(lab, before, "sum", "no rows", "declare `columns`")
    lab.pipeline(
        {
            **COUNT,
            "inputs": [
                {
                    **COUNT["inputs"][0],
                    "columns": [{"name": "city", "type": "string"}, {"name": "capital", "type": "double"}],
                }
            ],
        }
    )
    lab.ok()
    assert lab.rows("gold.cities") == []


def test_wrong_delimiter_names_the_column(lab: Lab) -> None:
    before = given(lab)
    lab.pipeline({**COUNT, "inputs": [{"name": "c", "file": "data/c.csv", "csv": {"delimiter": ";"}}]})
    refused(lab, before, "data/c.csv", ";")


def test_broken_utf8_names_the_line(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", b"city,capital\nRio,1\nS\xe3o Paulo,2\n")
    refused(lab, before, "data/c.csv", "3", "encoding")


def test_broken_utf8_far_down_names_the_line(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", b"city,capital\n" + b"Rio,1\n" * 400_000 + b"S\xe3o Paulo,2\n")
    refused(lab, before, "data/c.csv", "400002", "encoding")


def test_a_row_of_too_few_values_names_the_line(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", "city,capital\n" + "Rio,1\n" * 30_000 + "Rio\n" + "Rio,1\n" * 10)
    refused(lab, before, "data/c.csv", "30002")


def test_a_value_that_is_no_number_far_down_makes_text_of_the_column_or_is_told(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", "city,capital\n" + "Rio,1\n" * 300_000 + "Rio,much\n")
    refused(lab, before, "capital")


def test_column_missing_renamed(lab: Lab) -> None:
    before = given(lab)
    lab.file("data/c.csv", "city,capitol\nRio,10\n")
    refused(lab, before, "capital", "capitol")


def test_broken_gzip(lab: Lab) -> None:
    import gzip

    packed = gzip.compress(GOOD.encode() * 1000)
    before = given(lab)
    lab.file("data/c.csv", packed[: len(packed) // 2])
    refused(lab, before, "data/c.csv", "gzip")


@pytest.mark.slow
@pytest.mark.parametrize("ingest", [False, True], ids=["sql", "ingest"])
def test_a_line_of_300_megabytes_in_bounded_memory(lab: Lab, ingest: bool) -> None:
    path = lab.root / "data/c.csv"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(b"city,capital\nRio,10\n")
        for _ in range(300):
            file.write(b"x" * (1 << 20))
        file.write(b",7\nSP,5\n")
    lab.pipeline(LAND if ingest else COUNT)
    result = lab.run()
    stage = result.json["stages"][0]
    assert stage["peak_memory"] < 1.2e9
    if ingest:  # the row is set aside with its reason, the others are loaded
        assert result.code == 0, result.text
        assert (stage["rows_in"], stage["rows_out"], stage["rows_rejected"]) == (3, 2, 1)
        ((reason, row),) = lab.rejected("bronze.orders")
        assert "line 3" in reason
        assert len(row) < 100_000
    else:
        assert result.code == 65, result.text
        assert "c.csv" in stage["error"]
        assert "3" in stage["error"]
        assert not lab.exists("gold.cities")


def test_negative_and_absurd_amounts_are_set_aside(lab: Lab) -> None:
    lab.file(
        "data/c.csv", "id,amount\n1,10.5\n2,-3\n3,1e308\n4,NaN\n5,inf\n6,99999999999999999999\n7,-0.01\n8,abc\n9,\n"
    )
    lab.pipeline(
        {**LAND, "output": {"table": "silver.orders", "mode": "append"}},
        tables=[
            {
                "name": "silver.orders",
                "columns": [
                    {"name": "id", "type": "long"},
                    {"name": "amount", "type": "decimal(12,2)", "required": True},
                ],
                "checks": [{"range": {"column": "amount", "min": 0}, "onFail": "quarantine"}],
            }
        ],
    )
    stage = lab.ok().stage("land")
    assert lab.rows("silver.orders") == [(Decimal("10.50"), 1)]
    reasons = {row[1]: row[0] for row in lab.rejected("silver.orders")}
    assert len(reasons) == 8
    assert all("amount" in reason for reason in reasons.values())
    assert stage["rows_in"] == stage["rows_out"] + stage["rows_rejected"] == 9


def test_absurd_amounts_in_a_sum(lab: Lab) -> None:
    """A number is kept as it is; a sum past all numbers is infinite and a check sees it; a word is no number."""
    lab.file("data/c.csv", "city,capital\nRio,1e308\nRio,2\nBA,-5\n")
    checks = [{"range": {"column": "total", "max": 1e308}}]
    lab.pipeline(COUNT, tables=[{"name": "gold.cities", "checks": checks}])
    lab.ok()
    before = lab.rows("gold.cities")
    assert {row[0]: row[2] for row in before} == {"Rio": 1e308, "BA": -5}
    lab.file("data/c.csv", "city,capital\nRio,1e308\nRio,1e308\nBA,-5\n")
    refused(lab, before, "gold.cities", "range-total")
    lab.file("data/c.csv", "city,capital\nRio,NaN\nBA,-5\n")
    refused(lab, before, "capital varchar", "declare `columns`")


def test_duplicate_keys_stop_the_write(lab: Lab) -> None:
    lab.file("data/c.csv", "id,amount\n1,1\n2,2\n")
    stage = {
        "name": "agg", "inputs": [{"name": "c", "file": "data/c.csv"}], "sql": {"query": "SELECT * FROM c"},
        "output": {"table": "gold.cities", "mode": "merge"},
    }  # fmt: skip
    lab.pipeline(stage, tables=[{"name": "gold.cities", "key": ["id"]}])
    lab.ok()
    before = lab.rows("gold.cities")
    lab.file("data/c.csv", "id,amount\n1,7\n1,8\n,9\n")
    refused(lab, before, "gold.cities", "id", "key")


FROZEN = {
    "name": "gold.cities",
    "columns": [{"name": "city", "type": "string"}, {"name": "capital", "type": "long"}],
}
PLAIN = {**COUNT, "sql": {"query": "SELECT * FROM c"}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("city\nRio\n", ["capital"]),
        ("city,capital,more\nRio,1,2\n", ["more"]),
        ("city,capitol\nRio,1\n", ["capital", "capitol"]),
        ("city,capital\nRio,ten\n", ["capital", "ten"]),
    ],
    ids=["missing", "added", "renamed", "retyped"],
)
def test_a_frozen_table_refuses_other_columns(lab: Lab, content: str, words: list[str]) -> None:
    lab.file("data/c.csv", GOOD)
    lab.pipeline(PLAIN, tables=[FROZEN])
    lab.ok()
    before = lab.rows("gold.cities")
    lab.file("data/c.csv", content)
    refused(lab, before, *words)


def test_an_evolving_table_takes_a_column_and_sets_aside_what_has_another_type(lab: Lab) -> None:
    lab.pipeline({**LAND, "ingest": {"files": {"path": "data/*.csv", "read": "new"}}})
    lab.file("data/1.csv", "id,n\n1,10\n")
    lab.ok()
    lab.file("data/2.csv", "id,n,more\n2,20,x\n3,many,y\n")
    lab.ok()
    lab.file("data/3.csv", "id\n4\n")
    lab.ok()
    assert lab.rows("bronze.orders") == [(1, None, 10), (2, "x", 20), (4, None, None)]
    ((reason, row),) = lab.rejected("bronze.orders")
    assert "n" in reason
    assert "many" in row


def test_a_file_that_changes_while_it_is_read_is_not_half_loaded(lab: Lab) -> None:
    """A file replaced between listing and reading: its new version comes, once."""
    lab.pipeline({**LAND, "ingest": {"files": {"path": "data/*.csv", "read": "new"}}})
    lab.file("data/1.csv", "id\n1\n")
    lab.ok()
    lab.file("data/1.csv", "id\n1\n2\n")
    lab.ok()
    lab.ok()
    assert lab.rows("bronze.orders") == [(1,), (1,), (2,)]
