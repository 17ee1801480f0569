"""Which stage may start, which is skipped: the rules of `dependsOn`, `when` and `runIf`, apart from any process."""

from collections.abc import Mapping
from typing import Literal

from adutora.dagconfig import DagConfig, StageConfig
from adutora.errors import ConfigError
from adutora.local.state import FINAL, Status

Decision = Literal["wait", "start", "skip"]


def decide(stage: StageConfig, statuses: Mapping[str, Status]) -> tuple[Decision, str | None]:
    """Decide about a waiting stage, with the reason where it is skipped. `statuses` are those of all stages."""
    upstream = {name: statuses[name] for name in stage.depends_on}
    if any(status not in FINAL for status in upstream.values()):
        return "wait", None
    failed = sorted(name for name, status in upstream.items() if status in ("failed", "stopped"))
    skipped = sorted(name for name, status in upstream.items() if status == "skipped")
    if stage.run_if == "always":
        return "start", None
    if stage.run_if == "failed":
        return ("start", None) if failed else ("skip", "nothing that it depends on has failed")
    if failed:
        return "skip", f"{failed[0]} failed"
    return ("skip", f"{skipped[0]} was skipped") if skipped else ("start", None)


def select(config: DagConfig, only: list[str], start: list[str]) -> list[str]:
    """Return the stages of a run: all, `only` those named, or those named and what follows.

    Raises ConfigError for a name that is none.
    """
    names = list(config.names())
    for name in [*only, *start]:
        if name not in names:
            from adutora.spec.nearest import did_you_mean

            raise ConfigError(
                f"there is no stage {name!r}", hint=did_you_mean(name, names) or f"stages: {', '.join(names)}"
            )
    if only:
        return [name for name in names if name in only]
    if start:
        wanted = set(start)
        for name in start:
            wanted.update(config.downstream(name))
        return [name for name in names if name in wanted]
    return names


def to_resume(config: DagConfig, statuses: Mapping[str, Status]) -> list[str]:
    """Return the stages that a resumed run has to do: what did not succeed and what follows."""
    wanted: set[str] = set()
    for stage in config.stages:
        if statuses.get(stage.name) != "succeeded" or wanted.intersection(stage.depends_on):
            wanted.add(stage.name)
    return [name for name in config.names() if name in wanted]
