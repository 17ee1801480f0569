"""The run's times: its date in the pipeline's zone, and the interval of its cron slot."""

import datetime as dt
from zoneinfo import ZoneInfo

from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError
from adutora.runtime.task import RunInfo

_PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


def run_info(config: DagConfig, identity: str, now: dt.datetime, date: str | None) -> RunInfo:
    """Return the times of a run by hand that starts at `now` (aware, UTC).

    With `date` the run stands for that day: its slot is the last one of the day, or the day's beginning.
    """
    cron = next((trigger for trigger in config.triggers if "cron" in trigger), None)
    zone = ZoneInfo((cron or {}).get("timezone") or config.timezone)
    local = now.astimezone(zone)
    day = local.date() if date is None else _date(date)
    scheduled, start, end = None, None, None
    if cron is not None:
        moment = local if date is None else dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone)
        end, start = _slots(str(_PRESETS.get(cron["cron"], cron["cron"])), moment)
        scheduled = end
    return RunInfo(
        id=identity,
        date=day.isoformat(),
        scheduled_at=_text(scheduled),
        interval_start=_text(start),
        interval_end=_text(end),
        started_at=now.isoformat(),
    )


def _slots(expression: str, before: dt.datetime) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the two slots before a moment, the later one first."""
    from cronsim import CronSim

    backwards = CronSim(expression, before, reverse=True)
    return next(backwards, None), next(backwards, None)


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--date {text!r} is no date", hint="write for example 2026-01-31") from None
