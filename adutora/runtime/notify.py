"""Tells people of a run's end, by the routes of its pipeline and Project. What fails here fails no run.

Whether a success is a recovery is known from the end before it, which is kept beside the lake.
"""

import datetime as dt
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from adutora.dagconfig import DagConfig, Json
from adutora.errors import AdutoraError, TemporaryError
from adutora.io.connections import declared, resolve
from adutora.io.messages import Message, send
from adutora.io.secrets import redact
from adutora.io.stored import SYSTEM, Objects, open_objects
from adutora.runtime.notices import EVENTS, Event, Notice, wants

_WORDS: dict[Event, str] = {
    "success": "succeeded",
    "recovery": "has recovered",
    "failure": "failed",
    "deadline": "took longer than its timeout",
}


@dataclass(frozen=True)
class Home:
    """Where secrets are read from on a laptop, and where the lake is."""

    project_root: Path
    lake_root: str


def tell(config: DagConfig, home: Home, notice: Notice, log: logging.Logger) -> list[AdutoraError]:
    """Tell everybody who asked for it. Returns what went wrong; one that cannot be told keeps nobody else from it."""
    problems: list[AdutoraError] = []
    events: tuple[Event, ...] = EVENTS[notice.state]
    if any("recovery" in route["events"] for route in config.notify):
        try:
            if not _recovered(config, home, notice):
                events = tuple(event for event in events if event != "recovery")
        except (AdutoraError, OSError, ValueError) as error:
            problems.append(_problem(f"whether {notice.pipeline} has recovered is not known", error))
            events = tuple(event for event in events if event != "recovery")
    for route in config.notify:
        if wants(route, events):
            event = [event for event in events if event in route["events"]][-1]
            try:
                connection = resolve(declared(config.connections), route["connection"], home.project_root)
                connection.secrets()  # read before the message is made, which then does not show them
                send(connection, message(route, event, notice))
                log.info("told %s: %s %s", route["connection"], notice.pipeline, _WORDS[event])
            except AdutoraError as error:
                problems.append(_problem(f"{route['connection']} was not told of the {event}", error))
    return problems


def message(route: Json, event: Event, notice: Notice) -> Message:
    """Return what is told by a route."""
    subject = redact(f"{notice.pipeline} {_WORDS[event]}")
    lines = [f"run {notice.run}" + (f" of {notice.date}" if notice.date else "") + _lasted(notice)]
    lines += [f"stage {each.stage}: {each.error}" if each.error else f"stage {each.stage}" for each in notice.failed]
    lines += [f"{name}: {link}" for name, link in (("run", notice.url), ("runbook", route.get("runbook"))) if link]
    data = {"event": event, **notice.to_json(), "runbook": route.get("runbook")}
    return Message(subject, tuple(redact(" ".join(line.split())) for line in lines), _redacted(data))


def _redacted(data: Json) -> Json:
    text: Json = json.loads(redact(json.dumps(data, ensure_ascii=False)))
    return text


def _lasted(notice: Notice) -> str:
    if notice.started_at is None:
        return ""
    seconds = int((dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(notice.started_at)).total_seconds())
    return f", after {dt.timedelta(seconds=max(0, seconds))}"


def _recovered(config: DagConfig, home: Home, notice: Notice) -> bool:
    """Keep how this run ended, and say whether it is the first one that went well after one that did not."""
    objects, path = _ends(config, home), f"{notice.pipeline}.json"
    before = objects.read(path)
    now = {"state": notice.state, "run": notice.run}
    failed = before is not None and json.loads(before)["state"] != "success"
    if before is None or json.loads(before)["state"] != notice.state:
        objects.write(path, json.dumps(now).encode())
    return failed and notice.state == "success"


def _ends(config: DagConfig, home: Home) -> Objects:
    name = config.lake.get("connection")
    connection = None if name is None else resolve(declared(config.connections), name, home.project_root)
    return open_objects(home.lake_root, connection).below(SYSTEM).below("ends")


def _problem(what: str, error: BaseException) -> AdutoraError:
    kind = type(error) if isinstance(error, AdutoraError) else TemporaryError
    hint = error.hint if isinstance(error, AdutoraError) else None
    said = error.message if isinstance(error, AdutoraError) else repr(error)
    return kind(redact(f"{what}: {said}"), hint=hint and redact(hint))
