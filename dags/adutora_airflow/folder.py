"""The folder between side-car and Airflow: compiled pipelines as files, each written whole or not at all.

    current/<dag id>.py              a stub that Airflow parses; the same few lines for every pipeline
    revisions/<dag id>/<number>.json a revision's DagConfig
    revisions/<dag id>/history.json  since which version which revision is the one to run
    version                          version of the last change: what Airflow's dag-processor goes by
    changed/<dag id>                 a stub that the dag-processor has to parse again, once it has taken in `version`
    seen                             version up to which this folder is complete
    alive                            touched by the side-car as long as it works

A version is a resourceVersion of the API server. The server orders all changes by it, so folders of several pods
agree on what stood at a version, whatever each of them has seen by now. In `version` a counter may follow: `120.1`.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)?")
LINK = "dags"  # name of the link to `current` in the folder of a version
ROOT_ENV = "ADUTORA_BUNDLE_ROOT"
KEPT = 20  # revisions of a pipeline that stay here for runs in flight; the cluster keeps ten
# A parse that began before a change and ends after it would hide the change from Airflow, which compares a file's time
# with the end of its last parse. So the file is dated a little ahead.
AHEAD = 3.0  # seconds
STUB = '''\
"""An Airflow DAG, made of the revision that stood at this bundle's version."""

from adutora_airflow.stub import dag_of

dag = dag_of(__file__)
'''


def default_root() -> Path:
    """Return the folder that the environment names."""
    return Path(os.environ.get(ROOT_ENV, "/opt/airflow/adutora"))


@dataclass
class History:
    """Which revision a pipeline ran since which version, the oldest first. `uid` tells namesakes apart."""

    uid: str
    namespace: str
    pipeline: str
    entries: list[tuple[int, int]] = field(default_factory=list)

    def at(self, version: int | None) -> int | None:
        """Return the number of the revision that stood at a version (None: now), None if it is not known."""
        if version is None:
            return self.entries[-1][1] if self.entries else None
        place = bisect_right(self.entries, (version, 2**62))
        return self.entries[place - 1][1] if place else None

    def add(self, version: int, number: int) -> bool:
        """Take in that `number` is the one to run since `version`. Returns whether that is news."""
        if self.at(None) == number or (self.entries and version < self.entries[-1][0]):
            return False
        self.entries = [*self.entries, (version, number)][-KEPT:]
        return True


class Folder:
    """The folder; one process writes, many read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.current = root / "current"

    def dag_ids(self) -> set[str]:
        """Return the pipelines that are here."""
        return {path.stem for path in self.current.glob("*.py")}

    def history(self, dag_id: str) -> History | None:
        """Return a pipeline's history, None where there is none that can be read."""
        try:
            data = json.loads((self._revisions(dag_id) / "history.json").read_text())
            return History(data["uid"], data["namespace"], data["pipeline"], [(v, n) for v, n in data["entries"]])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def config_path(self, dag_id: str, number: int) -> Path:
        """Return where a revision stands."""
        return self._revisions(dag_id) / f"{number}.json"

    def keep(self, dag_id: str, number: int, config: dict[str, Any]) -> Path:
        """Keep a revision."""
        path = self.config_path(dag_id, number)
        replace(path, json.dumps(config, ensure_ascii=False))
        return path

    def show(self, dag_id: str, history: History, version: int) -> bool:
        """Make a pipeline's newest entry the one to run, as of a version. Its revision must be kept before.

        The entry may be older than `version`: its revision was made before the Pipeline said that it is to run. Returns
        whether its version is published: all are, once the folder has been published for the first time.

        A stub is marked after its version was published, and parsed once Airflow has taken that in: a parse of the new
        revision that was booked under an older version would bind runs to what stood then. A new one is written before,
        for Airflow lists files only when the version changes.
        """
        data = {"uid": history.uid, "namespace": history.namespace, "pipeline": history.pipeline}
        replace(self._revisions(dag_id) / "history.json", json.dumps({**data, "entries": history.entries}))
        stub = self.current / f"{dag_id}.py"
        if not stub.exists():
            replace(stub, STUB, ahead=AHEAD)
        published = self._publish(version)
        replace(self._changed / dag_id, "")
        self._prune(dag_id, history)
        return published

    def take(self) -> str | None:
        """Return the version of the last change, as `version` does, and let Airflow parse what has changed up to it."""
        marked = list(self._changed.iterdir()) if self._changed.is_dir() else []
        version, then = self.version, time.time() + AHEAD
        for mark in marked:
            with contextlib.suppress(FileNotFoundError):  # the pipeline is gone, or another process was faster
                os.utime(self.current / f"{mark.name}.py", (then, then))
                mark.unlink()
        return version

    def remove(self, dag_id: str) -> None:
        """Remove a pipeline."""
        (self.current / f"{dag_id}.py").unlink(missing_ok=True)
        (self._changed / dag_id).unlink(missing_ok=True)
        shutil.rmtree(self._revisions(dag_id), ignore_errors=True)

    @property
    def version(self) -> str | None:
        """Version of the last change, None before the first listing has been taken in."""
        text = _text(self.root / "version")
        return text if text and _VERSION.fullmatch(text) else None

    @property
    def seen(self) -> int:
        """Version up to which the folder is complete."""
        text = _text(self.root / "seen")
        return int(text) if text and text.isdecimal() else 0

    def publish(self, seen: int, changed: int | None) -> None:
        """Tell readers that all up to `seen` is here, and that `changed` is the version of what has changed, if any.

        The first time it says that the folder can be read at all. What `show` has published needs no second time.
        """
        if seen > self.seen:
            replace(self.root / "seen", str(seen))
        if self.version is None:
            replace(self.root / "version", str(changed or seen))
        elif changed is not None:
            self._publish(changed)

    def touch(self) -> None:
        """Leave a sign of life."""
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / "alive").touch()

    def idle(self) -> float:
        """Return the seconds since the last sign of life; infinite if there was none."""
        try:
            return time.time() - (self.root / "alive").stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def _publish(self, changed: int) -> bool:
        """Make it the version of the last change; before the folder is published there is none. Returns whether it is.

        Namespaces are watched apart, so a change may come after a later one: it is told all the same.
        """
        last = self.version
        if last is None:
            return False
        number, _, count = last.partition(".")
        later = changed > int(number)
        replace(self.root / "version", str(changed) if later else f"{number}.{int(count or 0) + 1}")
        return True

    @property
    def _changed(self) -> Path:
        return self.root / "changed"

    def _revisions(self, dag_id: str) -> Path:
        return self.root / "revisions" / dag_id

    def _prune(self, dag_id: str, history: History) -> None:
        used = {number for _, number in history.entries}
        numbers = sorted(int(path.stem) for path in self._revisions(dag_id).glob("*.json") if path.stem.isdecimal())
        for number in numbers[:-KEPT]:
            if number not in used:
                self.config_path(dag_id, number).unlink(missing_ok=True)


def replace(path: Path, text: str, *, ahead: float = 0.0) -> None:
    """Write a file so that a reader sees the old text or the new one, and nothing else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(part).chmod(0o644)
        if ahead:
            then = time.time() + ahead
            os.utime(part, (then, then))
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def whole(version: str) -> int:
    """Return the resourceVersion in a version. Raises ValueError."""
    return int(version.partition(".")[0])


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
