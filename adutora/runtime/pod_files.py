"""A pod gets the pipeline's own files that its stage needs from `<filesRoot>/<namespace>/<pipeline>/`.

Files keep path and time of change, so that `read: new` knows a version of a file however often it is fetched.
"""

import difflib
import errno
import importlib.util
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError
from adutora.io.objects import Folder, ObjectSource, SourceFile, check_pattern, none_found

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext

_AT_ONCE = 8  # objects; each is a few requests, most of them small files
_VERSION = re.compile(r"\d+-(\d+)")  # of a bucket's file: size and time of change in nanoseconds
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
PUSH = "`adutora push FILE` brings the files beside a pipeline there"
_MODULES = "**/*"  # of which Python files are taken


@dataclass(frozen=True)
class Wanted:
    """Files that a stage reads. `required`: none at all is an error, as it is on a laptop."""

    pattern: str
    required: bool


def wanted(ctx: "StageContext") -> list[Wanted]:
    """Return what a stage reads of the pipeline's own files. Raises ConfigError for a path that may not be."""
    paths = [item.file for item in ctx.inputs if item.file is not None and "://" not in item.file]
    # A URL is refused by the stage itself, with what would be right.
    patterns = [Wanted(check_pattern(path), required=True) for path in paths]
    spec: Any = ctx.spec
    if ctx.config.type == "ingest" and spec.files is not None and spec.files.connection is None:
        patterns.append(Wanted(check_pattern(spec.files.path), required=spec.files.read == "all"))
    if ctx.config.type == "spark" and not spec.app.startswith("/"):
        patterns.append(Wanted(check_pattern(spec.app), required=True))
    if ctx.config.type in ("python", "spark"):
        patterns.append(Wanted(_MODULES, required=False))
    return patterns


def fetch_files(ctx: "StageContext", source: ObjectSource) -> None:
    """Bring what the stage needs into its `files_root`; files of a mounted folder are read where they are.

    Raises DataError for files that are not there and ConfigError for a module that is not, as a laptop does, and where
    they are more than the stage's scratch; TemporaryError where the store does not answer or the disk is full.
    """
    files = listed(ctx, source)
    if isinstance(source, Folder) or not files:
        return
    root = ctx.task.files_root
    check_room(files, ctx)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda file: _bring(source, file, root, ctx.scratch), files))
    except OSError as error:
        raise full_disk(error, ctx) from error
    ctx.log.info("fetched %s, %d bytes, from %s", _count(files), sum(file.size for file in files), source.where)


def listed(ctx: "StageContext", source: ObjectSource) -> Sequence[SourceFile]:
    """Return the files to fetch, each once."""
    files: dict[str, SourceFile] = {}
    for each in wanted(ctx):
        found = source.find(each.pattern)
        if ctx.config.type in ("python", "spark") and each.pattern == _MODULES:
            found = modules(found)
        if ctx.config.type == "python" and each.pattern == _MODULES:
            _need_module(ctx, found, source)
        if not found and each.required:
            raise _missing(source, each.pattern)
        files |= {file.path: file for file in found}
    return list(files.values())


def modules(files: Iterable[SourceFile]) -> list[SourceFile]:
    """Return Python files, and all files of packages: folders with `__init__.py`, and folders in them."""
    given = list(files)
    packages = {file.path.removesuffix("__init__.py") for file in given if file.path.endswith("/__init__.py")}
    return [f for f in given if f.path.endswith(".py") or any(f.path.startswith(folder) for folder in packages)]


def _need_module(ctx: "StageContext", files: Sequence[SourceFile], source: ObjectSource) -> None:
    spec: Any = ctx.spec
    name = spec.function.partition(":")[0]
    top = name.partition(".")[0]
    if any(file.path == f"{top}.py" or file.path.startswith(f"{top}/") for file in files):
        return
    if importlib.util.find_spec(top) is not None:
        return
    here = [file.path.removesuffix(".py") for file in files if "/" not in file.path]
    near = difflib.get_close_matches(top, here, n=1)
    raise ConfigError(
        f"there is no module {name} in {source.where}, nor an installed one",
        hint=f"did you mean {near[0]}?" if near else PUSH,
    )


def _missing(source: ObjectSource, pattern: str) -> DataError:
    error = none_found(source, pattern)
    return DataError(error.message, hint=f"{error.hint} {PUSH}" if error.hint else PUSH)


def check_room(files: Sequence[SourceFile], ctx: "StageContext") -> None:
    """Raise ConfigError where files take more than the stage's scratch, TemporaryError where the disk has less."""
    total = sum(file.size for file in files)
    scratch = ctx.config.resources.get("scratch")
    what = f"{_count(files)}: {total:,} bytes"
    if scratch is not None and total > scratch:
        raise ConfigError(
            f"{what}, and the stage's scratch is {scratch:,}",
            hint="raise resources.scratch; an ingest stage with a connection of type s3 fetches only what is new",
        )
    free = shutil.disk_usage(ctx.scratch).free
    if total > free:
        raise TemporaryError(f"{what}, and {ctx.scratch} has room for {free:,}")


def _count(files: Sequence[SourceFile]) -> str:
    return f"{len(files)} file" + ("" if len(files) == 1 else "s")


def _bring(source: ObjectSource, file: SourceFile, root: Path, scratch: Path) -> None:
    """Fetch one file to its path below `root`, with its time of change."""
    target = root / file.path
    if ".." in file.path.split("/") or not target.is_relative_to(root):
        raise DataError(f"{file.path!r} in {source.where} is no path of a file")
    fetched = source.fetch(file, scratch)
    if fetched is None:
        raise TemporaryError(f"{file.path} in {source.where} was changed or removed while it was fetched")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.on_disk().replace(target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"{file.path} in {source.where}: an object has the name of a folder of others") from error
    version = _VERSION.fullmatch(file.version)
    if version is not None:
        os.utime(target, ns=(int(version[1]), int(version[1])))


def full_disk(error: OSError, ctx: "StageContext") -> AdutoraError:
    """Return our error for one of the disk's."""
    if error.errno in _FULL:
        scratch = ctx.config.resources.get("scratch")
        now = f", now {scratch:,} bytes" if scratch else ""
        return TemporaryError(
            f"{ctx.task.task_dir} is full: {error.strerror}", hint=f"raise resources.scratch of the stage{now}"
        )
    return TemporaryError(f"{error.filename or ctx.task.task_dir}: {error.strerror or error}")
