"""The `publish` stage, into a real SQLite store."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError
from adutora.io.online import open_store
from adutora.stages.publish.run import run
from adutora.stages.publish.spec import Publish

CITIES = [("São Paulo", 3, 65000.0, "r-1"), ("Recife", 1, None, "r-1")]
Stage = Callable[..., Any]


@pytest.fixture
def stage(bench: Callable[..., Any]) -> Stage:
    def make(rows: list[tuple[Any, ...]] = CITIES, **task: Any) -> Any:
        made = bench({"online": {"sqlite": {}}}, inputs=[{"table": "gold.cities"}])
        made.task = SimpleNamespace(**vars(made.task), **{"full_refresh": False, **task})
        made.task.config = SimpleNamespace(dag_id="team.cities")
        made.con.execute(
            "CREATE SCHEMA gold; CREATE TABLE gold.cities (city VARCHAR, n INT, mean DOUBLE, _run_id VARCHAR)"
        )
        if rows:
            made.con.executemany("INSERT INTO gold.cities VALUES (?, ?, ?, ?)", rows)
        return made

    return make


def spec(**fields: Any) -> Publish:
    return Publish.model_validate({"key": ["city"], "prefix": "city", **fields})


def get(made: Any, key: str) -> dict[str, str] | None:
    with open_store(made.connection("online"), made.root) as store:
        return store.get(key)


def test_publishes_its_input(stage: Stage) -> None:
    made = stage()
    run(spec(ttl="7d"), made)
    assert get(made, "city:São Paulo") == {"city": "São Paulo", "n": "3", "mean": "65000.0"}
    assert get(made, "city:Recife") == {"city": "Recife", "n": "1"}
    assert made.outcome.rows_out == 2
    assert made.outcome.metrics == {"published": 2, "deleted": 0, "unchanged": 0, "empty": 0}


def test_chosen_columns(stage: Stage) -> None:
    made = stage()
    run(spec(columns=["mean"]), made)
    assert get(made, "city:São Paulo") == {"mean": "65000.0"}
    assert get(made, "city:Recife") is None
    assert made.outcome.rows_out == 1
    assert "1 rows have no value" in made.outcome.warnings[0]


def test_bad_data_leaves_the_store_as_it_was(stage: Stage) -> None:
    run(spec(), stage())
    for rows, message in (
        ([*CITIES, ("Recife", 2, 2.0, "r-1")], r"'Recife' \(2 rows\)"),
        ([*CITIES, (None, 2, 2.0, "r-1")], "key column city is null in 1 row"),
        ([], "no rows to publish"),
    ):
        made = stage(rows)
        with pytest.raises(DataError, match=message):
            run(spec(), made)
        assert get(made, "city:Recife") == {"city": "Recife", "n": "1"}


def test_full_refresh_may_empty_the_store(stage: Stage) -> None:
    run(spec(), stage())
    made = stage([], full_refresh=True)
    run(spec(), made)
    assert get(made, "city:Recife") is None
    assert made.outcome.metrics["deleted"] == 2


def test_the_input_is_read_under_the_lease(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that of two runs at once the one that publishes later has read the newer table."""
    made = stage()
    seen: list[bool] = []

    def load_inputs() -> None:
        with open_store(made.connection("online"), made.root) as other:
            other._wait = 0.05  # type: ignore[attr-defined]
            with pytest.raises(Exception, match="locked"), other.lease("city"):
                pass
            seen.append(True)

    monkeypatch.setattr(made, "load_inputs", load_inputs)
    run(spec(), made)
    assert seen == [True]


def test_set_visibility_cannot_merge(stage: Stage) -> None:
    with pytest.raises(ConfigError, match="cannot be merged into"):
        run(spec(visibility="set", mode="merge"), stage())
