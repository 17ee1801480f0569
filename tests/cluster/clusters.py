"""Which kind of cluster this machine gets, and which addresses."""

from __future__ import annotations

import json
import shutil

from tests.cluster import builder
from tests.cluster.kind import Kind
from tests.cluster.node import Node
from tests.cluster.paths import CLUSTER_CACHE, SLOTS, Site, lock

RUNS = CLUSTER_CACHE / "run"


def names() -> dict[str, int]:
    """The clusters that there are, up or not, with their slots."""
    return {file.parent.name: int(json.loads(file.read_text())["slot"]) for file in RUNS.glob("*/site.json")}


def by_kind() -> bool:
    """Whether clusters of this machine are kind's."""
    return shutil.which("kind") is not None and builder.docker()


def create(name: str) -> Node | Kind:
    """The cluster of this name; a new one gets a folder and a free slot, and nothing runs yet.

    Where Docker's engine and kind are, it is kind's. Errors: SystemExit when all slots are taken.
    """
    with lock(RUNS / ".slots.lock"):
        taken = names()
        if name not in taken:
            free = [slot for slot in SLOTS if slot not in taken.values()]
            if not free:
                raise SystemExit(
                    f"there are {len(taken)} clusters; end one with `--name NAME down`: {', '.join(taken)}"
                )
            site = Site(name, free[0])
            site.folder.mkdir(parents=True, exist_ok=True)
            (site.folder / "site.json").write_text(json.dumps({"slot": site.slot}))
    return find(name)


def find(name: str) -> Node | Kind:
    """A cluster that was created. Errors: SystemExit when there is none of this name."""
    if (slot := names().get(name)) is None:
        there = f"; there are: {', '.join(names())}" if names() else ""
        raise SystemExit(f"there is no cluster {name!r}: tools/cluster --name {name} up{there}")
    site = Site(name, slot)
    return Kind(site) if by_kind() else Node(site)
