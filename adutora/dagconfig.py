"""DagConfig: a compiled pipeline. Plain JSON, versioned and hashed; light to import, for Airflow reads it too.

Shapes are those of `adutora.spec`, with defaults filled in, edges worked out and scalars canonical. It holds no
secret and no path of the machine that compiled it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from adutora.errors import ConfigError

FORMAT: Final = 1
Json = dict[str, Any]


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no spaces: the same text for the same meaning."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON, as hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def safe_label(text: str) -> str:
    """Return a text as a label's value: what is too long or not allowed gives way to a short digest of it."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", text).strip("_.-")
    if safe == text and len(text) <= 63:
        return text
    return f"{safe[:52].rstrip('_.-')}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class StageConfig:
    """One stage, ready to run: every default filled in. Durations in seconds, CPU in thousandths, memory in bytes."""

    name: str
    type: str
    block: Json
    depends_on: tuple[str, ...]
    retries: int
    retry_delay: int
    timeout: int
    resources: Json
    description: str | None = None
    when: str | bool | None = None
    run_if: str = "succeeded"
    cache: bool = False
    profile: str | None = None
    for_each: Json | None = None
    inputs: tuple[Json, ...] = ()
    output: Json | None = None
    connections: tuple[str, ...] = ()  # whose secrets a pod of this stage mounts, and no others

    @property
    def engine(self) -> str | None:
        """`spark` for a stage whose process is the driver of a Spark application, None for every other."""
        spark = self.type == "spark" or (self.type == "sql" and self.block.get("engine") == "spark")
        return "spark" if spark else None

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {
            "name": self.name,
            "type": self.type,
            "block": self.block,
            "dependsOn": list(self.depends_on),
            "retries": self.retries,
            "retryDelaySeconds": self.retry_delay,
            "timeoutSeconds": self.timeout,
            "resources": self.resources,
            "description": self.description,
            "when": self.when,
            "runIf": self.run_if,
            "cache": self.cache,
            "profile": self.profile,
            "forEach": self.for_each,
            "inputs": list(self.inputs),
            "output": self.output,
            "connections": list(self.connections),
        }

    @classmethod
    def from_json(cls, data: Json) -> "StageConfig":
        """Read the JSON form."""
        return cls(
            name=data["name"],
            type=data["type"],
            block=data["block"],
            depends_on=tuple(data["dependsOn"]),
            retries=data["retries"],
            retry_delay=data["retryDelaySeconds"],
            timeout=data["timeoutSeconds"],
            resources=data["resources"],
            description=data["description"],
            when=data["when"],
            run_if=data["runIf"],
            cache=data["cache"],
            profile=data["profile"],
            for_each=data["forEach"],
            inputs=tuple(data["inputs"]),
            output=data["output"],
            connections=tuple(data["connections"]),
        )


@dataclass(frozen=True)
class DagConfig:
    """A compiled pipeline. Stages stand in an order in which each comes after what it depends on."""

    name: str
    namespace: str
    stages: tuple[StageConfig, ...]
    timezone: str
    lake: Json
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    suspend: bool | None = None
    concurrency: int = 1
    timeout: int | None = None
    triggers: tuple[Json, ...] = ()
    params: tuple[Json, ...] = ()
    notify: tuple[Json, ...] = ()
    tables: Mapping[str, Json] = field(default_factory=dict)
    connections: Mapping[str, Json] = field(default_factory=dict)
    profiles: Mapping[str, Json] = field(default_factory=dict)
    files_root: str | None = None  # base of relative paths on a cluster; None: the pipeline file's folder

    @property
    def dag_id(self) -> str:
        """`namespace.name`, unique in an Airflow."""
        return f"{self.namespace}.{self.name}"

    def stage(self, name: str) -> StageConfig:
        """Return a stage by name. Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]

    def names(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(stage.name for stage in self.stages)

    def downstream(self, name: str) -> Iterator[str]:
        """Yield the stages that depend on `name`, near and far, in order."""
        reached = {name}
        for stage in self.stages:
            if reached.intersection(stage.depends_on):
                reached.add(stage.name)
                yield stage.name

    def body(self) -> Json:
        """Return the JSON form without its hash."""
        return {
            "format": FORMAT,
            "name": self.name,
            "namespace": self.namespace,
            "description": self.description,
            "owner": self.owner,
            "tags": list(self.tags),
            "suspend": self.suspend,
            "concurrency": self.concurrency,
            "timeoutSeconds": self.timeout,
            "timezone": self.timezone,
            "triggers": list(self.triggers),
            "params": list(self.params),
            "notify": list(self.notify),
            "lake": self.lake,
            "filesRoot": self.files_root,
            "tables": dict(self.tables),
            "connections": dict(self.connections),
            "profiles": dict(self.profiles),
            "stages": [stage.to_json() for stage in self.stages],
        }

    @property
    def hash(self) -> str:
        """`sha256:` and the digest of the body."""
        return f"sha256:{digest(self.body())}"

    def to_json(self) -> Json:
        """Return the JSON form, with its hash."""
        return {**self.body(), "hash": self.hash}

    @classmethod
    def from_json(cls, data: Json) -> "DagConfig":
        """Read the JSON form. Raises ConfigError for another format, or where the hash does not fit."""
        if data.get("format") != FORMAT:
            raise ConfigError(
                f"DagConfig of format {data.get('format')!r}; this version reads {FORMAT}",
                hint="compile it again with this version",
            )
        config = cls(
            name=data["name"],
            namespace=data["namespace"],
            stages=tuple(StageConfig.from_json(stage) for stage in data["stages"]),
            timezone=data["timezone"],
            lake=data["lake"],
            description=data["description"],
            owner=data["owner"],
            tags=tuple(data["tags"]),
            suspend=data["suspend"],
            concurrency=data["concurrency"],
            timeout=data["timeoutSeconds"],
            triggers=tuple(data["triggers"]),
            params=tuple(data["params"]),
            notify=tuple(data["notify"]),
            tables=data["tables"],
            connections=data["connections"],
            profiles=data["profiles"],
            files_root=data["filesRoot"],
        )
        if data.get("hash") != config.hash:
            raise ConfigError("DagConfig was changed after it was compiled: its hash does not fit")
        return config
