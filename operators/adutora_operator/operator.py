"""The operator put together: what is seen goes into the queue, workers empty it, and three loops keep it honest."""

import asyncio
import logging
import random
import time
from typing import Any, Final

from adutora_operator import metrics
from adutora_operator.airflow import Airflow, AirflowError
from adutora_operator.api import EVERYTHING, METADATA_ONLY, Api, ApiError, ConflictError, Json
from adutora_operator.apply import PLURAL, Writer
from adutora_operator.judge import Judge
from adutora_operator.objects import Cluster, Key, revision, revision_of, seen
from adutora_operator.probe import Pulse
from adutora_operator.reconcile import Reconciler
from adutora_operator.settings import Settings
from adutora_operator.verdicts import Verdicts
from adutora_operator.workqueue import WorkQueue

HEARTBEAT: Final = Key("Heartbeat", "", "")
BEAT_EVERY: Final = 10.0
LONGEST_RECONCILE: Final = 120.0
POLL_SHARE: Final = 5  # a poll takes at most a fifth of the time
LONGEST_PAUSE: Final = 15.0  # seconds between polls, however slow Airflow is: Ready waits for them
log = logging.getLogger(__name__)


class Operator:
    """Everything that one process holds. For one event loop."""

    def __init__(self, settings: Settings, api: Api, airflow: Airflow | None) -> None:
        self.settings, self.pulse = settings, Pulse()
        self._api, self._airflow = api, airflow
        self._cluster, self._judge = Cluster(), Judge()
        self._verdicts = Verdicts(self._cluster, self._judge)
        self._queue: WorkQueue[Key] = WorkQueue()
        writer = Writer(api, self._cluster, self._wrote)
        self._reconciler = Reconciler(self._cluster, self._judge, self._verdicts, writer, airflow)

    # What is seen

    def observe(self, key: Key, body: Any) -> None:
        """Take in a Pipeline or Project as it is now."""
        if self._take_in(key, body):
            self._queue.add(key)

    def vanish(self, key: Key, uid: str) -> None:
        """Take in that a Pipeline or Project is gone."""
        if not self._cluster.drop(key, uid):
            return
        if key.kind == "Project":
            self._add(self._cluster.keys("Pipeline", key.namespace))
        else:
            metrics.READY.note(key, None)
            self._add(self._verdicts.gone(key))

    def observe_revision(self, namespace: str, body: Any) -> None:
        """Take in a PipelineRevision as it is now."""
        split = revision_of(body["metadata"]["name"])
        if split is None or self._cluster.knows_revision(namespace, split[0], body):
            return
        if self._cluster.put_revision(namespace, split[0], revision(body)):
            self._queue.add(Key("Pipeline", namespace, split[0]))

    def vanish_revision(self, namespace: str, name: str, uid: str) -> None:
        """Take in that a PipelineRevision is gone."""
        split = revision_of(name)
        if split and self._cluster.drop_revision(namespace, name, uid):
            self._queue.add(Key("Pipeline", namespace, split[0]))

    def enqueue(self, key: Key) -> None:
        """See to an object, whatever happened."""
        self._queue.add(key)

    def _wrote(self, key: Key, body: Json) -> None:
        """Take in what a write of ours came to: it needs no reconcile, unless the spec changed as well."""
        old = self._cluster.get(key)
        if self._take_in(key, body) and (old is None or old.generation != body["metadata"].get("generation", 1)):
            self._queue.add(key)

    def _take_in(self, key: Key, body: Any) -> bool:
        """Keep an object, and see to those that its change concerns. Return whether it is news."""
        old = self._cluster.get(key)
        if old is not None and old.version == body["metadata"]["resourceVersion"]:
            return False
        new = seen(body)
        if not self._cluster.put(key, new):
            return False
        if old is None or (old.uid, old.generation) != (new.uid, new.generation):
            if key.kind == "Project":
                self._add(self._cluster.keys("Pipeline", key.namespace))
            else:
                self._add(self._verdicts.changed(key, new, body.get("spec") or {}))
        return True

    def _add(self, keys: Any) -> None:
        for key in keys:
            self._queue.add(key)

    # What runs for ever

    async def work(self) -> None:
        """Reconcile one key after the other."""
        while True:
            key = await self._queue.get()
            try:
                await self._reconcile(key)
            finally:
                self._queue.done(key)
                self.pulse.beat()
                metrics.QUEUED.set(len(self._queue))
                metrics.DELAYED.set(self._queue.delayed)

    async def beat(self) -> None:
        """Give workers and judge something to do: a pulse that stops tells that none of them is left."""
        while True:
            self._queue.add(HEARTBEAT)
            self.pulse.asked = time.monotonic()
            await self._judge.answer()
            self.pulse.asked = None
            await asyncio.sleep(BEAT_EVERY)

    async def poll(self) -> None:
        """Read what Airflow says, and see to the pipelines of which it says something else."""
        silent_since: float | None = None
        while self._airflow:
            began, outcome = time.monotonic(), "ok"
            try:
                for dag_id in await self._airflow.poll():
                    self._concern(dag_id)
                if silent_since is not None:
                    log.info("Airflow is read again, after %.0f s", began - silent_since)
                silent_since = None
            except (AirflowError, OSError, KeyError, ValueError) as error:
                outcome = "error"
                if silent_since is None:
                    silent_since = began
                    log.warning("Airflow is not read, and asked again until it is: %r", error)
            metrics.POLLS.labels(outcome).inc()
            pause = min((time.monotonic() - began) * POLL_SHARE, LONGEST_PAUSE)
            await asyncio.sleep(max(self.settings.poll, pause))

    async def begin(self) -> None:
        """Take stock before anything is decided: of two writers of a table we must know both. Tries until it can."""
        delay = 0.5
        while True:
            try:
                return await self._take_stock(EVERYTHING)
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("stock is taken again in %.1f s: %r", delay, error)
            self.pulse.beat()
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311
            delay = min(delay * 2, 15)

    async def resync(self) -> None:
        """See to everything from time to time: a watch that was interrupted may have missed a deletion."""
        while True:
            await asyncio.sleep(self.settings.resync)
            try:
                await self._take_stock(METADATA_ONLY)
            except (ApiError, OSError, TimeoutError) as error:
                log.warning("the resync is put off: %r", error)
            self._add(self._cluster.keys("Pipeline") + self._cluster.keys("Project"))

    def close(self) -> None:
        """Stop the thread."""
        self._judge.close()

    def _concern(self, dag_id: str) -> None:
        if not dag_id:  # the first answer: what was not known is known
            self._add(self._cluster.keys("Pipeline"))
            return
        namespace, _, name = dag_id.partition(".")
        key = Key("Pipeline", namespace, name)
        if self._cluster.get(key):
            self._queue.add(key)

    async def _reconcile(self, key: Key) -> None:
        if key == HEARTBEAT:
            return
        outcome = "ok"
        with metrics.DURATION.time():
            try:
                async with asyncio.timeout(LONGEST_RECONCILE):
                    await self._reconciler.reconcile(key)
                self._queue.forget(key)
            except ConflictError:
                outcome = "conflict"
                self._queue.retry(key)
            except Exception as error:  # whatever is wrong with one object, the others go on
                outcome = "error"
                known = isinstance(error, ApiError | AirflowError | OSError | TimeoutError)
                delay = self._queue.retry(key)
                log.warning("%s: again in %.1f s: %r", "/".join(key), delay, error, exc_info=not known)
        metrics.RECONCILES.labels(outcome).inc()

    async def _take_stock(self, revisions: str) -> None:
        """Take in all that stands, and that what we knew stands no more. `revisions` says how much is read of those."""
        for namespace in self.settings.namespaces or (None,):
            for kind, plural in PLURAL.items():
                known = self._cluster.keys(kind, namespace)
                there: dict[Key, str] = {}
                async for page in self._api.pages(plural, namespace):
                    for body in page:
                        key = Key(kind, body["metadata"]["namespace"], body["metadata"]["name"])
                        there[key] = body["metadata"]["uid"]
                        self.observe(key, body)
                    self.pulse.beat()
                for key in known:
                    old = self._cluster.get(key)
                    if old and there.get(key) != old.uid:
                        self.vanish(key, old.uid)
            await self._take_stock_of_revisions(namespace, revisions)

    async def _take_stock_of_revisions(self, namespace: str | None, accept: str) -> None:
        known = self._cluster.all_revisions(namespace)
        there: set[str] = set()
        async for page in self._api.pages("pipelinerevisions", namespace, accept):
            for body in page:
                there.add(body["metadata"]["uid"])
                if accept != METADATA_ONLY:
                    self.observe_revision(body["metadata"]["namespace"], body)
            self.pulse.beat()
        for where, each in known:
            if each.uid not in there:
                self.vanish_revision(where, each.name, each.uid)
