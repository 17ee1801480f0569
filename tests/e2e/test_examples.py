"""Every example runs on the cluster to the tables and keys of the laptop's run."""

import pytest
import yaml

from tests.e2e.conftest import NAMESPACE, Platform
from tests.golden_tables import EXAMPLES, assert_golden, golden_of, same

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/pipeline.yaml"))
pytestmark = pytest.mark.cluster
PARAMS = {"02-city-features": {"save_to_db": True}}


@pytest.mark.parametrize("name", NAMES)
def test_runs_to_the_golden_tables(name: str, platform: Platform, request: pytest.FixtureRequest) -> None:
    if name == "06-http":
        request.getfixturevalue("shop_api")
    text = (EXAMPLES / name / "pipeline.yaml").read_text()
    dag = f"{NAMESPACE}.{yaml.safe_load(text)['metadata']['name']}"
    platform.push(name)
    platform.apply(text)
    platform.ready(dag.partition(".")[2])
    platform.airflow.succeed(dag, **PARAMS.get(name, {}))
    assert_golden(name, {table: platform.table(table) for table in golden_of(name)})
    if name == "02-city-features":
        _assert_published(platform, golden_of(name)["gold.city_features"])


def _assert_published(platform: Platform, rows: list[list[str]]) -> None:
    names, *cities = rows
    for row in cities:
        city = dict(zip(names, row, strict=True))
        fields = platform.online.hgetall(f"cidade:{city['cidade']}")
        assert fields["quantidade_empresas"] == city["quantidade_empresas"]
        assert same(fields["capital_social_total"], city["capital_social_total"])
    assert len(list(platform.online.scan_iter("cidade:*"))) == len(cities)
