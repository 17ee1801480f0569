"""`adutora test`: given rows through the stage itself, and what differs in words."""

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adutora.cli import main
from adutora.testing.compare import difference, same
from adutora.testing.given import infer

pytestmark = pytest.mark.slow

PIPELINE = """apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: shop}
spec:
  params:
    - {name: floor, type: number, default: 0}
    - {name: region, type: string}
    - {name: input, default: data/raw.csv}
  tables:
    - name: silver.orders
      key: [id]
      partitionBy: [day]
      columns:
        - {name: id, type: long}
        - {name: day, type: date}
        - {name: store, type: string}
        - {name: amount, type: "decimal(12,2)"}
      checks:
        - {range: {column: amount, min: 0}, onFail: quarantine}
        - {references: {column: store, table: silver.stores, to: id}, onFail: quarantine}
  stages:
    - name: land
      inputs: [{name: raw, file: $(params.input), format: csv, csv: {delimiter: ";", decimal: ","}, columns: [{name: id, type: long}, {name: amount, type: "decimal(12,2)"}]}]
      sql: {query: "SELECT id, amount FROM raw"}
      output: {table: bronze.orders, mode: append}
    - name: stores
      inputs: [{name: s, file: data/stores.jsonl}]
      sql: {query: SELECT id FROM s}
      output: {table: silver.stores}
    - name: silver
      inputs: [{table: bronze.orders, read: new}]
      sql:
        query: |
          SELECT id, day, store, amount, _loaded_at FROM bronze.orders WHERE amount >= $(params.floor)
      output: {table: silver.orders, mode: merge, latestBy: _loaded_at}
    - name: gold
      inputs: [{table: silver.orders, read: changedPartitions}]
      sql: {query: "SELECT day, sum(amount) AS revenue, avg(amount) AS mean FROM silver.orders WHERE day <= $(run.date) GROUP BY day ORDER BY day"}
      output: {table: gold.sales}
    - name: pages
      http: {connection: online, path: /x, outputs: {count: $.n}}
    - name: top
      inputs: [{table: gold.sales}]
      sql: {query: "SELECT day, $(params.region) AS region, $(stages.pages.outputs.count) AS n FROM gold.sales"}
      output: {table: gold.top}
    - name: tidy
      input: {table: gold.top}
      clean: {dropNulls: [region]}
      output: {table: gold.tidy}
    - {name: up, probe: {connection: online}}
"""
SILVER = """
- name: t
  stage: silver
  given:
    silver.stores: [{id: A}]
    bronze.orders: [{id: 1, day: 2026-01-30, store: A, amount: 10.5}]
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def go(tests: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "p.yaml").write_text(PIPELINE.replace("http: {connection: online", "http: {connection: api"))
        (tmp_path / "adutora.yaml").write_text(
            "apiVersion: adutora.dev/v1alpha1\nkind: Project\nmetadata: {name: p}\n"
            'spec: {connections: [{name: api, http: {baseUrl: "http://localhost:1"}}]}\n'
        )
        (tmp_path / "tests.yaml").write_text(tests)
        code = main(["test", str(tmp_path / "p.yaml"), *options])
        out, err = capsys.readouterr()
        return code, out, err

    return go


def passes(run: Run, tests: str) -> None:
    code, out, err = run(tests)
    assert (code, err) == (0, ""), out


# What passes


def test_columns_that_are_not_named_are_not_looked_at(run: Run) -> None:
    passes(run, SILVER + "  expect: {rows: [{id: 1, amount: 10.50}], rejected: 0}")


def test_checks_of_the_table_set_rows_aside(run: Run) -> None:
    passes(
        run,
        """
- name: a negative amount and an unknown store
  stage: silver
  params: {floor: -100}
  given:
    silver.stores: [{id: A}]
    bronze.orders:
      - {id: 1, store: A, amount: 1, day: "2026-01-01"}
      - {id: 2, store: B, amount: 1, day: "2026-01-01"}
      - {id: 3, store: A, amount: -1, day: "2026-01-01"}
  expect: {rows: [{id: 1}], rejected: 2}
""",
    )


def test_merge_into_what_stands(run: Run) -> None:
    passes(
        run,
        """
