"""One task as its pod is told of it: the run's times, parameters and the outputs of what the stage depends on."""

import datetime as dt
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from adutora.dagconfig import DagConfig, Json, StageConfig, canonical_json
from adutora.errors import ConfigError
from adutora.runtime.task import RunInfo
from adutora.spec.nearest import did_you_mean
from adutora_airflow.schedule import PRESETS, cron_of, zone_of

if TYPE_CHECKING:
    from adutora.runtime.substitution import Scope

URI = "$outputsUri"  # stands for outputs that are too large for a termination message; no output has such a name
_OUTPUTS = re.compile(r"\$\(stages\.([^.()]+)\.outputs\.")
_TRIGGERS = {"scheduled": "cron", "backfill": "cron", "manual": "manual", "asset_triggered": "assets"}


@dataclass(frozen=True)
class StageRun:
    """A stage in a run. `item` is a value wrapped as by `items.wrapped`, None for a stage without fan-out."""

    config: DagConfig
    stage: StageConfig
    run: RunInfo
    params: Json
    given_params: tuple[str, ...]
    attempt: int
    outputs: dict[str, Json] = field(default_factory=dict)
    outputs_uris: dict[str, str] = field(default_factory=dict)  # of stages whose outputs are too large to be told
    item: Json | None = None
    index: int | None = None
    owner: str | None = None  # uid of the Pipeline

    @classmethod
    def of(cls, context: Any, stage_name: str, item: Json | None = None) -> "StageRun":
        """Read it off Airflow's context. Raises ConfigError for parameters that the pipeline does not know."""
        ti, dag_run = context["ti"], context["dag_run"]
        macros = context["dag"].user_defined_macros
        config: DagConfig = macros["adutora"]
        stage = config.stage(stage_name)
        given = dict(dag_run.conf or {})
        outputs, uris = _outputs(config, stage, ti)
        return cls(
            config=config,
            stage=stage,
            run=run_info(config, dag_run),
            params=_params(config, context["params"], given),
            given_params=tuple(sorted(given)),
            attempt=ti.try_number,
            outputs=outputs,
            outputs_uris=uris,
            owner=macros.get("adutora_owner"),
            item=item,
            index=None if item is None else ti.map_index,
        )

    def scope(self) -> "Scope":
        """Return what `$(…)` can name."""
        from adutora.runtime.substitution import Scope

        return Scope.of_run(self.run, self.params, self.outputs, (self.item or {}).get("value"))

    def payload(self, memory: int | None) -> Json:
        """Return what the pod reads as its task. `memory` in bytes, where it gets more than the stage asked for."""
        told: Json = {
            "stage": self.stage.name,
            "run": asdict(self.run),
            "params": self.params,
            "given_params": list(self.given_params),
            "attempt": self.attempt,
            "item_index": self.index,
            "full_refresh": False,
            "outputs": self.outputs,
            "outputs_uris": self.outputs_uris,
            "memory": memory,
        }
        return told if self.item is None else {**told, "item": self.item.get("value")}


def run_info(config: DagConfig, dag_run: Any) -> RunInfo:
    """Return the times of a run: its slot if it was scheduled, else the last slot before it began."""
    started = dag_run.start_date or dag_run.run_after
    scheduled = dag_run.logical_date if _kind(dag_run) in ("scheduled", "backfill") else None
    zone = ZoneInfo(zone_of(config))
    slot, before = _slots(config, scheduled or started)
    return RunInfo(
        id=dag_run.run_id,
        date=(scheduled or started).astimezone(zone).date().isoformat(),
        scheduled_at=_text(scheduled or slot),
        interval_start=_text(before),
        interval_end=_text(slot),
        started_at=_text(started) or "",
        trigger=_TRIGGERS.get(_kind(dag_run), _kind(dag_run)),
    )


def _kind(dag_run: Any) -> str:
    return str(getattr(dag_run.run_type, "value", dag_run.run_type))


def _slots(config: DagConfig, moment: dt.datetime) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the last slot at or before a moment, and the one before it; nothing without a cron."""
    cron = cron_of(config)
    if cron is None:
        return None, None
    import pendulum
    from airflow.timetables.trigger import CronTriggerTimetable

    expression = str(PRESETS.get(cron["cron"], cron["cron"]))
    table = CronTriggerTimetable(expression, timezone=zone_of(config))
    slot = table._align_to_prev(pendulum.instance(moment))
    return slot, table._get_prev(slot)


def is_slot(config: DagConfig, moment: dt.datetime | None) -> bool:
    """Say whether a moment is a slot of the pipeline's cron."""
    return moment is not None and _slots(config, moment)[0] == moment


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(dt.UTC).isoformat()


def _params(config: DagConfig, values: Any, given: Json) -> Json:
    names = [param["name"] for param in config.params]
    for name in given:
        if name not in names:
            raise ConfigError(f"there is no parameter {name!r}", hint=did_you_mean(name, names))
    out = {name: values.get(name) for name in names}
    missing = sorted(name for name, value in out.items() if value is None)
    if missing:
        raise ConfigError(
            f"parameter {', '.join(missing)} needs a value", hint="give it a default, for a schedule has none to give"
        )
    return out


def _outputs(config: DagConfig, stage: StageConfig, ti: Any) -> tuple[dict[str, Json], dict[str, str]]:
    """Return the outputs of the stages that this one names, and where those stand that are too large.

    Those of a fan-out are lists, in the order of its items.
    """
    found: dict[str, Json] = {}
    uris: dict[str, str] = {}
    for name in sorted(set(_OUTPUTS.findall(canonical_json(stage.to_json()))) & set(stage.depends_on)):
        if config.stage(name).for_each is None:
            outputs = ti.xcom_pull(task_ids=name, map_indexes=-1) or {}
        else:
            outputs = _gathered(ti.xcom_pull(task_ids=name))
        if URI in outputs:
            uris[name] = outputs[URI]
        elif outputs:
            found[name] = outputs
    return found, uris


def _gathered(pulled: Any) -> Json:
    items = [each for each in (pulled if isinstance(pulled, list) else [pulled]) if each is not None]
    if any(URI in each for each in items):
        raise ConfigError("the outputs of a fan-out's item are too large", hint="an item's outputs: at most some 1 KiB")
    names = sorted({name for each in items for name in each})
    return {name: [each.get(name) for each in items] for name in names}
