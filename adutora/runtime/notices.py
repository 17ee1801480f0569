"""What is told of a run's end, and to whom. Light, for Airflow decides by it whether anybody is told at all."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Final, Literal

from adutora.dagconfig import DagConfig, Json

State = Literal["success", "failure", "deadline"]
Event = Literal["success", "recovery", "failure", "deadline"]
# What each end may be called. Of several that a route asks for the last one tells most.
EVENTS: Final[dict[State, tuple[Event, ...]]] = {
    "success": ("success", "recovery"),
    "failure": ("failure",),
    "deadline": ("failure", "deadline"),
}
NOTICE: Final = "ADUTORA_NOTICE"  # the variable that tells a pod what to tell
MOST_FAILED = 10
MOST_ERROR = 500  # characters


@dataclass(frozen=True)
class Failed:
    """A stage that failed, and why, where that is known."""

    stage: str
    error: str | None = None


@dataclass(frozen=True)
class Notice:
    """The end of a run. `deadline`: it took longer than its timeout. Times are ISO 8601; `url` leads to the run."""

    pipeline: str
    run: str
    state: State
    date: str | None = None
    started_at: str | None = None
    failed: tuple[Failed, ...] = ()
    url: str | None = None

    def to_json(self) -> Json:
        """Return the JSON form, in which long lists and texts are cut."""
        failed = [{"stage": each.stage, "error": (each.error or "")[:MOST_ERROR]} for each in self.failed[:MOST_FAILED]]
        return {**asdict(self), "failed": failed}

    @classmethod
    def from_json(cls, data: Json) -> "Notice":
        """Read the JSON form. Raises KeyError, TypeError."""
        return cls(**{**data, "failed": tuple(Failed(each["stage"], each["error"] or None) for each in data["failed"])})


def concerns(config: DagConfig, state: State) -> bool:
    """Say whether somebody may be told of such an end; a failure is noted for who is told of the recovery from it."""
    return any(wants(route, EVENTS[state]) or "recovery" in route["events"] for route in config.notify)


def wants(route: Json, events: Collection[Event]) -> bool:
    """Say whether a route asks for one of these events."""
    return any(event in route["events"] for event in events)


def connections(config: DagConfig) -> tuple[str, ...]:
    """Return the connections by which people are told, and the lake's, beside which the last end is kept."""
    lake = config.lake.get("connection")
    return tuple(sorted({route["connection"] for route in config.notify} | ({lake} if lake else set())))
