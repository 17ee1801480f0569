"""Triggers: cron, time zones, and what belongs to which kind of trigger."""

import datetime as dt
import zoneinfo
from typing import Final

from adutora.spec.nearest import nearest
from adutora.spec.pipeline import Trigger
from adutora.spec.yamlfile import Where
from adutora.validate.scope import Report, Scope

PRESETS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_BELONGS: Final = {"timezone": "cron", "startDate": "cron", "catchup": "cron", "minInterval": "assets"}


def check_schedule(scope: Scope) -> None:
    """Report schedules that do not exist."""
    crons = 0
    for number, trigger in enumerate(scope.spec.triggers):
        path = ("spec", "triggers", number)
        _fields(scope, path, trigger)
        if trigger.cron is not None:
            crons += 1
            if crons > 1:
                hint = "make two pipelines, or one expression that holds both"
                scope.error((*path, "cron"), "is a second cron; there may be one", hint, at_key=True)
            _cron(scope, (*path, "cron"), trigger.cron)
        if trigger.timezone is not None:
            check_timezone(scope, (*path, "timezone"), trigger.timezone)
        if trigger.startDate is not None:
            _date(scope, (*path, "startDate"), trigger.startDate)
        if trigger.files:
            _watched(scope, (*path, "files", "stage"), trigger.files.stage)
    if scope.spec.defaults and scope.spec.defaults.timezone is not None:
        check_timezone(scope, ("spec", "defaults", "timezone"), scope.spec.defaults.timezone)


def _fields(scope: Scope, path: Where, trigger: Trigger) -> None:
    kind = next(name for name in trigger.ONE_OF if getattr(trigger, name) is not None)
    for name, home in _BELONGS.items():
        if scope.given((*path, name)) and kind != home:
            message = f"`{name}` goes with `{home}`; this trigger is `{kind}`"
            scope.error((*path, name), message, "leave it out", at_key=True)


def cron_error(text: str) -> tuple[str, str | None] | None:
    """Say what is wrong with a cron expression, and what would be right; None if nothing is."""
    from cronsim import CronSim, CronSimError

    if text.startswith("@"):
        near = nearest(text, PRESETS)
        if text in PRESETS:
            return None
        return f"{text} is no preset", f"did you mean {near}?" if near else f"one of {', '.join(PRESETS)}"
    fields = text.split()
    if len(fields) != 5:
        hint = "write minute, hour, day of month, month and day of week, for example `0 6 * * *`"
        return f"has {len(fields)} fields instead of 5", hint
    try:
        next(CronSim(text, dt.datetime(2024, 1, 1)))
    except CronSimError as error:
        return f"is no cron expression: {error}", "write for example `0 6 * * 1-5`"
    except StopIteration:
        return "never comes", "is the day in that month?"
    return None


def _cron(scope: Scope, path: Where, text: str) -> None:
    wrong = cron_error(text)
    if wrong:
        scope.error(path, *wrong)


def check_timezone(report: Report, path: Where, name: str) -> None:
    """Report a time zone that is not in the IANA database."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = _nearest_zone(name)
        hint = f"did you mean {near}?" if near else "write an IANA name, for example America/Sao_Paulo or UTC"
        report.error(path, f"there is no time zone {name!r}", hint)


def _nearest_zone(name: str) -> str | None:
    zones = sorted(zoneinfo.available_timezones())
    near = nearest(name, zones)
    if near:
        return near
    # The city alone: `Sao_Paulo`, or `Brazil/Sao Paulo`.
    cities = {zone.rsplit("/", 1)[-1]: zone for zone in zones}
    city = nearest(name.rsplit("/", 1)[-1], cities)
    return cities[city] if city else None


def _date(scope: Scope, path: Where, text: str) -> None:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        scope.error(path, f"there is no day {text}", 'write for example "2026-01-31"')


def _watched(scope: Scope, path: Where, name: str) -> None:
    for _, stage in scope.stages():
        if stage.name != name:
            continue
        if not (stage.ingest and stage.ingest.files):
            scope.error(path, f"`{name}` reads no files that could be watched", "name a stage of type `ingest.files`")
        elif stage.ingest.files.read != "new":
            message = f"`{name}` reads all files each time, so every listing makes a run of all stages"
            scope.warning(path, message, "write `read: new` there")