- name: the newest row wins, and others stay
  stage: silver
  given:
    silver.stores: {csv: "id\\nA\\n"}
    silver.orders:
      - {id: 1, day: 2026-01-01, store: A, amount: 1, _loaded_at: 2026-01-02T00:00:00Z}
      - {id: 9, day: 2026-01-01, store: A, amount: 9, _loaded_at: 2026-01-02T00:00:00Z}
    bronze.orders:
      - {id: 1, day: 2026-01-01, store: A, amount: 5, _loaded_at: 2026-01-01T00:00:00Z}
      - {id: 9, day: 2026-01-01, store: A, amount: 10, _loaded_at: 2026-01-03T00:00:00Z}
      - {id: 9, day: 2026-01-01, store: A, amount: 11, _loaded_at: 2026-01-04T00:00:00Z}
  expect: {rows: [{id: 1, amount: 1}, {id: 9, amount: 11}]}
""",
    )


def test_the_text_of_a_file_is_read_as_the_stage_reads_it(run: Run) -> None:
    passes(
        run,
        """
tests:
  - name: decimal comma, and a row that does not fit
    stage: land
    given:
      raw:
        csv: |
          id;amount
          1;10,50
          x;1
    expect: {rows: [{id: 1, amount: 10.50}], rejected: 1}
  - name: rows in place of the text
    stage: land
    given: {raw: [{id: 1, amount: 2.5}]}
    expect: {rows: [{id: 1, amount: 2.5}]}
  - name: json lines
    stage: stores
    given: {s: {jsonl: "{\\"id\\": \\"A\\"}\\n{\\"id\\": \\"B\\"}\\n"}}
    expect: {rows: [{id: B}, {id: A}]}
""",
    )


def test_run_params_outputs_and_a_clean_stage(run: Run) -> None:
    passes(
        run,
        """
- name: the run's date
  stage: gold
  run: {date: "2026-01-01"}
  given:
    silver.orders:
      - {id: 1, day: 2026-01-01, amount: 1}
      - {id: 2, day: 2026-01-01, amount: 1.1}
      - {id: 3, day: 2026-01-02, amount: 5}
  expect: {rows: [{day: 2026-01-01, revenue: 2.1, mean: 1.05}], order: true}
- name: values of other stages
  stage: top
  params: {region: NO}
  outputs: {pages: {count: 3}}
  given: {gold.sales: [{day: 2026-01-01}]}
  expect: {rows: [{region: NO, n: 3}]}
- name: tidied
  stage: tidy
  given: {gold.top: [{region: NO}, {region: null}]}
  expect: {rows: [{region: NO}], rejected: 1}
""",
    )


def test_no_rows(run: Run) -> None:
    passes(
        run,
        """
- name: nothing in, nothing out
  stage: gold
  run: {date: "2026-01-01"}
  given: {silver.orders: []}
  expect: {rows: []}
- name: types of the test's own
  stage: tidy
  given: {gold.top: {columns: {region: string}, rows: []}}
  expect: {rows: []}
""",
    )


def test_an_error_that_is_expected(run: Run) -> None:
    double = SILVER.replace("[{id: 1,", "[{id: null, day: 2026-01-30, store: A, amount: 1}, {id: 1,")
    passes(run, double + "  expect: {error: key-not-null}")
    code, out, _ = run(double + "  expect: {error: something else}")
    assert code == 65
    assert "the error does not contain 'something else': silver.orders: check key-not-null" in out
    code, out, _ = run(SILVER + "  expect: {error: key}")
    assert code == 65
    assert "the stage succeeded, and should fail with 'key'" in out
    code, out, _ = run(double + "  expect: {rows: []}")
    assert code == 65
    assert "the stage failed: silver.orders: check key-not-null" in out


# What fails


def test_the_difference_in_words(run: Run) -> None:
    code, out, _ = run(
        """
- name: wrong
  stage: silver
  given:
    silver.stores: [{id: A}]
    bronze.orders:
      - {id: 1, day: 2026-01-01, store: A, amount: 10}
      - {id: 2, day: 2026-01-01, store: A, amount: 20}
      - {id: 3, day: 2026-01-01, store: C, amount: 30}
  expect:
    rows:
      - {id: 1, amount: 10.01}
      - {id: 7, amount: 1}
    rejected: 0
