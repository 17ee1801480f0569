"""One function that brings one Pipeline to where it should be, from whatever state it is in.

Level-triggered: it does not matter what happened, or how often it is called. Where nothing is to be done it writes
nothing. Interrupted between any two of its writes, the next call goes on.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from adutora_operator import metrics, render
from adutora_operator.airflow import NOT_CONFIGURED, Airflow, View
from adutora_operator.apply import Writer
from adutora_operator.decide import Decision, decide
from adutora_operator.judge import Judge, Judged
from adutora_operator.objects import Cluster, Json, Key
from adutora_operator.verdicts import Verdicts


def utc_now() -> str:
    """Return the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Reconciler:
    """Brings Pipelines and Projects to where they should be."""

    def __init__(
        self, cluster: Cluster, judge: Judge, verdicts: Verdicts, writer: Writer, airflow: Airflow | None,
        clock: Callable[[], str] = utc_now,
    ) -> None:  # fmt: skip
        self._cluster, self._judge, self._verdicts = cluster, judge, verdicts
        self._writer, self._airflow, self._clock = writer, airflow, clock

    async def reconcile(self, key: Key) -> None:
        """Bring one object to where it should be. Raises ApiError or AirflowError: try again later."""
        if key.kind == "Project":
            await self._project(key)
        elif key.kind == "Pipeline":
            await self._pipeline(key)

    async def _pipeline(self, key: Key) -> None:
        pipeline = self._read(key)
        if pipeline is None:
            return
        judged, decision = await self._decide(key, pipeline)
        version = pipeline["metadata"]["resourceVersion"]
        for each in decision.in_the_way:
            await self._writer.remove(key, version, each)
        if decision.write is not None:
            await self._write(pipeline, decision.write, judged)
        view = self._airflow.view(f"{key.namespace}.{key.name}") if self._airflow else NOT_CONFIGURED
        version = await self._writer.status(key, pipeline, self._status(key, pipeline, judged, decision, view))
        for each in decision.remove:
            await self._writer.remove(key, version, each)
        await self._suspend(key, pipeline, view)

    async def _project(self, key: Key) -> None:
        project, seen = self._read(key), self._cluster.get(key)
        if project is None or seen is None:
            return
        verdict = await self._judge.judge_project(seen)
        await self._writer.status(key, project, render.project_status(project, verdict, self._clock()))

    def _read(self, key: Key) -> Json | None:
        """Return an object as it was last seen; None where it is gone, or on its way."""
        seen = self._cluster.get(key)
        body = seen.load() if seen else None
        return None if body is None or body["metadata"].get("deletionTimestamp") else body

    async def _decide(self, key: Key, pipeline: Json) -> tuple[Judged, Decision]:
        """Judge and decide. A verdict that is known serves, until a revision must be written: then we compile again."""
        judged, revisions = await self._verdicts.of(key), self._cluster.revisions_of(key)
        decision = decide(pipeline, judged.verdict, revisions)
        if decision.write is not None and not judged.config:
            judged = await self._verdicts.of(key, anew=True)
            decision = decide(pipeline, judged.verdict, revisions)
        return judged, decision

    async def _write(self, pipeline: Json, sequence: int, judged: Judged) -> None:
        await self._writer.create_revision(render.revision(pipeline, sequence, judged.verdict.digest, judged.config))

    def _status(self, key: Key, pipeline: Json, judged: Judged, decision: Decision, view: View) -> Json:
        since = self._cluster.since(key, decision.running)
        status = render.pipeline_status(pipeline, judged.verdict, decision, view, since, self._clock())
        ready = next(each["status"] for each in status["conditions"] if each["type"] == "Ready")
        metrics.READY.note(key, ready)
        return status

    async def _suspend(self, key: Key, pipeline: Json, view: View) -> None:
        """Where the spec says whether it is suspended, Airflow's pause button says the same."""
        wanted = (pipeline.get("spec") or {}).get("suspend")
        if self._airflow and isinstance(wanted, bool) and view.paused is not None and view.paused != wanted:
            await self._airflow.pause(f"{key.namespace}.{key.name}", wanted)
