"""What kopf calls: glue alone. It watches; nothing here decides, and nothing writes.

Only event handlers: they need no finalizer and no annotation. Not kopf's indices, although they would tell when all
that stands has been seen: every object waits for every other one, and 5,000 take minutes. `Operator.begin` takes stock.
"""

import random
from typing import Any, Final

import kopf

from adutora.errors import ConfigError
from adutora_operator.login import login
from adutora_operator.objects import Key
from adutora_operator.operator import Operator

GROUP: Final = "adutora.dev"
VERSION: Final = "v1alpha1"
KINDS: Final = {"pipelines": "Pipeline", "projects": "Project"}


class NoStorage(kopf.DiffBaseStorage):
    """Of the objects nothing is kept for a comparison: that would copy each of them at each event, for nothing."""

    def build(self, **_: Any) -> Any:
        """Return nothing to compare."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Return that nothing was kept."""
        return None

    def store(self, **_: Any) -> None:
        """Keep nothing."""


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: it only watches, lists in pages, and outlives an API server that restarts."""
    out = kopf.OperatorSettings()
    out.posting.enabled = False
    out.peering.standalone = True
    out.scanning.disabled = True
    out.persistence.diffbase_storage = NoStorage()
    out.watching.chunk_size = 500
    out.watching.server_timeout = 300
    out.watching.connect_timeout = 10
    out.networking.request_timeout = 60
    out.networking.connect_timeout = 10
    # Jittered, so that not all of a cluster's operators come back at once; some five minutes in all.
    delays = (0.5, 1, 2, 4, 8, *[15] * 25)
    out.networking.error_backoffs = [delay * random.uniform(0.5, 1) for delay in delays]  # noqa: S311
    return out


def register(operator: Operator, options: kopf.OperatorSettings) -> kopf.OperatorRegistry:
    """Return the registry of handlers that feed `operator`."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def log_in(**_: Any) -> kopf.ConnectionInfo:
        try:
            return login(options)
        except ConfigError as error:
            raise kopf.PermanentError(str(error)) from error

    for plural, kind in KINDS.items():
        _objects(registry, operator, plural, kind)
    _revisions(registry, operator)
    return registry


def _objects(registry: kopf.OperatorRegistry, operator: Operator, plural: str, kind: str) -> None:
    @kopf.on.event(GROUP, VERSION, plural, registry=registry, id=plural)
    async def event(type: str | None, body: Any, namespace: str | None, name: str, **_: Any) -> None:  # noqa: A002
        key = Key(kind, namespace or "", name)
        if type == "DELETED":
            operator.vanish(key, body["metadata"]["uid"])
        else:
            operator.observe(key, body)


def _revisions(registry: kopf.OperatorRegistry, operator: Operator) -> None:
    @kopf.on.event(GROUP, VERSION, "pipelinerevisions", registry=registry, id="pipelinerevisions")
    async def event(type: str | None, body: Any, namespace: str | None, name: str, **_: Any) -> None:  # noqa: A002
        if type == "DELETED":
            operator.vanish_revision(namespace or "", name, body["metadata"]["uid"])
        else:
            operator.observe_revision(namespace or "", body)
