"""Examples with `engine: spark` in each `sql` stage: golden tables, rejected rows and figures of the DuckDB run."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from deltalake import DeltaTable

from tests.golden.test_examples import adutora, copied, tables_of
from tests.golden_tables import Rows, assert_golden, texts

NAMES = [
    "01-first-table",
    "02-city-features",
    "03-edges-from-data",
    "04-quality-and-replay",
    "05-incremental-merge",
    "07-spark",
]
FIGURES = ("rows_in", "rows_out", "rows_rejected")


def on(engine: str, folder: Path) -> Path:
    """The pipeline with an engine in each `sql` stage."""
    data = yaml.safe_load((folder / "pipeline.yaml").read_text())
    for stage in data["spec"]["stages"]:
        if "sql" in stage:
            stage["sql"]["engine"] = engine
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(data, allow_unicode=True))
    return folder / "pipeline.yaml"


def statistics(lake: Path) -> dict[str, Any]:
    """What the tables' logs say of their files: rows, and least, greatest and missing values of each column."""
    found = {}
    for log in sorted(lake.glob("*/*/_delta_log")):
        actions = DeltaTable(str(log.parent)).get_add_actions(flatten=True)
        rows = [
            dict(zip(actions.schema.names, row, strict=True))
            for row in zip(*(column.to_pylist() for column in actions.columns), strict=True)
        ]
        kept = ("num_records", "null_count.", "min.", "max.")
        files = [
            {name: value for name, value in row.items() if name.startswith(kept) and "._" not in name} for row in rows
        ]
        found[log.parent.name] = sorted(
            files, key=str
        )  # their names are chance, and so is the order of those of one time
    return found


@pytest.mark.parametrize("name", NAMES)
def test_spark_gives_the_golden_tables(name: str, tmp_path: Path) -> None:
    folder = copied(name, tmp_path)
    ran = json.loads(adutora("run", on("spark", folder), "--output", "json"))
    tables = tables_of(folder / "lake")
    assert_golden(name, tables)
    assert {table: by_polars(folder / "lake", table) for table in tables} == tables
    if name == "07-spark":
        return  # its last stage is an application, for both
    other = copied(name, tmp_path / "duckdb")
    wanted = json.loads(adutora("run", on("duckdb", other), "--output", "json"))
    figures = [{each: stage[each] for each in FIGURES} for stage in ran["stages"]]
    assert figures == [{each: stage[each] for each in FIGURES} for stage in wanted["stages"]]
    assert _rounded(statistics(folder / "lake")) == _rounded(statistics(other / "lake"))


def by_polars(lake: Path, table: str) -> Rows:
    """A table as Polars reads it, which knows Delta's protocol without us, Spark or DuckDB."""
    return texts(pl.read_delta(str(lake / table.replace(".", "/"))).to_arrow())


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return {name: _rounded(each) for name, each in value.items()} if isinstance(value, dict) else value


FAN_OUT = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: fan-out}
spec:
  stages:
    - name: land
      ingest: {files: {path: rows.csv}}
      output: {table: bronze.rows}
    - name: each
      forEach: {values: [1, 2], maxParallel: 1}
      inputs: [{name: raw, file: rows.csv}, {table: bronze.rows}]
      sql: {engine: spark, query: "SELECT $(item) AS item, count(*) AS n FROM bronze.rows JOIN raw USING (a) WHERE a >= $(item)"}
      output: {table: gold.each, mode: append}
"""


def test_items_of_a_fan_out_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    folder = tmp_path / "mein Ordner's é {x}"
    folder.mkdir()
    (folder / "rows.csv").write_text("a\n1\n2\n")
    (folder / "pipeline.yaml").write_text(FAN_OUT)
    adutora("run", folder / "pipeline.yaml")
    head, *rows = tables_of(folder / "lake")["gold.each"]
    assert (head, rows) == (["item", "n", "_stage"], [["1", "2", "each[0]"], ["2", "1", "each[1]"]])
