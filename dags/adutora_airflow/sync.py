"""The side-car beside Airflow's scheduler and dag-processor: Pipelines of the cluster become files in its folder.

    python -P -m adutora_airflow.sync [--once] [--check SECONDS]

It reads and never writes in the cluster. While the API server does not answer, the folder stays as it is.
"""

import argparse
import logging
import os
import random
import signal
import sys
import threading
import time

from adutora_airflow.folder import Folder, History, default_root
from adutora_airflow.kube import GROUP, METADATA, ApiError, GoneError, Json, Kube, Server
from adutora_airflow.revision import ForgedError, Wanted, trusted_config

NAMESPACES_ENV = "ADUTORA_NAMESPACES"
WATCH = 55  # seconds of one watch: each end is a sign of life
RESYNC = 600.0  # seconds between two listings
RETRY = 10.0  # seconds until a revision that could not be read is asked for again
LONGEST_PAUSE = 30.0
log = logging.getLogger("adutora.sync")


class Namespace:
    """Keeps the pipelines of one namespace (None: of all) in the folder."""

    def __init__(self, folder: Folder, lock: threading.Lock, server: Server, namespace: str | None) -> None:
        self._folder, self._lock, self._namespace = folder, lock, namespace
        self._kube, self._revisions = Kube(server), Kube(server)
        self._missing: dict[str, Wanted] = {}  # what should run and could not be read
        self._version = ""

    def run(self) -> None:
        """List and watch until the process ends."""
        pause = 0.0
        while True:
            try:
                self.list()
                pause = 0.0
                self._watch(time.monotonic() + RESYNC * random.uniform(0.8, 1.2))  # noqa: S311
            except GoneError:
                log.info("%s: listing anew", self)
            except (ApiError, OSError, ValueError, KeyError) as error:
                pause = min(LONGEST_PAUSE, max(1.0, pause * 2))
                log.warning("%s: %s; again in %.0f s", self, error, pause)
                self._folder.touch()
                time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311

    def list(self) -> None:
        """Take in all pipelines as they stand. Raises ApiError, OSError."""
        found: list[Wanted] = []
        self._version = ""
        for page in self._kube.pages(self._path("pipelines")):
            self._version = self._version or page["metadata"]["resourceVersion"]
            found += filter(None, map(self._read, page["items"]))
        known = {wanted.dag_id for wanted in found}
        changed = [self._take(wanted) for wanted in found]
        with self._lock:
            gone = [dag_id for dag_id in self._folder.dag_ids() if self._mine(dag_id) and dag_id not in known]
            for dag_id in gone:
                self._folder.remove(dag_id)
            version = int(self._version)
            self._folder.publish(version, version if gone else max(filter(None, changed), default=None))
        self._folder.touch()
        log.info("%s: %d pipelines at version %s", self, len(found), self._version)

    def _watch(self, until: float) -> None:
        while time.monotonic() < until:
            for event in self._kube.watch(self._path("pipelines"), self._version, WATCH):
                self._event(event)
            self._again()
            self._folder.touch()

    def _event(self, event: Json) -> None:
        """Take in one event."""
        self._version = event["object"]["metadata"]["resourceVersion"]
        changed = None
        if event["type"] == "DELETED":
            changed = self._remove(event["object"])
        elif event["type"] in ("ADDED", "MODIFIED") and (wanted := self._read(event["object"])):
            changed = self._take(wanted)
        with self._lock:
            self._folder.publish(int(self._version), changed)
        self._folder.touch()

    def _read(self, pipeline: Json) -> Wanted | None:
        wanted = Wanted.of(pipeline)
        if wanted is None:
            log.warning("%s: Pipeline %r has no name that a DAG can have", self, pipeline["metadata"]["name"])
        return wanted

    def _take(self, wanted: Wanted) -> int | None:
        """Bring a pipeline to its revision. Returns the version of a change that is not published yet, if any."""
        self._missing.pop(wanted.dag_id, None)
        history = self._folder.history(wanted.dag_id)
        if history is not None and history.uid != wanted.uid:  # a namesake was deleted meanwhile
            self._folder.remove(wanted.dag_id)
            history = None
        if wanted.number is None or (history and history.at(None) == wanted.number):
            return None
        try:
            if history is None:
                history = self._past(wanted)
            self._keep(wanted)
        except (ApiError, ForgedError) as error:
            log.error("%s: %s is left as it was: %s", self, wanted.dag_id, error)
            self._missing[wanted.dag_id] = wanted
            return None
        history.add(wanted.version, wanted.number)
        with self._lock:
            published = self._folder.show(wanted.dag_id, history, wanted.version)
        log.info("%s is at revision %d since version %d", wanted.dag_id, wanted.number, wanted.version)
        return None if published else wanted.version

    def _keep(self, wanted: Wanted) -> None:
        number = wanted.number or 0
        if not self._folder.config_path(wanted.dag_id, number).exists():
            self._folder.keep(wanted.dag_id, number, fetch(self._revisions, wanted, number))

    def _past(self, wanted: Wanted) -> History:
        """Work out what ran when, for a pipeline that this folder does not know: each revision since it was made.

        Those that are newer than the one to run are left out: the pipeline was pinned at an unknown time.
        """
        query = {"labelSelector": f"adutora.dev/pipeline={wanted.name}"}
        path = f"{GROUP}/namespaces/{wanted.namespace}/pipelinerevisions"
        made: list[tuple[int, int]] = []
        for item in self._revisions.get(path, METADATA, **query)["items"]:
            meta = item["metadata"]
            suffix = meta["name"].removeprefix(f"{wanted.name}-")
            owned = any(owner["uid"] == wanted.uid for owner in meta.get("ownerReferences") or [])
            if owned and suffix.isdecimal() and int(suffix) <= (wanted.number or 0):
                made.append((int(meta["resourceVersion"]), int(suffix)))
        return History(wanted.uid, wanted.namespace, wanted.name, sorted(made))

    def _remove(self, pipeline: Json) -> int | None:
        wanted = Wanted.of(pipeline)
        history = wanted and self._folder.history(wanted.dag_id)
        if wanted is None or history is None or history.uid != wanted.uid:
            return None
        with self._lock:
            self._folder.remove(wanted.dag_id)
        self._missing.pop(wanted.dag_id, None)
        log.info("%s has gone", wanted.dag_id)
        return wanted.version

    def _again(self) -> None:
        """Ask again for revisions that could not be read."""
        for wanted in list(self._missing.values()):
            changed = self._take(wanted)
            with self._lock:
                self._folder.publish(0, changed)

    def _mine(self, dag_id: str) -> bool:
        return self._namespace is None or dag_id.startswith(f"{self._namespace}.")

    def _path(self, kind: str) -> str:
        return f"{GROUP}/namespaces/{self._namespace}/{kind}" if self._namespace else f"{GROUP}/{kind}"

    def __str__(self) -> str:
        """Name the namespace."""
        return self._namespace or "all namespaces"


def fetch(kube: Kube, wanted: Wanted, number: int) -> Json:
    """Return the DagConfig of a revision. Raises ApiError, ForgedError, OSError."""
    path = f"{GROUP}/namespaces/{wanted.namespace}/pipelinerevisions/{wanted.name}-{number}"
    return trusted_config(kube.get(path), wanted, number)


def main(argv: list[str] | None = None) -> int:
    """Sync until told to stop. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="adutora_airflow.sync")
    parser.add_argument("--once", action="store_true", help="fill the folder and end: for an init container")
    parser.add_argument("--check", type=float, metavar="SECONDS", help="end with 1 if nothing was heard for so long")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    folder = Folder(default_root())
    if args.check is not None:
        return int(folder.idle() > args.check)
    names = [name.strip() for name in os.environ.get(NAMESPACES_ENV, "").split(",") if name.strip()]
    server, lock = Server.here(), threading.Lock()
    spaces = [Namespace(folder, lock, server, name) for name in names] or [Namespace(folder, lock, server, None)]
    if args.once:
        for space in spaces:
            space.list()
        return 0
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # every file is whole at any moment
    threads = [threading.Thread(target=space.run, name=str(space)) for space in spaces]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1


if __name__ == "__main__":
    sys.exit(main())
