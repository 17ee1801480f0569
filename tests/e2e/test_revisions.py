"""What is Ready is what runs: after an edit, and after a namesake was deleted."""

import random
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import NAMESPACE, Platform, pipeline, sql

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


def test_a_namesake_right_after_a_delete_runs(platform: Platform, edited: str) -> None:
    for value in (10, 11, 12):
        runs(platform, edited, value)
        platform.kubectl.delete("pipeline", edited)
