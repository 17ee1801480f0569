"""`cache: true`: what a stage was at its last success, kept beside the lake, where a laptop and a pod find it alike."""

from typing import TYPE_CHECKING

from adutora.errors import AdutoraError
from adutora.io.stored import SYSTEM, Objects, open_objects

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext


def is_cached(ctx: "StageContext") -> bool:
    """Say whether the last success had the same configuration, code and input versions, and its table stands.

    Loads the inputs. Raises TemporaryError where the store does not answer.
    """
    ctx.load_inputs()
    if ctx.task.full_refresh:
        return False
    marker = _objects(ctx).read(_path(ctx))
    return marker is not None and marker.decode(errors="replace") == _said(ctx)


def remember(ctx: "StageContext") -> None:
    """Keep that the stage succeeded; where that fails, its work stands all the same, and it is told as a warning."""
    try:
        _objects(ctx).write(_path(ctx), _said(ctx).encode())
    except AdutoraError as error:
        ctx.outcome.warnings.append(f"the next run will not find this one cached: {error}")


def _said(ctx: "StageContext") -> str:
    version = "-" if ctx.output is None else str(ctx.lake.version(ctx.output.table))
    return f"{ctx.fingerprint} {version}"


def _objects(ctx: "StageContext") -> Objects:
    name = ctx.task.config.lake.get("connection")
    return open_objects(ctx.task.lake_root, ctx.connection(name) if name else None).below(SYSTEM)


def _path(ctx: "StageContext") -> str:
    return f"cache/{ctx.task.config.dag_id}/{ctx.task.label}"
