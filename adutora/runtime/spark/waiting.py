"""What executors wait for: told in the stage's log while none is there, so that nobody looks at a silent stage."""

import contextlib
import json
import ssl
import threading
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adutora.runtime.spark.cluster import Cluster

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext
    from adutora.runtime.spark.session import Starting

EVERY: Final = 30.0  # seconds
_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@contextlib.contextmanager
def watching(ctx: "StageContext", starting: "Starting", cluster: Cluster | None) -> Iterator[None]:
    """Say every half minute why there is no executor, for as long as there is none. Does nothing without a cluster."""
    if cluster is None:
        yield
        return
    over = threading.Event()
    threading.Thread(target=_watch, args=(ctx, starting, cluster, over), name="executors", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(ctx: "StageContext", starting: "Starting", cluster: Cluster, over: threading.Event) -> None:
    waited = 0.0
    while not over.wait(EVERY):
        waited += EVERY
        try:
            if starting.executors() is None or starting.executors():
                waited = 0.0
                continue
            pods = _pods(cluster, starting.app_id())
            ctx.log.warning("no executor of Spark since %.0f s: %s", waited, reasons(pods))
        except Exception as error:
            ctx.log.debug("executors cannot be looked at: %s", error)


def _pods(cluster: Cluster, app: str) -> list[dict[str, Any]]:
    """Return the executors' pods, as the API server knows them."""
    selector = urllib.parse.quote(f"spark-role=executor,spark-app-selector={app}")
    base = cluster.master.removeprefix("k8s://")
    request = urllib.request.Request(f"{base}/api/v1/namespaces/{cluster.namespace}/pods?labelSelector={selector}")  # noqa: S310
    request.add_header("Authorization", f"Bearer {(_ACCOUNT / 'token').read_text().strip()}")
    trust = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, timeout=10, context=trust) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)["items"]
        return found


def reasons(pods: list[dict[str, Any]]) -> str:
    """Say what pods wait for, the most frequent first."""
    if not pods:
        return "no pod was made for one; a quota, or the rights of the stage's service account, may be why"
    told = Counter(_reason(pod) for pod in pods)
    return "; ".join(f"{count} {'pod' if count == 1 else 'pods'}: {why}" for why, count in told.most_common(3))


def _reason(pod: dict[str, Any]) -> str:
    status = pod.get("status", {})
    for container in status.get("containerStatuses", ()):
        for state in ("waiting", "terminated"):
            found = container.get("state", {}).get(state)
            if found and found.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                return _said(found)
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _said(condition)
    return f"{status.get('phase', 'Unknown')}, {status.get('reason') or 'its container is being made'}"


def _said(found: dict[str, Any]) -> str:
    return ": ".join(str(found[name]) for name in ("reason", "message") if found.get(name))
