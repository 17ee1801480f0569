"""Triggers and parameters: when Airflow starts a run, what it asks, and what the run's times are."""

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import AssetAll, AssetAny, AssetOrTimeSchedule, DeltaTriggerTimetable, MultipleCronTriggerTimetable
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from adutora.local.schedule import run_info as run_info_here
from adutora_airflow.factory import make_dag
from adutora_airflow.params import form_of
from adutora_airflow.schedule import schedule_of
from adutora_airflow.task import run_info
from tests.airflow.conftest import compiled, pipeline, sql

DAILY = {"cron": "@daily", "timezone": "America/Sao_Paulo", "startDate": "2026-01-01"}


def config_of(*triggers: dict[str, Any], **spec: Any) -> Any:
    return compiled(pipeline(sql("a"), triggers=list(triggers), **spec))


def test_cron_with_its_zone() -> None:
    dag = make_dag(config_of({**DAILY, "catchup": True}))
    assert dag.catchup is True
    assert dag.start_date is not None
    assert dag.start_date.isoformat() == "2026-01-01T03:00:00+00:00"
    back = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    first = back.next_dagrun_info(last_automated_run_info=None)
    assert first is not None
    assert first.logical_date.isoformat() == "2026-01-01T03:00:00+00:00"
    assert make_dag(config_of()).timetable.can_be_scheduled is False


@pytest.mark.parametrize("cron", ["@daily", "*/15 * * * *", "0 6 * * 1-5", "30 2 1 * *", "@hourly"])
@pytest.mark.parametrize(
    "moment", ["2026-05-10T12:34:56+00:00", "2026-05-10T03:00:00+00:00", "2026-12-31T23:59:59+00:00"]
)
def test_a_run_by_hand_has_the_times_of_a_laptop(cron: str, moment: str) -> None:
    config = config_of({"cron": cron, "timezone": "America/Sao_Paulo"})
    now = dt.datetime.fromisoformat(moment) + dt.timedelta(seconds=1.5)
    here = run_info_here(config, "r", now, None)
    run = SimpleNamespace(run_id="r", run_type="manual", logical_date=None, start_date=now, run_after=now)
    assert run_info(config, run) == here


def test_a_scheduled_run_stands_for_its_slot() -> None:
    config, slot = config_of(DAILY), dt.datetime(2026, 5, 10, 3, tzinfo=dt.UTC)
    started = slot + dt.timedelta(days=2)
    run = SimpleNamespace(run_id="r", run_type="scheduled", logical_date=slot, start_date=started, run_after=slot)
    info = run_info(config, run)
    assert (info.date, info.trigger) == ("2026-05-10", "cron")
    assert (info.interval_start, info.interval_end) == ("2026-05-09T03:00:00+00:00", "2026-05-10T03:00:00+00:00")
    assert info.scheduled_at == info.interval_end


def test_tables_start_runs() -> None:
    every = schedule_of(config_of({"assets": {"all": ["silver.a", "silver.b"]}}))
    one = schedule_of(config_of({"assets": {"any": ["silver.a", "silver.b"]}}))
    assert isinstance(every, AssetAll)
    assert isinstance(one, AssetAny)
    assert [each.name for each in one.objects] == ["team.silver.a", "team.silver.b"]
    both = schedule_of(config_of({"assets": {"any": ["silver.a"]}}, DAILY))
    assert isinstance(both, AssetOrTimeSchedule)
    dag = make_dag(config_of({"assets": {"any": ["silver.a"]}, "minInterval": "15m"}))
    assert dag.get_task("_wait").downstream_task_ids == {"a"}
    assert DagSerialization.to_dict(dag)


def test_a_watched_source_is_listed_every_so_often() -> None:
    land = {"name": "land", "ingest": {"files": {"connection": "c", "path": "*.csv", "format": "csv"}},
            "output": {"table": "bronze.a"}}  # fmt: skip
    files = {"files": {"stage": "land", "listEvery": "10m"}}
    alone = schedule_of(compiled(pipeline(land, triggers=[files])))
    assert isinstance(alone, DeltaTriggerTimetable)
    dag = make_dag(compiled(pipeline(land, triggers=[files, DAILY])))
    assert isinstance(schedule_of(compiled(pipeline(land, triggers=[files, DAILY]))), MultipleCronTriggerTimetable)
    assert DagSerialization.to_dict(dag)


PARAMS: list[dict[str, Any]] = [
    {"name": "zeta", "default": "a1", "title": "Z", "description": "words", "pattern": "a[0-9]|b"},
    {"name": "alpha", "type": "integer", "default": 3, "min": 1, "max": 5},
    {"name": "day", "type": "date", "default": "2026-01-31"},
    {"name": "size", "default": "s", "enum": ["s", "m"]},
    {"name": "flag", "type": "boolean", "default": False},
]


def test_the_form_keeps_the_order() -> None:
    dag = make_dag(compiled(pipeline(sql("a"), params=PARAMS)))
    assert list(dag.params) == [param["name"] for param in PARAMS]
    told = [name for name, _ in DagSerialization.to_dict(dag)["dag"]["params"]]
    assert told == [param["name"] for param in PARAMS]
    assert dag.params.get_param("zeta").schema == {
        "type": "string", "title": "Z", "pattern": "^(?:a[0-9]|b)$(?!\\n)",
    }  # fmt: skip
    assert dag.params.get_param("zeta").description == "words"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("zeta", "xa1"), ("zeta", "a1\n"), ("zeta", "bb"), ("alpha", 0), ("alpha", 6), ("alpha", "3"), ("alpha", 1.5),
        ("day", "31.1.2026"), ("size", "xl"), ("flag", "yes"), ("day", 5),
    ],
)  # fmt: skip
def test_airflow_refuses_a_wrong_value(name: str, value: Any) -> None:
    param = form_of(compiled(pipeline(sql("a"), params=PARAMS)))[name]
    with pytest.raises(ParamValidationError):
        param.resolve(value)


@pytest.mark.parametrize(("name", "value"), [("zeta", "b"), ("alpha", 5), ("day", "2026-02-28"), ("size", "m")])
def test_airflow_takes_a_right_value(name: str, value: Any) -> None:
    assert form_of(compiled(pipeline(sql("a"), params=PARAMS)))[name].resolve(value) == value


def test_a_parameter_that_must_be_given() -> None:
    needed = [{"name": "x", "type": "string"}]
    with pytest.raises(ParamValidationError):
        form_of(compiled(pipeline(sql("a"), params=needed)))["x"].resolve()
    # With a schedule Airflow would refuse the whole DAG; the run fails and says why.
    assert make_dag(config_of(DAILY, params=needed)).params["x"] is None