"""
    )
    assert code == 65
    assert out.splitlines() == [
        f"FAIL  wrong  (stage silver, {_tests_file(out)}:2)",
        "      0 rejected rows expected, 1 came",
        "      ~ id=1: amount: expected 10.01, came 10.00",
        "      - expected, did not come:  id=7, amount=1",
        "      + came, was not expected:  id=2, amount=20.00",
        "      set aside: references-store: store is C, which is not in silver.stores.id",
        "1 test, 1 failed",
    ]


def _tests_file(out: str) -> str:
    return out.split("stage silver, ", 1)[1].split(":2)", 1)[0]


def test_json(run: Run) -> None:
    code, out, _ = run(SILVER + "  expect: {rows: [{id: 1, amount: 11}]}", "--output", "json")
    data = json.loads(out)
    assert (code, data["tests"], data["failed"]) == (65, 1, 1)
    (result,) = data["results"]
    assert result["changed"] == [{"expected": {"id": "1", "amount": "11"}, "actual": {"id": "1", "amount": "10.50"}}]


def test_a_column_that_is_not_there(run: Run) -> None:
    code, out, _ = run(SILVER + "  expect: {rows: [{id: 1, amout: 10.5}]}")
    assert code == 65
    assert "silver.orders has no column 'amout'; did you mean `amount`?" in out


def test_order(run: Run) -> None:
    test = """
- name: t
  stage: gold
  run: {date: "2026-01-31"}
  given: {silver.orders: [{id: 1, day: 2026-01-01, amount: 1}, {id: 2, day: 2026-01-02, amount: 1}]}
  expect: {rows: [{day: 2026-01-02}, {day: 2026-01-01}], order: %s}
"""
    assert run(test % "false")[0] == 0
    code, out, _ = run(test % "true")
    assert code == 65
    assert "the rows are right, but not their order: row 1 is another" in out


# A function


SCORES = """import json
from pathlib import Path
import weights


def scores(inputs, factor, day):
    print("scoring")
    for row in inputs["bronze.orders"].to_pylist():
        if row["amount"] is None:
            raise ValueError(f"order {row['id']} has no amount")
        yield {"id": row["id"], "day": day, "score": row["amount"] * factor + weights.BASE}


def shops(inputs):
    names = json.loads((Path(__file__).parent / "names.json").read_text())
    return [{"store": row["id"], "name": names[row["id"]]} for row in inputs["s"].to_pylist()]


def fails(inputs):
    raise KeyError("no such thing")
"""
FUNCTIONS = """apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: scores}
spec:
  params: [{name: factor, type: integer, default: 2}]
  tables: [{name: silver.scores, checks: [{range: {column: score, max: 100}, onFail: quarantine}]}]
  stages:
    - {name: scores, input: {table: bronze.orders, external: true}, python: {function: "lib:scores", args: {factor: $(params.factor), day: $(run.date)}}, output: {table: silver.scores}}
    - {name: shops, input: {name: s, file: s.csv}, python: {function: "lib:shops"}, output: {table: silver.shops}}
    - {name: gone, python: {function: "lib:fails"}, output: {table: silver.gone}}
    - {name: lone, python: {function: "lib:fails"}}
"""


@pytest.fixture
def functions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "p.yaml").write_text(FUNCTIONS)
    (tmp_path / "lib.py").write_text(SCORES)
    (tmp_path / "weights.py").write_text("BASE = 1\n")
    (tmp_path / "names.json").write_text('{"A": "Centro"}')
    (tmp_path / "s.csv").write_text("id\nthe pipeline's own\n")

    def go(tests: str, *options: str) -> tuple[int, str, str]:
        (tmp_path / "tests.yaml").write_text(tests)
        code = main(["test", str(tmp_path / "p.yaml"), *options])
        out, err = capsys.readouterr()
        return code, out, err

    return go


ORDERS = """
- name: t
  stage: scores
  run: {date: 2026-01-30}
  given: {bronze.orders: [{id: 1, amount: 10}, {id: 2, amount: 70}]}
