"""Waits for a pod in the triggerer, where thousands of waits share one process, and passes its log on meanwhile."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from adutora.dagconfig import Json
from adutora_airflow.ending import ended

WATCH = 300  # seconds of one watch
PAUSE = 2.0  # seconds between two attempts to reach the API server
OK, NOT_FOUND = 200, 404
DRAIN = 10.0  # seconds for the last lines of a log


class PodTrigger(BaseTrigger):
    """Fires once the stage's container has ended or its pod has gone. `since` is the time of the last line shown."""

    def __init__(self, namespace: str, name: str, since: str = "") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.namespace, self.name, self.since = namespace, name, since

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what a triggerer makes it anew from."""
        return (
            "adutora_airflow.trigger.PodTrigger",
            {"namespace": self.namespace, "name": self.name, "since": self.since},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait."""
        async with _connected() as api:
            log = asyncio.create_task(self._follow(api))
            try:
                await self._end(api)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(log), DRAIN)
            finally:
                log.cancel()
        yield TriggerEvent({"name": self.name})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Remove the pod with its task: it was marked or cleared, or its run has taken too long."""
        async with _connected() as api:
            while True:  # Airflow gives it half a minute
                try:
                    answer = await api.delete_namespaced_pod(self.name, self.namespace, _preload_content=False)
                    await answer.read()
                    if answer.status != NOT_FOUND:
                        _good(answer)
                    return
                except Exception as error:
                    self.log.warning("The pod is not removed yet: %s", error)
                    await asyncio.sleep(PAUSE)

    async def _end(self, api: Any) -> None:
        """Return when the pod has ended or gone."""
        while True:
            try:
                pod = await self._pod(api)
                if pod is None or ended(pod):
                    return
                async for event in self._events(api, pod["metadata"]["resourceVersion"]):
                    if event["type"] == "DELETED" or (event["type"] == "MODIFIED" and ended(event["object"])):
                        return
            except Exception as error:
                self.log.warning("The API server does not answer: %s", error)
                await asyncio.sleep(PAUSE)

    async def _pod(self, api: Any) -> Json | None:
        """Return the pod, None where it has gone. Raises OSError for any other answer."""
        answer = await api.read_namespaced_pod(self.name, self.namespace, _preload_content=False)
        if answer.status == NOT_FOUND:
            return None
        pod: Json = json.loads(await _good(answer).read())
        return pod

    async def _events(self, api: Any, version: str) -> AsyncIterator[Json]:
        answer = await api.list_namespaced_pod(
            self.namespace, field_selector=f"metadata.name={self.name}", resource_version=version, watch=True,
            timeout_seconds=WATCH, _preload_content=False, _request_timeout=WATCH + 30,
        )  # fmt: skip
        with contextlib.closing(answer):
            async for line in _lines(_good(answer)):
                yield json.loads(line)

    async def _follow(self, api: Any) -> None:
        """Pass lines on until the stream ends with the container."""
        while True:
            try:
                answer = await api.read_namespaced_pod_log(
                    self.name, self.namespace, container="stage", follow=True, timestamps=True,
                    _preload_content=False, _request_timeout=None, **self._since(),
                )  # fmt: skip
                with contextlib.closing(answer):
                    async for line in _lines(_good(answer)):
                        self._pass_on(line)
                pod = await self._pod(api)
                if pod is None or ended(pod):
                    return
            except Exception as error:  # the wait goes on, with or without its log
                self.log.debug("No log: %s", error)
            await asyncio.sleep(PAUSE)

    def _since(self) -> dict[str, int]:
        import datetime as dt

        if not self.since:
            return {}
        last = dt.datetime.fromisoformat(self.since[:19] + "+00:00")
        return {"since_seconds": int((dt.datetime.now(dt.UTC) - last).total_seconds()) + 5}

    def _pass_on(self, line: bytes) -> None:
        moment, _, text = line.decode(errors="replace").partition(" ")
        if moment > self.since:
            self.log.info("%s", text)
            self.since = moment


@contextlib.asynccontextmanager
async def _connected() -> AsyncIterator[Any]:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import AsyncKubernetesHook
    from kubernetes_asyncio.client import CoreV1Api

    # Unlike the hook that makes the pod, this one does not find out by itself that it runs in the cluster.
    inside = "KUBERNETES_SERVICE_HOST" in os.environ
    async with AsyncKubernetesHook(conn_id=None, in_cluster=inside).get_conn() as client:
        yield CoreV1Api(client)


def _good(answer: Any) -> Any:
    """Return an answer that is what was asked for: read as a stream, no error raises by itself."""
    if answer.status != OK:
        raise OSError(f"{answer.status} {answer.reason}")
    return answer


async def _lines(answer: Any) -> AsyncIterator[bytes]:
    rest = b""
    async for data in answer.content.iter_any():
        *lines, rest = (rest + data).split(b"\n")
        for line in filter(None, lines):
            yield line
    if rest:
        yield rest
