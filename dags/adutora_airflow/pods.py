"""Pods as a task sees them: make one or take over the one that is there, watch it, follow its log, remove it.

Pods are plain JSON here. The client of the provider's hook speaks to the API server; it is told not to build models.
"""

import contextlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from adutora.dagconfig import Json
from adutora_airflow.ending import ended, phase
from adutora_airflow.pod import CONFIG_HASH, CONTAINER, KEY

CONNECT = 10.0  # seconds until a connection stands
ANSWER = 30.0  # seconds until an answer has come
WATCH = 300  # seconds of one watch
GONE = 404
CONFLICT = 409
TRIES = 6  # of a call that the API server does not answer: together a minute
_FLEETING = frozenset({429, 500, 502, 503, 504})
log = logging.getLogger(__name__)


class Pods:
    """Pods of one namespace."""

    def __init__(self, api: CoreV1Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    def obtain(self, manifest: Json) -> Json:
        """Return the task's pod: the one that is there already if it may go on, else a new one.

        Never two of them: all pods of a task carry its key, and what is left of earlier ones goes first.
        """
        for pod in self.of_task(manifest["metadata"]["labels"][KEY]):
            if _usable(pod, manifest):
                log.info("Pod %s is there already, %s: this try goes on with it", pod["metadata"]["name"], phase(pod))
                return pod
            self.remove(pod["metadata"]["name"], wait=True)
        try:
            return self._call(self._api.create_namespaced_pod, self._namespace, body=manifest)
        except ApiException as error:
            if error.status != CONFLICT:
                raise
        return self.get(manifest["metadata"]["name"])  # ours: the answer to an earlier call was lost

    def of_task(self, key: str) -> list[Json]:
        """Return the pods of a task."""
        found = self._call(self._api.list_namespaced_pod, self._namespace, label_selector=f"{KEY}={key}")
        return list(found["items"])

    def get(self, name: str) -> Json:
        """Return a pod. Raises ApiException, with status 404 if it has gone."""
        return self._call(self._api.read_namespaced_pod, name, self._namespace)

    def remove(self, name: str, *, wait: bool = False, grace: int | None = None) -> None:
        """Delete a pod; it is no error if it has gone. With `wait` until it has, so that nothing of it runs."""
        options = {} if grace is None else {"grace_period_seconds": grace}
        with _unless_gone():
            self._call(self._api.delete_namespaced_pod, name, self._namespace, **options)
            while wait:
                self.get(name)
                time.sleep(0.5)

    def changes(self, name: str, due: Callable[[], float]) -> Iterator[Json | None]:
        """Yield the pod whenever it changes, again when `due` (monotonic) has come, and None once it has gone."""
        version, pod = "", {}
        while True:
            try:
                if not version:
                    pod = self.get(name)
                    version = pod["metadata"]["resourceVersion"]
                    yield pod
                until = min(time.monotonic() + WATCH, due())
                for event in self._events(name, version, max(1, math.ceil(until - time.monotonic()))):
                    if event["type"] == "ERROR":
                        version = ""
                        break
                    pod = event["object"]
                    version = pod["metadata"]["resourceVersion"]
                    if event["type"] == "DELETED":
                        yield pod if ended(pod) else None
                        return
                    yield pod
                    if due() < until:  # what it waits for has changed: a shorter watch
                        break
                else:
                    yield pod
            except ApiException as error:
                if error.status == GONE:
                    yield None
                    return
                version = ""
                _pause(error)
            except (HTTPError, OSError, ValueError) as error:
                version = ""
                _pause(error)

    def _events(self, name: str, version: str, seconds: int) -> Iterator[Json]:
        answer = self._api.list_namespaced_pod(
            self._namespace, field_selector=f"metadata.name={name}", resource_version=version, watch=True,
            timeout_seconds=seconds, _preload_content=False, _request_timeout=(CONNECT, seconds + ANSWER),
        )  # fmt: skip
        with contextlib.closing(answer):
            rest = b""
            for data in answer.stream(amt=None, decode_content=False):
                *lines, rest = (rest + data).split(b"\n")
                yield from map(json.loads, filter(None, lines))

    def log_lines(self, name: str, since: int | None = None) -> Iterator[tuple[str, str]]:
        """Yield time and text of the container's lines, while it runs. Raises ApiException, HTTPError, OSError."""
        options: dict[str, Any] = {} if since is None else {"since_seconds": since}
        answer = self._api.read_namespaced_pod_log(
            name, self._namespace, container=CONTAINER, follow=True, timestamps=True,
            _preload_content=False, _request_timeout=(CONNECT, None), **options,
        )  # fmt: skip
        with contextlib.closing(answer):
            rest = b""
            for data in answer.stream(amt=None, decode_content=False):
                *lines, rest = (rest + data).split(b"\n")
                yield from map(_split, lines)
            if rest:
                yield _split(rest)

    def _call(self, call: Any, *args: Any, **options: Any) -> Json:
        """Call the API server, again while it does not answer."""
        for number in range(TRIES):
            try:
                answer = call(*args, _preload_content=False, _request_timeout=(CONNECT, ANSWER), **options)
                return json.loads(answer.data)  # type: ignore[no-any-return]
            except ApiException as error:
                if error.status not in _FLEETING or number == TRIES - 1:
                    raise
                _pause(error, 2**number)
            except (HTTPError, OSError) as error:
                if number == TRIES - 1:
                    raise
                _pause(error, 2**number)
        raise AssertionError


class LogFollower:
    """Passes the lines of a container on while it runs, in a thread of its own; each line once, those after `since`."""

    def __init__(self, pods: Pods, name: str, sink: logging.Logger | Any, since: str = "") -> None:
        self._pods, self._name, self._sink = pods, name, sink
        self.last, self._heard = since, time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=f"log of {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Wait for the last lines of a container that has ended."""
        self._over.set()
        self._thread.join(seconds)

    def _follow(self) -> None:
        since: int | None = None
        while True:
            over = self._over.is_set()
            try:
                for moment, text in self._pods.log_lines(self._name, since):
                    if moment > self.last:
                        self._sink.info("%s", text)
                        self.last, self._heard = moment, time.monotonic()
                if over or self._over.wait(0.5):
                    return  # the container has ended, and the stream ended by itself: that was all
            except ApiException as error:
                if error.status == GONE or over:
                    return
                time.sleep(1.0)
            except (HTTPError, OSError):
                if over:
                    return
                time.sleep(1.0)
            since = int(time.monotonic() - self._heard) + 5 if self.last else None


def _usable(pod: Json, manifest: Json) -> bool:
    """Say whether a pod that is there already may stand for the one that is to be made."""
    meta = pod["metadata"]
    same = (meta.get("annotations") or {}).get(CONFIG_HASH) == manifest["metadata"]["annotations"][CONFIG_HASH]
    return same and not meta.get("deletionTimestamp") and phase(pod) != "Failed"


def _split(line: bytes) -> tuple[str, str]:
    moment, _, text = line.decode(errors="replace").partition(" ")
    return moment, text.rstrip("\r")


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status != GONE:
            raise


def _pause(error: Exception, seconds: float = 1.0) -> None:
    log.warning("The API server does not answer: %s; again in %.0f s", str(error).split("\n", 1)[0], seconds)
    time.sleep(seconds)