"""


def test_a_function_gets_rows_and_its_own_are_written(functions: Run) -> None:
    passes(functions, ORDERS + "  expect: {rows: [{id: 1, day: 2026-01-30, score: 21}], rejected: 1}")
    passes(
        functions,
        ORDERS + "  params: {factor: 1}\n  expect: {rows: [{id: 1, score: 11}, {id: 2, score: 71}], rejected: 0}",
    )


def test_a_function_that_gives_other_rows_is_told(functions: Run) -> None:
    code, out, _ = functions(ORDERS + "  expect: {rows: [{id: 1, score: 22}]}")
    assert code == 65
    assert "22" in out
    assert "21" in out


def test_a_function_reads_what_lies_beside_it_and_a_file_is_the_tests_own(functions: Run, tmp_path: Path) -> None:
    test = '- {name: t, stage: shops, given: {s: {csv: "id\\nA\\n"}}, expect: {rows: [{store: A, name: Centro}]}}'
    passes(functions, test)
    assert (tmp_path / "s.csv").read_text() == "id\nthe pipeline's own\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lib.py", "names.json", "p.yaml", "s.csv", "tests.yaml", "weights.py",
    ]  # fmt: skip


def test_a_function_that_fails(functions: Run) -> None:
    passes(functions, "- {name: t, stage: gone, expect: {error: no such thing}}")
    code, out, _ = functions("- {name: t, stage: gone, expect: {rows: []}}")
    assert (code, "no such thing" in out) == (65, True)
    code, out, _ = functions(ORDERS.replace("amount: 70", "amount: null") + "  expect: {rows: []}")
    assert (code, "order 2 has no amount" in out) == (65, True)


def test_a_function_without_a_table_cannot_be_tested(functions: Run) -> None:
    code, _, err = functions("- {name: t, stage: lone, expect: {error: x}}")
    assert code == 78
    assert "stage `lone` writes no table" in err
    assert "test one of gone, scores, shops" in err


def test_the_tests_of_the_examples_pass(capsys: pytest.CaptureFixture[str]) -> None:
    examples = Path(__file__).parents[2] / "examples"
    found = [path.parent / "pipeline.yaml" for path in sorted(examples.glob("*/tests.yaml"))]
    assert found
    for path in found:
        assert main(["test", str(path)]) == 0, capsys.readouterr().out


# What cannot be


@pytest.mark.parametrize(
    ("tests", "says"),
    [
        ("- {name: t, stage: silvr, expect: {rows: []}}", ("1:20: error: shop has no stage `silvr`", "`silver`?")),
        ("- {name: t, stage: up, expect: {rows: []}}", ("is of type probe, which cannot be tested so",)),
        (
            SILVER.replace("silver.stores:", "silver.store:") + "  expect: {rows: []}",
            ("5:5: error: stage `silver` does not read `silver.store`", "did you mean `silver.stores`?"),
        ),
        (
            SILVER.replace("    silver.stores: [{id: A}]\n", "") + "  expect: {rows: []}",
            ("stage `silver` reads `silver.stores`", "add `silver.stores:` to `given`"),
        ),
        (
            SILVER + "  params: {flor: 1}\n  expect: {rows: []}",
            ("there is no parameter `flor`", "did you mean `floor`?"),
        ),
        (
            SILVER + "  expct: {rows: []}",
            ("unknown field `expct`", "did you mean `expect`?"),
        ),
        ("- {name: t, stage: gold, given: {silver.orders: []}, expect: {}}", ("the stage uses $(run.date)",)),
        (
            "- {name: t, stage: top, given: {gold.sales: [{day: 1}]}, expect: {}}",
            ("the stage uses $(params.region)", "the stage uses $(stages.pages.outputs.count)"),
        ),
        ("- {name: t, stage: tidy, given: {gold.top: []}, expect: {}}", ("has no rows, so its columns are unknown",)),
        (SILVER + "  expect: {}\n" + SILVER + "  expect: {}", ("another test is called 't'",)),
        ("tests: []", ("1:8: error: is empty",)),
        ("", ("is empty",)),
        ("a: [", ("is no YAML",)),
        (SILVER.replace("amount: 10.5", "amount: ten") + "  expect: {}", ("bronze.orders",)),
        (SILVER + "  params: {floor: x}\n  expect: {}", ("parameter floor: 'x' is no number",)),
        (SILVER + "  run: {date: soon}\n  expect: {}", ("'soon' is no date", "write for example 2026-01-31")),
    ],
)
def test_a_file_that_is_wrong(tests: str, says: tuple[str, ...], run: Run) -> None:
    code, out, err = run(tests)
    assert code in (78, 65), out
    for text in says:
        assert text in out + err


def test_a_given_value_that_does_not_fit_its_column(run: Run) -> None:
    code, _, err = run(
        '- {name: t, stage: gold, run: {date: "2026-01-01"}, given: {silver.orders: [{id: 1}, {id: x}]}, expect: {}}'
    )
    assert code == 78
    assert "silver.orders, row 2: column id: 'x' is no long" in err


def test_where_tests_are_looked_for(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(SILVER + "  expect: {rows: []}")
    (tmp_path / "p.tests.yaml").write_text(SILVER + "  expect: {rows: [{id: 1}]}")
    assert main(["test", str(tmp_path / "p.yaml")]) == 0
    assert main(["test", str(tmp_path / "p.yaml"), "--tests", str(tmp_path / "tests.yaml")]) == 65
    (tmp_path / "p.tests.yaml").unlink()
    (tmp_path / "tests.yaml").unlink()
    capsys.readouterr()
    assert main(["test", str(tmp_path / "p.yaml")]) == 78
    assert "write p.tests.yaml or tests.yaml beside it" in capsys.readouterr().err


def test_nothing_is_left_behind(run: Run, tmp_path: Path) -> None:
    run(SILVER + "  expect: {rows: []}")
    assert {path.name for path in tmp_path.iterdir()} == {"p.yaml", "adutora.yaml", "tests.yaml"}


# Comparing


@pytest.mark.parametrize(
    ("expected", "actual", "equal"),
    [
        (None, None, True),
        (None, 0, False),
        (0, None, False),
        (1, True, False),
        (True, True, True),
        ("true", True, False),
        (10.5, Decimal("10.50"), True),
        ("10.50", Decimal("10.5"), True),
        (10, Decimal("10.00"), True),
        (10.01, Decimal("10.00"), False),
        (0.3, 0.1 + 0.2, True),
        (0.3, 0.3001, False),
        (1, 1.0, True),
        ("x", 1, False),
        ("nan", float("nan"), True),
        (9007199254740993, 9007199254740992, False),
        ("2026-01-01", dt.date(2026, 1, 1), True),
        ("2026-01-02", dt.date(2026, 1, 1), False),
        ("2026-01-01 10:00:00", dt.datetime(2026, 1, 1, 10), True),
        ("2026-01-01T10:00:00Z", dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC), True),
        ("2026-01-01T12:00:00+02:00", dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC), True),
        ("soon", dt.datetime(2026, 1, 1), False),
        ("a", "a", True),
        (1, "1", True),
        ([1, "a"], [1, "a"], True),
        ([1], [1, 2], False),
        ({"a": 1.0}, {"a": Decimal(1)}, True),
        ({"a": 1}, {"b": 1}, False),
        ("ab", b"ab", True),
    ],
)
def test_same(expected: Any, actual: Any, equal: bool) -> None:
    assert same(expected, actual) is equal


def test_each_expected_row_takes_one_row() -> None:
    found = difference([{"a": 1}, {"a": 1}], [{"a": 1}, {"a": 2}])
    assert (found.missing, found.unexpected) == (({"a": 1},), ({"a": 2},))
    assert not difference([{"a": 1}, {"a": 2}], [{"a": 2}, {"a": 1}])


def test_rows_much_alike_are_paired() -> None:
    found = difference([{"a": 1, "b": 2, "c": 3}], [{"a": 9, "b": 9, "c": 9}, {"a": 1, "b": 2, "c": 4}])
    assert found.changed == (({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2, "c": 4}),)
    assert found.unexpected == ({"a": 9, "b": 9, "c": 9},)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, 2], "BIGINT"),
        ([1, 2.5], "DOUBLE"),
        ([True], "BOOLEAN"),
        ([True, 1], "VARCHAR"),
        (["2026-01-01", None], "DATE"),
        (["2026-01-01", "x"], "VARCHAR"),
        (["2026-01-01 10:00"], "TIMESTAMP"),
        (["2026-01-01T10:00:00Z"], "TIMESTAMP WITH TIME ZONE"),
        ([None], "VARCHAR"),
        ([], "VARCHAR"),
        ([[1], [2.5]], "DOUBLE[]"),
        ([{"a": 1}, {"b": "x"}], 'STRUCT("a" BIGINT, "b" VARCHAR)'),
    ],
)
def test_types_by_the_values(values: list[Any], kind: str) -> None:
    assert infer(values) == kind
