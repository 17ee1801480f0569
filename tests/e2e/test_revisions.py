"""What is Ready is what runs: after an edit, and after a namesake was deleted."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql
from tests.e2e.kubectl import wait_for

pytestmark = pytest.mark.cluster
EDITS = 5


@pytest.fixture
def edited(platform: Platform) -> Iterator[str]:
    yield "edited"
    platform.kubectl.delete("pipeline", "edited")


def runs(platform: Platform, name: str, value: int) -> None:
    """Apply, wait for Ready and no longer, run, and look at what came out."""
    platform.apply(pipeline(name, sql("a", f"SELECT {value} AS n", "bronze.edited")))
    platform.ready(name)
    platform.airflow.succeed(f"{NAMESPACE}.{name}")
    assert platform.table("bronze.edited")[1:] == [[str(value)]], "another revision ran"


def test_a_run_after_an_edit_is_of_that_edit(platform: Platform, edited: str) -> None:
    # Airflow binds a run to the version that its last parse was of, so it counts when that was: spread it.
    for value in range(EDITS):
        runs(platform, edited, value)
        time.sleep(random.uniform(0, 3))


def test_a_run_keeps_the_revision_that_it_began_with(platform: Platform, edited: str) -> None:
    """Its later stages too."""

    def stages(value: int) -> list[dict[str, Any]]:
        first = {"name": "a", "container": {"image": "adutora/stages:dev", "command": ["sleep", "15"]}}
        return [first, sql("b", f"SELECT {value} AS n", "bronze.edited", dependsOn=["a"])]

    platform.apply(pipeline(edited, *stages(1)))
    platform.ready(edited)
    dag = f"{NAMESPACE}.{edited}"
    run = platform.airflow.started(dag)
    wait_for("stage a", lambda: platform.airflow.tasks(dag, run)["a"]["state"] == "running", 60)
    platform.apply(pipeline(edited, *stages(2)))
    platform.ready(edited)
    assert platform.airflow.tasks(dag, run)["b"]["state"] is None, "it had begun before the edit was there"
    assert platform.airflow.ended(dag, run) == "success"
    assert platform.table("bronze.edited")[1:] == [["1"]]
    platform.airflow.succeed(dag)
    assert platform.table("bronze.edited")[1:] == [["2"]]


def test_a_pin_runs_an_older_revision(platform: Platform, edited: str) -> None:
    for value in (1, 2):
        platform.apply(pipeline(edited, sql("a", f"SELECT {value} AS n", "bronze.edited")))
        platform.ready(edited)
    dag = f"{NAMESPACE}.{edited}"
    for pin, value in ((1, "1"), (None, "2")):
        spec = {} if pin is None else {"revision": pin}
        platform.apply(pipeline(edited, sql("a", "SELECT 2 AS n", "bronze.edited"), **spec))
        platform.ready(edited)
        platform.airflow.succeed(dag)
        assert platform.table("bronze.edited")[1:] == [[value]]


def test_a_namesake_right_after_a_delete_runs(platform: Platform, edited: str) -> None:
    for value in (10, 11, 12):
        runs(platform, edited, value)
        platform.kubectl.delete("pipeline", edited)
