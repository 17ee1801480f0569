"""Paths: relative ones stay under the pipeline's folder."""

import re

from adutora.spec.template import scan
from adutora.spec.yamlfile import Where
from adutora.validate.scope import STAGES, Scope

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def check_paths(scope: Scope) -> None:
    """Report paths that leave the pipeline's folder, as far as they are written out."""
    for index, stage in enumerate(scope.spec.stages):
        path = (*STAGES, index)
        if stage.input and stage.input.file is not None:
            _stays(scope, (*path, "input", "file"), stage.input.file)
        for number, item in enumerate(stage.inputs or []):
            if item.file is not None:
                _stays(scope, (*path, "inputs", number, "file"), item.file)
    for path, stage in scope.stages():
        if stage.ingest and stage.ingest.files:
            _stays(scope, (*path, "ingest", "files", "path"), stage.ingest.files.path)
        if stage.spark:
            _app(scope, (*path, "spark", "app"), stage.spark.app)
        for block in ("http", "ingest"):
            source = stage.http if block == "http" else stage.ingest.http if stage.ingest else None
            if source is not None and _SCHEME.match(source.path):
                place = (*path, "http", "path") if block == "http" else (*path, "ingest", "http", "path")
                scope.error(place, "is a whole URL", "write the path alone; the connection has the base URL")


def _app(scope: Scope, path: Where, text: str) -> None:
    """Report what is no Python file beside the pipeline, or with an absolute path in the image."""
    wrong = None if text.startswith("/") and ".." not in text.split("/") else path_error(text)
    if wrong is None and not text.endswith(".py"):
        wrong = "is no Python file", "write for example app.py"
    if wrong:
        scope.error(path, *wrong)


def _stays(scope: Scope, path: Where, text: str) -> None:
    wrong = path_error(text)
    if wrong:
        scope.error(path, *wrong)


def path_error(text: str) -> tuple[str, str] | None:
    """Say why a path leaves its folder, and what would be right; None if it does not. `$(…)` is not judged."""
    # A reference stands for one harmless name: its value is checked when it is known.
    plain = "".join(part if isinstance(part, str) else "x" for part in scan(text).parts)
    if not plain.strip():
        return "is empty", "write a path under the pipeline's folder, for example data/orders.csv"
    if _SCHEME.match(plain):
        return "is a URL", "name a connection of type s3 in an `ingest` stage, and the path in its bucket"
    if plain.startswith(("/", "\\", "~")):
        return "is an absolute path", "write it relative to the pipeline's folder"
    if ".." in re.split(r"[/\\]", plain):
        return "leaves the pipeline's folder", "write a path without `..`"
    return None
