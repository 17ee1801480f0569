"""The applications of spark_apps: what their `transform` gives, and that the template's own test passes."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.sql import Row

from adutora.errors import ConfigError
from adutora.spark import stage
from tests.spark.conftest import Both

APPS = Path(__file__).parents[2] / "spark_apps"


def app(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, APPS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_city_features(both: Both) -> None:
    rows = [("São Paulo", 10.0), ("São Paulo", None), ("Goiânia", 2.5)]
    companies = both.starting.session().createDataFrame(rows, "cidade string, capital_social double")
    found = app("city_features").transform(companies).orderBy("cidade").collect()
    assert found == [
        Row(cidade="Goiânia", quantidade_empresas=1, capital_social_medio=2.5, capital_social_total=2.5),
        Row(cidade="São Paulo", quantidade_empresas=2, capital_social_medio=10.0, capital_social_total=10.0),
    ]


def test_breweries_silver(both: Both) -> None:
    names = "id, name, brewery_type, city, state_province, country, phone, latitude, longitude"
    row = ("1", " 's ", "Micro ", "  ", "Bayern", "Germany", "+49 (9261) 62-80", "50.24", "east")
    breweries = both.starting.session().createDataFrame(
        [row], ", ".join(f"{name} string" for name in names.split(", "))
    )
    [found] = app("breweries_silver").transform(breweries).collect()
    assert found == Row(
        id="1", name="'s", type="micro", city=None, state="Bayern", country="Germany", phone="+4992616280",
        latitude=50.24, longitude=None,
    )  # fmt: skip


def test_an_application_outside_a_stage_says_so() -> None:
    with pytest.raises(ConfigError, match="not a stage of Adutora"):
        stage()


def test_the_templates_own_test_passes(tmp_path: Path) -> None:
    folder = shutil.copytree(APPS / "template", tmp_path / "template", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
