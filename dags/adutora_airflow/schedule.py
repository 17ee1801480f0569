"""Triggers of a pipeline as Airflow's schedule: cron with its zone, changed tables, a source that is listed."""

import datetime as dt
import re
from functools import reduce
from typing import Any

from airflow.sdk import (
    Asset,
    AssetAll,
    AssetAny,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    DeltaTriggerTimetable,
    MultipleCronTriggerTimetable,
)

from adutora.dagconfig import DagConfig, Json

LIST_EVERY = "15m"  # between two listings of a watched source where the pipeline does not say
_MINUTE, _HOUR = 60, 3600
_UNITS = {"d": 86_400, "h": _HOUR, "m": _MINUTE, "s": 1}


def asset(namespace: str, table: str) -> Asset:
    """Return the asset of a table."""
    return Asset(name=f"{namespace}.{table}", uri=f"adutora://{namespace}/{table}", group="adutora")


def cron_of(config: DagConfig) -> Json | None:
    """Return the cron trigger; there is at most one."""
    return next((trigger for trigger in config.triggers if "cron" in trigger), None)


def zone_of(config: DagConfig) -> str:
    """Return the zone in which the pipeline's days begin."""
    return str((cron_of(config) or {}).get("timezone") or config.timezone)


def schedule_of(config: DagConfig) -> Any:
    """Return what Airflow takes as `schedule`; None for a pipeline that is started by hand."""
    times, assets = _times(config), _assets(config)
    if assets is not None and times is not None:
        return AssetOrTimeSchedule(timetable=times, assets=assets)
    return assets if times is None else times


def start_of(config: DagConfig) -> dt.datetime | None:
    """Return the beginning of the first day, in the pipeline's zone."""
    import pendulum

    day = (cron_of(config) or {}).get("startDate")
    return None if day is None else pendulum.parse(day, tz=zone_of(config))  # type: ignore[return-value]


def min_interval(config: DagConfig) -> int | None:
    """Return the least seconds between two runs that changed tables start."""
    return max((seconds(t["minInterval"]) for t in config.triggers if t.get("minInterval")), default=None)


def seconds(duration: str) -> int:
    """Return the seconds of a duration as a DagConfig writes it: `1h30m`."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)([dhms])", duration))


def _assets(config: DagConfig) -> Any:
    found: list[Any] = []
    for trigger in config.triggers:
        if "assets" in trigger:
            (kind, tables), *_ = trigger["assets"].items()
            each = [asset(config.namespace, table) for table in tables]
            found.append((AssetAll if kind == "all" else AssetAny)(*each))
    return reduce(lambda one, other: one | other, found) if found else None


def _times(config: DagConfig) -> Any:
    cron, zone = cron_of(config), zone_of(config)
    every = [seconds(t["files"].get("listEvery") or LIST_EVERY) for t in config.triggers if "files" in t]
    if cron is not None:
        more = [_as_cron(each) for each in every]
        if more:
            return MultipleCronTriggerTimetable(_expression(cron["cron"]), *more, timezone=zone)
        return CronTriggerTimetable(_expression(cron["cron"]), timezone=zone)
    return DeltaTriggerTimetable(dt.timedelta(seconds=max(_MINUTE, min(every)))) if every else None


PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


def _expression(cron: str) -> str:
    return PRESETS.get(cron, cron)


def _as_cron(period: int) -> str:
    """Return the cron expression of a period: beside another cron Airflow takes nothing else. Rounded to what divides
    an hour or a day.
    """
    minutes = max(1, period // _MINUTE)
    if minutes < _HOUR // _MINUTE:
        step = max(divisor for divisor in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30) if divisor <= minutes)
        return f"*/{step} * * * *"
    step = max(divisor for divisor in (1, 2, 3, 4, 6, 8, 12, 24) if divisor <= minutes // 60)
    return f"0 */{step} * * *" if step < 24 else "0 0 * * *"
