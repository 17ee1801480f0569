"""Every example compiles to its golden DagConfig and runs to its golden tables.

`ADUTORA_UPDATE_GOLDEN=1 pytest tests/golden` writes them anew; look at the difference before you commit it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.golden_tables import EXAMPLES, assert_golden, rows_of, same, write_golden

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pipeline.yaml"))
UPDATE = os.environ.get("ADUTORA_UPDATE_GOLDEN") == "1"
ENV = {**os.environ, "ADUTORA_SECRET_SHOP_API_USER": "demo", "ADUTORA_SECRET_SHOP_API_PASSWORD": "demo"}


def adutora(*args: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "adutora.cli", *map(str, args)], capture_output=True, text=True, env=ENV, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def copied(name: str, tmp_path: Path) -> Path:
    """The example in a folder of its own, so that its tree stays clean."""
    ignore = shutil.ignore_patterns(".adutora", "lake", "online.db*", "__pycache__")
    return Path(shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=ignore))


def tables_of(lake: Path) -> dict[str, list[list[str]]]:
    return {
        f"{log.parent.parent.name}.{log.parent.name}": rows_of(log.parent)
        for log in sorted(lake.glob("*/*/_delta_log"))
        if not log.parent.parent.name.startswith(".")
    }


@pytest.mark.parametrize("name", NAMES)
def test_compiles_to_its_golden_config(name: str) -> None:
    text = adutora("compile", EXAMPLES / name / "pipeline.yaml")
    path = EXAMPLES / name / "golden" / "dagconfig.json"
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


# Example 07 needs Spark, and runs in tests/spark.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "07-spark"])
def test_runs_to_its_golden_tables(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name == "06-http":
        request.getfixturevalue("shop_api")
    folder = copied(name, tmp_path)
    adutora("run", folder / "pipeline.yaml")
    first = tables_of(folder / "lake")
    if UPDATE:
        write_golden(name, first)
    assert_golden(name, first)
    # The same input again changes nothing.
    summary = json.loads(adutora("run", folder / "pipeline.yaml", "--output", "json"))
    if name != "06-http":  # what an API answers may be new each time, and its table is written anew
        changed = [table for stage in summary["stages"] for table in stage["tables"] if table["changed"]]
        assert changed == []
    assert tables_of(folder / "lake") == first


def test_city_features_are_published(tmp_path: Path) -> None:
    folder = copied("02-city-features", tmp_path)
    adutora("run", folder / "pipeline.yaml", "-p", "save_to_db=true")
    [[names, *rows]] = tables_of(folder / "lake").values()
    for row in rows:
        city = dict(zip(names, row, strict=True))
        shown = json.loads(adutora("online", f"cidade:{city['cidade']}", "--project", folder, "--output", "json"))
        fields = shown.get("fields", shown)
        assert fields["quantidade_empresas"] == city["quantidade_empresas"]
        assert same(fields["capital_social_total"], city["capital_social_total"])


def test_quality_example_replays_what_its_rules_allow_later(tmp_path: Path) -> None:
    folder = copied("04-quality-and-replay", tmp_path)
    adutora("run", folder / "pipeline.yaml")
    text = (folder / "pipeline.yaml").read_text()
    assert "[BRL, USD]" in text
    (folder / "pipeline.yaml").write_text(text.replace("[BRL, USD]", "[BRL, USD, EUR]"))
    said = adutora("replay", "silver.payments", "--file", folder / "pipeline.yaml")
    assert "1 row replayed, 5 still rejected" in said
    names, *rows = rows_of(folder / "lake" / "silver" / "payments")
    assert "EUR" in {row[names.index("currency")] for row in rows}


def test_incremental_example_reads_a_new_file_alone(tmp_path: Path) -> None:
    folder = copied("05-incremental-merge", tmp_path)
    adutora("run", folder / "pipeline.yaml")
    (folder / "data" / "day-3.csv").write_text(
        "ticket,opened,status,changed_at,op\n1,2026-01-01,closed,2026-01-03T08:00:00Z,U\n"
        "4,2026-01-02,open,2026-01-01T00:00:00Z,U\n"
    )
    summary = json.loads(adutora("run", folder / "pipeline.yaml", "--output", "json"))
    stages = {stage["name"]: stage for stage in summary["stages"]}
    assert (stages["land"]["rows_in"], stages["tickets"]["rows_in"]) == (2, 2)
    _, *days = rows_of(folder / "lake" / "gold" / "tickets_per_day")
    assert days == [["2026-01-01", "0", "2"], ["2026-01-02", "1", "0"]]
