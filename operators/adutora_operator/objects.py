"""What the operator knows of the cluster: the objects as they were last seen, kept small."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]
LONGEST_WAIT = 60.0  # seconds
# What nothing here reads, and what is large.
_DROPPED = ("managedFields", "annotations", "labels", "selfLink")


class Key(NamedTuple):
    """Names an object. `kind` is `Pipeline` or `Project`."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A Pipeline or Project. `raw` is the object as JSON: as dicts, thousands of them would fill the memory."""

    uid: str
    version: str
    generation: int
    raw: bytes

    def load(self) -> Json:
        """Return the object."""
        value: Json = json.loads(self.raw)
        return value


@dataclass(frozen=True, slots=True)
class Revision:
    """A PipelineRevision. `digest` is the SHA-256 of what it holds, empty where it is not what its name says."""

    name: str
    uid: str
    version: str
    sequence: int
    owner: str
    digest: str


def seen(body: Mapping[str, Any]) -> Seen:
    """Return what to keep of an object."""
    metadata = {name: value for name, value in body["metadata"].items() if name not in _DROPPED}
    small = {"metadata": metadata, "spec": body.get("spec"), "status": body.get("status")}
    raw = json.dumps({name: value for name, value in small.items() if value is not None}, separators=(",", ":"))
    return Seen(metadata["uid"], metadata["resourceVersion"], metadata.get("generation", 1), raw.encode())


def revision_of(name: str) -> tuple[str, int] | None:
    """Split `<pipeline>-<sequence>`. None: no revision has such a name."""
    pipeline, _, number = name.rpartition("-")
    plain = number.isascii() and number.isdigit() and len(number) < 16 and not number.startswith("0")
    return (pipeline, int(number)) if pipeline and plain else None


def revision(body: Mapping[str, Any]) -> Revision:
    """Return what to keep of a PipelineRevision."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    pipeline, sequence = revision_of(metadata["name"]) or ("", 0)
    owners = [each["uid"] for each in metadata.get("ownerReferences") or () if each.get("controller")]
    text = str(spec.get("config", ""))
    digest = hashlib.sha256(text.encode()).hexdigest()
    honest = (spec.get("pipeline"), spec.get("sequence"), spec.get("hash")) == (pipeline, sequence, digest)
    owner = owners[0] if len(owners) == 1 else ""
    uid, version = metadata["uid"], metadata["resourceVersion"]
    return Revision(metadata["name"], uid, version, sequence, owner, digest if honest else "")


@dataclass
class Cluster:
    """Every object that we know of. For one event loop; what is put in is never older than what is there."""

    objects: dict[tuple[str, str], dict[str, Seen]] = field(default_factory=dict)
    revisions: dict[tuple[str, str], dict[str, Revision]] = field(default_factory=dict)
    _since: dict[Key, tuple[int, int, float]] = field(default_factory=dict)

    def get(self, key: Key) -> Seen | None:
        """Return an object, as it was last seen."""
        return self.objects.get((key.kind, key.namespace), {}).get(key.name)

    def put(self, key: Key, new: Seen) -> bool:
        """Keep an object. Return whether it is news."""
        there = self.objects.setdefault((key.kind, key.namespace), {})
        old = there.get(key.name)
        if old is not None and old.uid == new.uid and not _newer(new.version, old.version):
            return False
        there[key.name] = new
        return True

    def drop(self, key: Key, uid: str) -> bool:
        """Forget an object, unless another one of its name came since. Return whether it was there."""
        old = self.get(key)
        if old is None or old.uid != uid:
            return False
        del self.objects[key.kind, key.namespace][key.name]
        self._since.pop(key, None)
        return True

    def runs_since(self, key: Key, number: int, version: str) -> None:
        """Note that a revision is the one to run since a version of its Pipeline."""
        self._since[key] = (number, int(version) if version.isdigit() else 0, time.monotonic())

    def since(self, key: Key, number: int | None) -> int:
        """Return the version since which a revision is the one to run; 0 where it is not known, or not worth knowing.

        A reader who saw only the end of 1, 2, 1 knows no newer version of 1: it is not waited for longer than it takes
        all others.
        """
        known = self._since.get(key)
        return known[1] if known and known[0] == number and time.monotonic() < known[2] + LONGEST_WAIT else 0

    def keys(self, kind: str, namespace: str | None = None) -> list[Key]:
        """Return the keys of a kind, in one namespace or in all."""
        where = [(kind, namespace)] if namespace is not None else [each for each in self.objects if each[0] == kind]
        return [Key(kind, each[1], name) for each in where for name in self.objects.get(each, ())]

    def knows_revision(self, namespace: str, pipeline: str, body: Mapping[str, Any]) -> bool:
        """Whether this very state of a revision is known: then its content need not be read."""
        old = self.revisions.get((namespace, pipeline), {}).get(body["metadata"]["name"])
        return old is not None and old.version == body["metadata"]["resourceVersion"]

    def put_revision(self, namespace: str, pipeline: str, new: Revision) -> bool:
        """Keep a revision. Return whether it is news."""
        there = self.revisions.setdefault((namespace, pipeline), {})
        old = there.get(new.name)
        if old is not None and not _newer(new.version, old.version):
            return False
        there[new.name] = new
        return True

    def drop_revision(self, namespace: str, name: str, uid: str) -> bool:
        """Forget a revision, unless another one of its name came since. Return whether it was there."""
        pipeline, _ = revision_of(name) or ("", 0)
        there = self.revisions.get((namespace, pipeline), {})
        if name not in there or there[name].uid != uid:
            return False
        del there[name]
        if not there:
            del self.revisions[namespace, pipeline]
        return True

    def all_revisions(self, namespace: str | None) -> list[tuple[str, Revision]]:
        """Return every revision with its namespace, in one namespace or in all."""
        each_of = self.revisions.items()
        return [(where, each) for (where, _), by in each_of if namespace in {None, where} for each in by.values()]

    def revisions_of(self, key: Key) -> list[Revision]:
        """Return every object with the name of a revision of this pipeline, by sequence; whoever wrote it."""
        there = self.revisions.get((key.namespace, key.name), {})
        return sorted(there.values(), key=lambda each: each.sequence)

    def project_of(self, namespace: str) -> Key | None:
        """Return the Project of a namespace: the one named `default`, else the only one."""
        keys = self.keys("Project", namespace)
        default = Key("Project", namespace, "default")
        return default if default in keys else keys[0] if len(keys) == 1 else None


def _newer(new: str, old: str) -> bool:
    """Versions of one object count up. An event of the past says nothing new."""
    return int(new) > int(old) if new.isdigit() and old.isdigit() else new != old
