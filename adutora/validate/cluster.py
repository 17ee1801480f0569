"""What only a laptop has: a pod refuses it at its start, so the operator says so before. In the pod's own words."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from adutora.spec.project import Project
from adutora.spec.yamlfile import Where
from adutora.validate.scope import Report

VOLUME: Final = "an s3:// URL, or the absolute path of a mounted volume"


def check_for_pods(report: Report, project: Project) -> None:
    """Report folders that count from where a file stands, and stores that are a file."""
    for path, root in _roots(project):
        if _relative(root):
            report.error(path, f"is the relative folder {root!r}, which a pod does not have", VOLUME)
    for number, connection in enumerate(project.spec.connections):
        path = ("spec", "connections", number)
        if connection.sqlite is not None:
            message = "the SQLite online store is a file, and no two pods share one"
            report.error((*path, "sqlite"), message, "give the connection a `redis` block")
        if connection.folder is not None and _relative(connection.folder.path):
            message = f"is {connection.folder.path!r}, and a pod has no folder that it could count from"
            hint = "use a connection of type s3, or the absolute path of a mounted volume"
            report.error((*path, "folder", "path"), message, hint)


def _roots(project: Project) -> Iterator[tuple[Where, str]]:
    spec = project.spec
    yield ("spec", "lake", "root"), spec.lake.root
    for number, layer in enumerate(spec.lake.layers):
        yield ("spec", "lake", "layers", number, "root"), layer.root
    if spec.filesRoot is not None:
        yield ("spec", "filesRoot"), spec.filesRoot


def _relative(root: str) -> bool:
    return "://" not in root and not PurePosixPath(root).is_absolute()
