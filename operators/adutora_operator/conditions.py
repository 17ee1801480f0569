"""Conditions, as every Kubernetes object has them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from adutora_operator.objects import Json

_WORDS: Final = {True: "True", False: "False", None: "Unknown"}


@dataclass(frozen=True)
class Condition:
    """Whether something holds (None: not known), why in one word, and why for people."""

    type: str
    status: bool | None
    reason: str
    message: str

    @classmethod
    def of(cls, value: Json) -> "Condition":
        """Read one from a status."""
        status = next(key for key, word in _WORDS.items() if word == value["status"])
        return cls(value["type"], status, value["reason"], value.get("message", ""))


def merged(old: Iterable[Json], new: Iterable[Condition], generation: int, now: str) -> list[Json]:
    """Return the conditions of the next status. `lastTransitionTime` moves with `status` alone; others' stay."""
    before = {each["type"]: each for each in old}
    mine = {each.type: _json(each, before.get(each.type), generation, now) for each in new}
    others = [each for name, each in before.items() if name not in mine]
    return [*mine.values(), *others]


def _json(condition: Condition, before: Json | None, generation: int, now: str) -> Json:
    status = _WORDS[condition.status]
    same = before is not None and before["status"] == status
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if same and before else now,
    }
