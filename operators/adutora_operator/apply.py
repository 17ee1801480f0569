"""The only writes to the Kubernetes API. Each is safe to do twice, and none is done on what we saw too long ago."""

import contextlib
from collections.abc import Callable
from typing import Final

from adutora_operator.api import Api, ConflictError, Json, NotFoundError
from adutora_operator.objects import Cluster, Key, Revision, revision, revision_of

PLURAL: Final = {"Pipeline": "pipelines", "Project": "projects"}


class Writer:
    """Writes, and notes in `cluster` what came of it, so that the next decision need not wait for the watch."""

    def __init__(self, api: Api, cluster: Cluster, observe: Callable[[Key, Json], None]) -> None:
        self._api, self._cluster, self._observe = api, cluster, observe

    async def create_revision(self, body: Json) -> None:
        """Create a PipelineRevision. Raises ConflictError where the name is taken; then we know by what."""
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        try:
            self._note(namespace, await self._api.create("pipelinerevisions", namespace, body))
        except ConflictError:
            self._note(namespace, await self._api.get("pipelinerevisions", namespace, name))
            raise

    async def status(self, key: Key, before: Json, after: Json) -> str:
        """Write the status of an object, if it changed and the object did not. Return the object's version then."""
        old, version = before.get("status") or {}, str(before["metadata"]["resourceVersion"])
        if after == old:
            return version
        changes = {name: after.get(name) for name in {*old, *after} if old.get(name) != after.get(name)}
        body = {"metadata": {"resourceVersion": version}, "status": changes}
        try:
            written = await self._api.patch_status(PLURAL[key.kind], key.namespace, key.name, body)
        except ConflictError:
            await self._look_again(key)
            raise
        self._observe(key, written)
        version = str(written["metadata"]["resourceVersion"])
        running = changes.get("revision")
        if running is not None:
            self._cluster.runs_since(key, running, version)
        return version

    async def remove(self, key: Key, version: str, revision: Revision) -> None:
        """Delete an object that has the name of a revision. Raises ConflictError where its Pipeline is not the same.

        What is removed depends on the Pipeline's status, and another operator may have written that since.
        """
        if await self._look_again(key) != version:
            raise ConflictError(409, "Conflict", f"{key.name} changed")
        with contextlib.suppress(NotFoundError):
            await self._api.delete("pipelinerevisions", key.namespace, revision.name, revision.uid)
        self._cluster.drop_revision(key.namespace, revision.name, revision.uid)

    async def _look_again(self, key: Key) -> str:
        """Read an object, and return its version; empty where it is gone."""
        try:
            found = await self._api.get(PLURAL[key.kind], key.namespace, key.name)
        except NotFoundError:
            return ""
        self._observe(key, found)
        return str(found["metadata"]["resourceVersion"])

    def _note(self, namespace: str, body: Json) -> None:
        pipeline, _ = revision_of(body["metadata"]["name"]) or ("", 0)
        self._cluster.put_revision(namespace, pipeline, revision(body))
