"""The pages a user sees, in a real browser; with ADUTORA_PICTURES=FOLDER what was seen is kept there as PNG."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.browser import Browser, chromium
from tests.e2e.conftest import NAMESPACE, Platform, secret
from tests.e2e.kubectl import wait_for
from tests.golden_tables import EXAMPLES

pytestmark = pytest.mark.cluster
EDGES, CITIES = f"{NAMESPACE}.edges-from-data", f"{NAMESPACE}.city-features"


@pytest.fixture(scope="module")
def applied(platform: Platform) -> None:
    """Two examples on the cluster, of which one has run."""
    for name in ("03-edges-from-data", "02-city-features"):
        platform.push(name)
        platform.apply((EXAMPLES / name / "pipeline.yaml").read_text())
    for dag in (EDGES, CITIES):
        platform.ready(dag.partition(".")[2])
        wait_for(f"DAG {dag}", lambda dag=dag: platform.airflow.dag(dag), 90)  # type: ignore[misc]
    platform.airflow.succeed(EDGES)


@pytest.fixture(scope="module")
def browser(platform: Platform, applied: None) -> Iterator[Browser]:
    """A browser in which the administrator has logged in by the form."""
    user = secret(platform.kubectl, "adutora-airflow-admin")
    with chromium() as opened:
        opened.open(str(platform.airflow.http.base_url))
        opened.type("input[name=username]", user["username"])
        opened.type("input[name=password]", user["password"])
        opened.click("[type=submit]")
        opened.shows("Dags")
        yield opened


def keep(browser: Browser, name: str) -> None:
    """Keep what is seen, where somebody asked for it."""
    folder = os.environ.get("ADUTORA_PICTURES")
    if folder:
        browser.picture(Path(folder) / f"{name}.png")


def go(browser: Browser, platform: Platform, path: str) -> None:
    browser.open(str(platform.airflow.http.base_url).rstrip("/") + path)


def test_the_list_of_pipelines(browser: Browser, platform: Platform) -> None:
    go(browser, platform, "/dags?tags=adutora")
    browser.shows(EDGES, CITIES)
    keep(browser, "dags")


def test_the_graph_shows_the_edges_that_data_makes(browser: Browser, platform: Platform) -> None:
    go(browser, platform, f"/dags/{EDGES}")
    browser.click("button[value=graph]")
    browser.find(".react-flow__edge")
    stages = yaml.safe_load((EXAMPLES / "03-edges-from-data/pipeline.yaml").read_text())["spec"]["stages"]
    browser.shows(*(stage["name"] for stage in stages))
    time.sleep(1)  # it moves into its place
    assert browser.run("return document.querySelectorAll('.react-flow__edge').length") >= 2
    keep(browser, "graph")


def test_the_grid_of_runs(browser: Browser, platform: Platform) -> None:
    go(browser, platform, f"/dags/{EDGES}/runs")
    browser.click("button[value=grid]")
    browser.shows("by-region", "orders", "stores", "Success")
    keep(browser, "runs")


def test_the_trigger_form_has_the_parameters_in_their_order(browser: Browser, platform: Platform) -> None:
    go(browser, platform, f"/dags/{CITIES}")
    browser.click("[data-testid=trigger-dag-button]")
    text = browser.shows("Input CSV", "Publish to the online store")
    assert text.index("Input CSV") < text.index("Publish to the online store")
    values = browser.run("return [...document.querySelectorAll('input')].map(each => each.value)")
    assert "data/companies.csv" in values
    keep(browser, "trigger-form")
