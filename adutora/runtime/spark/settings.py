"""Every setting that Spark starts with: what is fixed, what a stage may set, what cluster and lake ask for."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from adutora.dagconfig import safe_label
from adutora.errors import ConfigError
from adutora.io.stored import open_objects
from adutora.runtime.spark import cluster as pods
from adutora.runtime.spark import s3a
from adutora.runtime.spark.cluster import Cluster
from adutora.runtime.spark.jars import class_path, spark_home
from adutora.spec.spark import Executors, refused

if TYPE_CHECKING:
    from adutora.io.connections import Connection
    from adutora.runtime.context import StageContext

HEAP: Final = 0.5  # of the stage's memory
LEAST: Final = 1 << 30  # bytes of memory; with less the JVM does not start, or dies in the middle
EVENTS: Final = "_spark-events"
_MIB: Final = 1 << 20
_FIXED: Final = {
    # A statement's text is never expanded: `${env:NAME}` would read any secret in the environment.
    "spark.sql.variable.substitute": "false",
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|credential",
    "spark.sql.redaction.options.regex": "(?i)url|secret|password|token|key",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.catalogImplementation": "in-memory",
    # Tables are read and never written. Without Delta's own parser, for in 4.4.0 it loses the values of `args=`.
    "spark.databricks.delta.requiredSparkConfsCheck.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
_JAVA: Final = ("-Duser.timezone=UTC",)
_LOCAL: Final = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


def settings(ctx: "StageContext", executors: Executors | None, conf: Mapping[str, str] | None) -> dict[str, str]:
    """Return Spark's settings for a stage, keys of the lake among them. What a stage sets never wins over ours.

    Raises ConfigError for a key that a stage may not set, and for too little memory.
    """
    for key in conf or {}:
        wrong = refused(key, ctx.config.type)
        if wrong:
            raise ConfigError(wrong[0], hint=wrong[1])
    cluster = Cluster.of()
    where = _local(ctx) if cluster is None else _on(cluster, ctx, executors or Executors.model_validate({}))
    tuned = {"spark.sql.session.timeZone", "spark.sql.ansi.enabled"}.intersection(conf or {})
    fixed = {name: value for name, value in _FIXED.items() if name not in tuned}
    return {**_defaults(ctx, cluster), **(conf or {}), **fixed, **where, **_process(ctx), **_lake(ctx)}


def _defaults(ctx: "StageContext", cluster: Cluster | None) -> dict[str, str]:
    if cluster:
        return {"spark.databricks.delta.snapshotPartitions": "8"}
    return {"spark.databricks.delta.snapshotPartitions": "1", "spark.sql.shuffle.partitions": str(2 * cores(ctx))}


def cores(ctx: "StageContext") -> int:
    """Return how many threads compute on a machine without executors."""
    asked = ctx.task.threads or round(int(ctx.config.resources.get("cpu", 1000)) / 1000)
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(max(2, asked), here))


def _local(ctx: "StageContext") -> dict[str, str]:
    master = os.environ.get("ADUTORA_SPARK_MASTER") or f"local[{cores(ctx)}]"
    return {**_LOCAL, "spark.master": master}


def _on(cluster: Cluster, ctx: "StageContext", executors: Executors) -> dict[str, str]:
    labels = {
        "app.kubernetes.io/managed-by": "adutora",
        "app.kubernetes.io/component": "executor",
        "adutora.dev/pipeline": ctx.task.config.name,
        "adutora.dev/stage": ctx.config.name,
        "adutora.dev/run": safe_label(ctx.task.run_id),
    }
    found = pods.settings(cluster, ctx.config, executors, labels, ctx.scratch)
    log = f"{ctx.task.lake_root}/{EVENTS}" if cluster.event_log is None else cluster.event_log
    if log:
        open_objects(log, lake_connection(ctx)).write(".adutora", b"")  # a prefix is a folder once it holds something
        found |= {
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": s3a.url(log),
            "spark.eventLog.compress": "true",
        }
    return found


def _process(ctx: "StageContext") -> dict[str, str]:
    """Return what the process and its folders need."""
    heap = int(memory(ctx) * HEAP) // _MIB
    options = (
        *_JAVA,
        *archive(),
        f"-Dlog4j2.configurationFile={_log_settings()}",
        f"-Djava.io.tmpdir={ctx.scratch}",
    )
    found = {
        "spark.app.name": f"{ctx.task.config.dag_id}/{ctx.task.label}",
        "spark.driver.memory": f"{heap}m",
        "spark.sql.warehouse.dir": f"file://{ctx.scratch / 'warehouse'}",
        "spark.driver.extraJavaOptions": " ".join(map(_quoted, options)),
        "spark.executor.extraJavaOptions": " ".join((*_JAVA, *archive())),
    }
    jars = class_path()
    return {**found, "spark.driver.extraClassPath": jars} if jars else found


def archive() -> tuple[str, ...]:
    """Return the options by which Java maps the classes that the image's build kept, if it did."""
    file = spark_home() / "classes.jsa"
    # With another class path (jars that an image of yours adds) Java does without, and need not say so.
    return (f"-XX:SharedArchiveFile={file}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off") if file.is_file() else ()


def _quoted(option: str) -> str:
    """Return an option of Java as Spark's launcher splits them."""
    return '"' + option.replace("\\", "\\\\").replace('"', '\\"') + '"'


def memory(ctx: "StageContext") -> int:
    """Return the stage's memory in bytes. Raises ConfigError for less than Spark starts with."""
    given = int(ctx.task.memory or ctx.config.resources.get("memory") or LEAST)
    if given < LEAST:
        message = f"Spark's driver needs 1Gi of memory, and the stage has {given // _MIB}Mi"
        raise ConfigError(message, hint="set resources.memory of the stage to 1Gi or more")
    return given


def _lake(ctx: "StageContext") -> dict[str, str]:
    roots = [ctx.task.lake_root, *ctx.task.lake_layers.values()]
    if not any(root.startswith(("s3://", "s3a://")) for root in roots):
        return {}
    return {
        **s3a.settings(lake_connection(ctx)),
        "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter",
    }


def lake_connection(ctx: "StageContext") -> "Connection | None":
    """Return the lake's connection, None where it has none."""
    name = ctx.task.config.lake.get("connection")
    return None if name is None else ctx.connection(name)


def _log_settings() -> Path:
    return Path(__file__).with_name("log4j2.properties")
