"""What Prometheus may know."""

from collections.abc import Hashable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
RECONCILES = Counter("adutora_operator_reconciles", "Reconciles, by outcome", ["outcome"], registry=REGISTRY)
DURATION = Histogram(
    "adutora_operator_reconcile_seconds",
    "How long a reconcile took",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
    registry=REGISTRY,
)
WRITES = Counter("adutora_operator_writes", "Writes to the Kubernetes API", ["verb"], registry=REGISTRY)
POLLS = Counter("adutora_operator_airflow_polls", "Polls of Airflow, by outcome", ["outcome"], registry=REGISTRY)
QUEUED = Gauge("adutora_operator_queue_length", "Objects that wait to be reconciled", registry=REGISTRY)
DELAYED = Gauge("adutora_operator_queue_delayed", "Objects that wait to be tried again", registry=REGISTRY)
PIPELINES = Gauge("adutora_operator_pipelines", "Pipelines, by whether they are Ready", ["ready"], registry=REGISTRY)
LAST_LOOP = Gauge("adutora_operator_last_loop_seconds", "When a reconcile last ended, in Unix time", registry=REGISTRY)


class ReadyCount:
    """Counts Pipelines by the status of their condition Ready."""

    def __init__(self) -> None:
        self._status: dict[Hashable, str] = {}

    def note(self, key: Hashable, status: str | None) -> None:
        """Note the status of a pipeline; None: it is gone."""
        old = self._status.pop(key, None)
        if old is not None:
            PIPELINES.labels(old).dec()
        if status is not None:
            self._status[key] = status
            PIPELINES.labels(status).inc()


READY = ReadyCount()
