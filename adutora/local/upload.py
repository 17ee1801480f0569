"""Bring the files beside a pipeline to where its pods look for them, those that are there already left out.

What was brought is written down beside the files: each file's SHA-256, and the tag that the store gave it. A file is
unchanged if it has that SHA-256 here, and that tag there; whoever changes it there in another way is overwritten.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from adutora.dagconfig import DagConfig, Json, StageConfig
from adutora.errors import ConfigError
from adutora.io.objects import Folder, SourceFile, check_pattern, is_pattern, none_found
from adutora.io.stored import Objects
from adutora.spec.template import Ref, parse

MANIFEST = ".adutora-push.json"
_AT_ONCE = 8
_OTHERS = frozenset({"__pycache__", "node_modules"})
State = Literal["new", "changed", "unchanged", "left", "removed"]


@dataclass(frozen=True)
class Change:
    """What becomes of one file. `left`: an earlier push brought it, and the pipeline names it no more."""

    path: str
    state: State
    size: int = 0


def files_of(config: DagConfig, root: Path, warn: Callable[[str], Any]) -> list[SourceFile]:
    """Return the files below `root` that the pipeline's stages read, by path.

    In a path, a parameter stands for its default, and every other `$(…)` for anything. Raises DataError for a file that
    is named and is not there, ConfigError for a path that leaves the folder.
    """
    folder = Folder(root)
    found: dict[str, SourceFile] = {}
    for stage in config.stages:
        for text, required in _paths(stage):
            files = _matching(text, config, folder, required, stage.name, warn)
            found |= {file.path: file for file in files}
        if stage.type in ("python", "spark"):
            found |= {file.path: file for path in _modules(root) for file in folder.find(path)}
    own = [path for path in found if path.split("/")[0] == ".adutora"]
    if own:
        raise ConfigError(f"{own[0]} lies in the project's own folder of runs and secrets", hint="put it elsewhere")
    return [found[path] for path in sorted(found)]


def _paths(stage: StageConfig) -> Iterator[tuple[str, bool]]:
    """Yield the paths of a stage as written, and whether a file must be there."""
    for item in stage.inputs:
        if item.get("file") is not None:
            yield item["file"], True
    if stage.type == "spark" and not stage.block["app"].startswith("/"):
        yield stage.block["app"], True
    files = stage.block.get("files") if stage.type == "ingest" else None
    if files and files.get("connection") is None:
        yield files["path"], files.get("read", "all") == "all"


def _matching(
    text: str, config: DagConfig, folder: Folder, required: bool, stage: str, warn: Callable[[str], Any]
) -> Sequence[SourceFile]:
    path, certain = _pattern(text, config.params)
    if path is None:
        warn(f"stage {stage!r}: the path {text} is known only when it runs; push such files yourself")
        return []
    files = folder.find(check_pattern(path))
    if not files and required and certain:
        raise none_found(folder, path)
    if not files:
        warn(f"stage {stage!r}: no file matches {path!r} in {folder.where}")
    return files


def _pattern(text: str, params: Iterable[Json]) -> tuple[str | None, bool]:
    """Return a path with its `$(…)` filled in, and whether nothing had to be guessed. None: it may be any file."""
    defaults = {param["name"]: param["default"] for param in params if param.get("default") is not None}
    known = [_value(part, defaults) for part in parse(text).parts]
    path = "".join("*" if part is None else part for part in known)
    return (None if set(path) <= set("*/.") else path), None not in known


def _value(part: str | Ref, defaults: Json) -> str | None:
    if isinstance(part, str):
        return part
    value = defaults.get(part.path[0]) if part.root == "params" else None
    return None if value is None else str(value)


def _modules(root: Path) -> Iterator[str]:
    """Yield Python files and all files of packages, by path; environments, tables and hidden folders are left out."""

    def walk(folder: Path, in_package: bool) -> Iterator[str]:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        names = {path.name for path in entries}
        if "pyvenv.cfg" in names or "_delta_log" in names:
            return
        in_package = in_package or (folder != root and "__init__.py" in names)
        for path in entries:
            if path.is_dir():
                if path.name not in _OTHERS and not path.is_symlink():
                    yield from walk(path, in_package)
            elif (path.suffix == ".py" or in_package) and not is_pattern(path.name):
                yield path.relative_to(root).as_posix()

    yield from walk(root, in_package=False)


def push(
    files: Sequence[SourceFile],
    objects: Objects,
    tell: Callable[[Change], Any],
    *,
    dry_run: bool = False,
    prune: bool = False,
) -> list[Change]:
    """Bring files there; `prune` removes those that an earlier push brought and that are named no more.

    Returns what became of each. A push that is broken off goes on where it ended. Raises TemporaryError where the store
    does not answer.
    """
    before = _manifest(objects)
    after = dict(before)
    changes: list[Change] = []
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for change, entry in pool.map(lambda file: _bring(file, objects, before, dry_run), files):
                after[change.path] = entry
                changes.append(change)
                tell(change)
        for path in sorted(set(before) - {file.path for file in files}):
            change = _leave(path, objects, before, remove=prune and not dry_run)
            if change.state == "removed" or objects.tag(path) is None:
                del after[path]
            changes.append(change)
            tell(change)
    finally:
        if not dry_run and after != before:
            text = json.dumps({"format": 1, "files": after}, indent=1, sort_keys=True)
            objects.write(MANIFEST, text.encode())
    return changes


def _bring(file: SourceFile, objects: Objects, before: Json, dry_run: bool) -> tuple[Change, Json]:
    entry = before.get(file.path, {})
    tag = objects.tag(file.path)
    digest = _digest(file.on_disk())
    if tag is not None and (digest, tag) == (entry.get("sha256"), entry.get("tag")):
        return Change(file.path, "unchanged", file.size), entry
    change = Change(file.path, "new" if tag is None else "changed", file.size)
    if dry_run:
        return change, entry
    written = objects.upload(file.path, file.on_disk())
    return change, {"sha256": written, "tag": objects.tag(file.path)}


def _leave(path: str, objects: Objects, before: Json, *, remove: bool) -> Change:
    """Remove a file, if it is still the one that was brought."""
    if remove and objects.tag(path) == before[path].get("tag"):
        objects.delete(path)
        return Change(path, "removed")
    return Change(path, "left")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(objects: Objects) -> Json:
    """Return what earlier pushes brought; nothing if that cannot be read, and every file is brought again."""
    content = objects.read(MANIFEST)
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        files = json.loads(content or b"{}").get("files", {})
        if all(isinstance(entry, dict) for entry in files.values()):
            return dict(files)
    return {}
