"""What starts runs, with Airflow's own clock and events: cron, catch-up, tables, and the pause between them."""

import datetime as dt
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.conftest import Platform, deployed, sql
from tests.e2e.kubectl import wait_for

pytestmark = pytest.mark.cluster
PAUSE = 20
NUMBER = [{"name": "n", "type": "integer", "default": 0}]


@pytest.fixture
def fresh(gone: list[str]) -> Callable[[str], str]:
    """A name that no pipeline had before: Airflow keeps the runs of one that is gone, and counts them."""

    def name(stem: str) -> str:
        gone.append(f"{stem}-{secrets.token_hex(3)}")
        return gone[-1]

    return name


def runs(platform: Platform, dag: str, how: str = "asset_triggered") -> list[dict[str, Any]]:
    """Runs that began in one way, the oldest first."""
    found = platform.airflow.get(f"/dags/{dag}/dagRuns", order_by="id", limit=100)["dag_runs"]
    return [each for each in found if each["run_type"] == how]


def succeeded(platform: Platform, dag: str, count: int, how: str = "asset_triggered") -> list[dict[str, Any]]:
    """Wait until so many runs have succeeded."""

    def probe() -> list[dict[str, Any]] | None:
        found = [each for each in runs(platform, dag, how) if each["state"] == "success"]
        return found if len(found) >= count else None

    return wait_for(f"{count} runs of {dag}", probe, 180, every=1)


def begun(platform: Platform, dag: str, run: dict[str, Any], task: str) -> dt.datetime:
    return dt.datetime.fromisoformat(platform.airflow.tasks(dag, run["dag_run_id"])[task]["start_date"])


def written(table: str) -> dict[str, Any]:
    """A pipeline's stage that writes the number that it is given."""
    return sql("a", "SELECT $(params.n) AS n", table)


def test_tables_start_runs_when_they_change_and_not_too_often(platform: Platform, fresh: Callable[[str], str]) -> None:
    tables = [f"bronze.{stem}_{secrets.token_hex(3)}" for stem in ("tick", "tock")]
    tick, tock = (deployed(platform, fresh("writes"), written(table), params=NUMBER) for table in tables)
    read = [{"table": table} for table in tables]
    either = deployed(
        platform, fresh("either"), sql("a", f"SELECT n FROM {tables[0]}", "silver.either", inputs=read[:1]),
        triggers=[{"assets": {"any": tables}, "minInterval": f"{PAUSE}s"}],
    )  # fmt: skip
    both = deployed(
        platform, fresh("both"), sql("a", " UNION ALL ".join(f"FROM {each}" for each in tables), "silver.both", inputs=read),
        triggers=[{"assets": {"all": tables}}],
    )  # fmt: skip
    platform.airflow.succeed(tick, n=1)
    succeeded(platform, either, 1)
    platform.airflow.succeed(tick, n=1)  # the same row once more
    platform.airflow.succeed(tick, n=2)
    first, second = succeeded(platform, either, 2)
    assert begun(platform, either, second, "a") - begun(platform, either, first, "a") > dt.timedelta(seconds=PAUSE - 5)
    assert runs(platform, both) == [], "one of two tables is not all"
    platform.airflow.succeed(tock, n=3)
    succeeded(platform, both, 1)
    assert platform.table("silver.both")[1:] == [["2"], ["3"]]
    assert platform.table("silver.either")[1:] == [["2"]]
    succeeded(platform, either, 3)
    assert len(runs(platform, either)) == 3, "a table that did not change starts no run"


def test_the_clock_starts_runs_and_suspend_stops_it(platform: Platform, fresh: Callable[[str], str]) -> None:
    name = fresh("minutely")
    cron = [{"cron": "* * * * *", "timezone": "America/Sao_Paulo"}]
    stage = sql("a", "SELECT 1 AS n", "bronze.minutely")
    dag = deployed(platform, name, stage, triggers=cron)
    succeeded(platform, dag, 1, "scheduled")
    wait_for("its last run", lambda: _last_run(platform, name) == "success", 60)
    deployed(platform, name, stage, triggers=cron, suspend=True)
    wait_for("the pause", lambda: (platform.airflow.dag(dag) or {})["is_paused"], 60)
    time.sleep(3)
    before = len(runs(platform, dag, "scheduled"))
    time.sleep(65)
    assert len(runs(platform, dag, "scheduled")) == before


def _last_run(platform: Platform, name: str) -> str | None:
    """State of the last run, as `kubectl get pipelines` tells it."""
    status = (platform.kubectl.get("pipeline", name) or {}).get("status", {})
    return (status.get("lastRun") or {}).get("state")


def test_catch_up_runs_every_day_that_was_missed(platform: Platform, fresh: Callable[[str], str]) -> None:
    table, today = f"bronze.missed_{secrets.token_hex(3)}", dt.datetime.now(dt.UTC).date()
    start = today - dt.timedelta(days=3)
    stage = {**sql("a", "SELECT $(run.date) AS day"), "output": {"table": table, "mode": "append"}}
    dag = deployed(
        platform, fresh("missed"), stage, triggers=[{"cron": "0 0 * * *", "startDate": start.isoformat(), "catchup": True}],
    )  # fmt: skip
    days = [[str(start + dt.timedelta(days=number))] for number in range(4)]
    succeeded(platform, dag, len(days), "scheduled")
    assert sorted(platform.table(table)[1:])[: len(days)] == days  # at midnight there is one more
