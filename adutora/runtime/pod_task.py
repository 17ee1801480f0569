"""What a pod is told, as a Task: environment variables to a checked DagConfig, run and parameters.

`ADUTORA_CONFIG_0`, `_1`, … are pieces of base64(gzip(DagConfig)); `ADUTORA_TASK` is JSON. All of it was written by the
platform, so whatever is wrong here is a ConfigError: the same pod would fail again.
"""

import base64
import binascii
import datetime as dt
import itertools
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from adutora.dagconfig import DagConfig, Json
from adutora.errors import ConfigError
from adutora.runtime.task import RunInfo, Task

TASK, CONFIG, WORK = "ADUTORA_TASK", "ADUTORA_CONFIG_", "ADUTORA_WORK"
FILES = "files"  # folder of the pipeline's own files, in the task's folder
_MOST_JSON: Final = 32 << 20  # bytes of a DagConfig; an object of Kubernetes is smaller
_GZIP: Final = 31  # for zlib: expect gzip's header


def work_dir(env: Mapping[str, str]) -> Path:
    """Return the folder that the task may write to."""
    return Path(env.get(WORK) or "/work").absolute()


def read_task(env: Mapping[str, str]) -> Task:
    """Return the task of this pod. Raises ConfigError where a variable is missing or not what it should be."""
    config = read_config(env)
    data = _json(env, TASK)
    work = work_dir(env)
    try:
        stage = config.stage(data["stage"])
        run = RunInfo(**data["run"])
        _check_times(run)
        return Task(
            config=config,
            stage_name=stage.name,
            run=run,
            params=data["params"],
            # On a laptop a given path counts from where its user stands. Nobody stands in a pod: every relative path
            # counts from the pipeline's files, and leads nowhere else.
            given_params=(),
            attempt=int(data["attempt"]),
            files_root=_files_root(config, work),
            project_root=work / "project",
            state_dir=work / "state",
            task_dir=work,
            cwd=work,
            lake_root=lake_root(config.lake["root"], "spec.lake.root"),
            lake_layers={
                name: lake_root(root, f"spec.lake.layers[{name}].root") for name, root in config.lake["layers"].items()
            },
            item=data.get("item"),
            item_index=data.get("item_index"),
            full_refresh=bool(data.get("full_refresh", False)),
            outputs=data.get("outputs") or {},
            memory=_memory(data.get("memory"), stage.resources),
            threads=_threads(stage.resources),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{TASK} is no task of {config.dag_id}: {type(error).__name__}: {error}") from error


def read_config(env: Mapping[str, str]) -> DagConfig:
    """Return the DagConfig that stands in the environment. Raises ConfigError."""
    pieces = list(itertools.takewhile(bool, (env.get(f"{CONFIG}{number}") for number in itertools.count())))
    if not pieces:
        raise ConfigError(f"{CONFIG}0 is not set", hint="this is the program of a stage's pod; try `adutora run`")
    try:
        unpacker = zlib.decompressobj(_GZIP)
        text = unpacker.decompress(base64.b64decode("".join(map(str, pieces)), validate=True), _MOST_JSON)
        if not unpacker.eof:
            raise ValueError(f"{len(pieces)} pieces are not the whole of it, or it is larger than {_MOST_JSON} bytes")
        return DagConfig.from_json(json.loads(text))
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{CONFIG}0… hold no DagConfig: {type(error).__name__}: {error}") from error


def outputs_uris(env: Mapping[str, str]) -> dict[str, str]:
    """Return URIs of whole outcomes, for stages whose outputs were too large to be told. Raises ConfigError."""
    uris = _json(env, TASK).get("outputs_uris") or {}
    if not isinstance(uris, dict) or not all(isinstance(uri, str) for uri in uris.values()):
        raise ConfigError(f"{TASK}: outputs_uris is no map of stage to URI")
    return uris


def check_connections(task: Task) -> None:
    """Refuse connections of this stage that only a laptop has. Raises ConfigError that names the Project's field."""
    for name in task.stage.connections:
        given: Json = task.config.connections.get(name, {})
        where = f"Project field spec.connections[{name}]"
        if "sqlite" in given:
            raise ConfigError(
                f"{where}: the SQLite online store is a file, and no two pods share one",
                hint="give the connection a `redis` block",
            )
        path = given.get("folder", {}).get("path")
        if path is not None and not Path(path).is_absolute():
            raise ConfigError(
                f"{where}.folder.path is {path!r}, and a pod has no folder that it could count from",
                hint="use a connection of type s3, or the absolute path of a mounted volume",
            )


def _json(env: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        data = json.loads(env[name])
    except KeyError:
        raise ConfigError(f"{name} is not set") from None
    except ValueError as error:
        raise ConfigError(f"{name} is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{name} is no JSON object")
    return data


def _check_times(run: RunInfo) -> None:
    dt.date.fromisoformat(run.date)
    for text in (run.started_at, run.scheduled_at, run.interval_start, run.interval_end):
        if text is not None and dt.datetime.fromisoformat(text).tzinfo is None:
            raise ValueError(f"time {text!r} has no zone")


def _files_root(config: DagConfig, work: Path) -> Path:
    """Return where relative paths count from: a mounted folder itself, else the folder that is fetched into."""
    if config.files_root is None or "://" in config.files_root:
        return work / FILES
    if not Path(config.files_root).is_absolute():
        raise ConfigError(
            f"Project field spec.filesRoot is the relative path {config.files_root!r}, which a pod does not have",
            hint="an s3:// URL, or the absolute path of a mounted volume",
        )
    return Path(config.files_root) / config.namespace / config.name


def lake_root(root: str, field: str) -> str:
    """Return the root of the lake or of a layer. Raises ConfigError for a folder that a pod does not have."""
    if "://" not in root and not Path(root).is_absolute():
        raise ConfigError(
            f"Project field {field} is the relative folder {root!r}, which a pod does not have",
            hint="an s3:// URL, or the absolute path of a mounted volume",
        )
    return root


def _memory(given: int | None, resources: Json) -> int | None:
    """Bytes that the stage may take: what it was given, and never more than the cgroup lets it have."""
    amounts = [given or resources.get("memory"), cgroup_memory()]
    return min((int(amount) for amount in amounts if amount), default=None)


def _threads(resources: Json) -> int:
    """Return the engine's threads: CPU is a request without a limit, and idle cores of the node are for the taking.

    As many as there are, while each has half a GiB of the stage's memory; at least as many as were asked for.
    """
    asked: int = max(1, round(resources.get("cpu", 1000) / 1000))
    fitting: int = int(resources.get("memory", 0)) >> 29
    return max(asked, min(_cores(), fitting))


def _cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cgroup_memory(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the limit of this container's memory in bytes, None where there is none (cgroup v2 or v1)."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = (folder / name).read_text().strip()
        except OSError:
            continue
        limit = int(text) if text.isdecimal() else None
        return limit if limit is not None and limit < 1 << 60 else None
    return None
