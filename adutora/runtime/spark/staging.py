"""Where Parquet lies between Spark and the stage: in scratch, or beside the lake where executors can reach it."""

import datetime as dt
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adutora.errors import AdutoraError, ConfigError
from adutora.io.objects import answers
from adutora.io.stored import Objects, open_objects
from adutora.runtime.spark import s3a
from adutora.runtime.spark.cluster import Cluster
from adutora.runtime.spark.settings import lake_connection

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext

FOLDER: Final = "_staging"
_FORGOTTEN: Final = dt.timedelta(days=1)  # past a stage's timeout, what another run left is nobody's any more


class Staging:
    """A folder of this try alone. `scratch` is its copy on this machine, which on a laptop is all there is."""

    def __init__(self, scratch: Path, remote: Objects | None = None, name: str = "") -> None:
        self.scratch, self._name = scratch / "staging", name
        self._stage = remote  # folder of the stage: one folder below for each try
        self._remote = remote.below(name) if remote is not None else None
        self.scratch.mkdir(parents=True, exist_ok=True)

    @classmethod
    def of(cls, ctx: "StageContext") -> "Staging":
        """Return the staging folder of a try; what earlier tries of the run left is removed."""
        if Cluster.of() is None:
            return cls(ctx.scratch)
        if not ctx.task.lake_root.startswith(("s3://", "s3a://")):
            raise ConfigError(
                f"the lake is in {ctx.task.lake_root}, which executors of Spark cannot reach",
                hint="Project field spec.lake.root: an s3:// URL",
            )
        label = ctx.task.label.replace("[", "-").replace("]", "")
        root = open_objects(ctx.task.lake_root, lake_connection(ctx))
        run = hashlib.sha256(ctx.task.run_id.encode()).hexdigest()[:16]
        folder = root.below(f"{FOLDER}/{ctx.task.config.dag_id}/{label}")
        found = cls(ctx.scratch, folder, f"{run}-{ctx.task.attempt}")
        found._sweep(run, dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ctx.config.timeout) - _FORGOTTEN)
        return found

    def url(self, name: str) -> str:
        """Return the URL by which Spark reads and writes a folder of this try."""
        # Hadoop takes a path as it is: no character of it stands for another.
        return f"file://{self.scratch / name}" if self._remote is None else s3a.url(f"{self._remote.uri}/{name}")

    def local(self, name: str) -> Path:
        """Return the folder on this machine."""
        return self.scratch / name

    def push(self, name: str) -> None:
        """Bring a folder of this machine to where executors read it."""
        if self._remote is not None:
            from pyarrow.fs import LocalFileSystem

            self._copy(str(self.local(name)), LocalFileSystem(), f"{self._remote.base}/{name}", self._remote.filesystem)

    def pull(self, name: str) -> list[Path]:
        """Return the Parquet files that Spark wrote, in their order, brought to this machine."""
        target = self.local(name)
        if self._remote is not None:
            from pyarrow.fs import LocalFileSystem

            target.mkdir(parents=True, exist_ok=True)
            self._copy(f"{self._remote.base}/{name}", self._remote.filesystem, str(target), LocalFileSystem())
        if not (target / "_SUCCESS").exists():
            raise AdutoraError(f"Spark left no whole result in {self.url(name)}")
        return sorted(target.glob("part-*.parquet"))

    def forget(self, name: str) -> None:
        """Remove a folder from this machine; what is with the executors stays until the end."""
        shutil.rmtree(self.local(name), ignore_errors=True)

    def clear(self) -> None:
        """Remove everything of this try."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self._remote is not None:
            _delete(self._remote.filesystem, self._remote.base)

    def _copy(self, source: str, of: Any, target: str, to: Any) -> None:
        from pyarrow.fs import copy_files

        with answers(self._remote.uri if self._remote else source):
            copy_files(source, target, source_filesystem=of, destination_filesystem=to)

    def _sweep(self, run: str, before: dt.datetime) -> None:
        """Remove what killed tries left: those of this run, and of runs that must have ended."""
        from pyarrow.fs import FileSelector, FileType

        assert self._stage is not None  # noqa: S101
        files = self._stage.filesystem
        with answers(self._stage.uri):
            entries = files.get_file_info(FileSelector(self._stage.base, recursive=True, allow_not_found=True))
        newest: dict[str, dt.datetime] = {}
        for entry in entries:
            name, _, below = entry.path.removeprefix(f"{self._stage.base}/").partition("/")
            at = entry.mtime if entry.type == FileType.File and below else dt.datetime.min.replace(tzinfo=dt.UTC)
            newest[name] = max(at, newest.get(name, at))
        for name, at in newest.items():
            if name.startswith(f"{run}-") or at < before:
                _delete(files, f"{self._stage.base}/{name}")


def _delete(files: Any, path: str) -> None:
    """Remove a folder and everything in it; one that is not there is gone already."""
    from pyarrow.fs import FileType

    with answers(path):
        if files.get_file_info([path])[0].type != FileType.NotFound:
            files.delete_dir(path)
