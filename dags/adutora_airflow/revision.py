"""A PipelineRevision as the API server hands it out: trusted only if its owner, its name and its hash fit."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class ForgedError(Exception):
    """A revision that the operator did not write for this pipeline, or that was changed."""


@dataclass(frozen=True)
class Wanted:
    """What a Pipeline says should run. `number` is None while the operator has not rendered it.

    `books` are the digests of its revisions as the operator, who alone writes a status, has booked them.
    """

    namespace: str
    name: str
    uid: str
    number: int | None
    version: int
    books: Mapping[int, str] = field(default_factory=dict)

    @property
    def dag_id(self) -> str:
        """Id of the DAG."""
        return f"{self.namespace}.{self.name}"

    @classmethod
    def of(cls, pipeline: Json) -> "Wanted | None":
        """Read a Pipeline; None for a name that could stand for a path or for another team's DAG."""
        meta = pipeline["metadata"]
        if not (_LABEL.fullmatch(meta["name"]) and _LABEL.fullmatch(meta["namespace"])):
            return None
        status = pipeline.get("status") or {}
        number = status.get("revision")
        books = {int(each["sequence"]): str(each["hash"]) for each in status.get("revisions") or []}
        version = int(meta["resourceVersion"])
        whole = isinstance(number, int) and not isinstance(number, bool) and number > 0
        return cls(meta["namespace"], meta["name"], meta["uid"], number if whole else None, version, books)


def trusted_config(revision: Json, wanted: Wanted, number: int) -> Json:
    """Return the DagConfig of a revision. Raises ForgedError that says what does not fit."""
    meta, spec = revision["metadata"], revision["spec"]
    owners = [owner["uid"] for owner in meta.get("ownerReferences") or [] if owner.get("controller")]
    if owners != [wanted.uid]:
        raise ForgedError(f"{meta['name']} is not owned by Pipeline {wanted.name}")
    if spec.get("pipeline") != wanted.name or spec.get("sequence") != number:
        raise ForgedError(f"{meta['name']} speaks of {spec.get('pipeline')}-{spec.get('sequence')}")
    text = spec.get("config", "")
    try:
        config = json.loads(text)
        if config["namespace"] != wanted.namespace or config["name"] != wanted.name:
            raise ForgedError(f"{meta['name']} holds the config of {config['namespace']}.{config['name']}")
    except (ValueError, KeyError, TypeError) as error:
        raise ForgedError(f"{meta['name']} holds no DagConfig: {error}") from None
    if spec.get("hash") not in _digests(text, config):
        raise ForgedError(f"{meta['name']} does not fit its hash")
    if wanted.books.get(number, spec["hash"]) != spec["hash"]:
        raise ForgedError(f"{meta['name']} is not the one that the operator has booked")
    return config  # type: ignore[no-any-return]


def _digests(text: str, config: Json) -> set[str]:
    """Return the digests that may stand in a revision: that of the text, and that of the DagConfig's body."""
    from adutora.dagconfig import digest

    body = {key: value for key, value in config.items() if key != "hash"}
    return {hashlib.sha256(text.encode()).hexdigest(), digest(body)}
