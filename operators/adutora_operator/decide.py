"""Which revision runs, which is to be written, which are to go. Pure: the same state gives the same decision.

What a revision is worth is known from the Pipeline's own status, which nobody but the operator writes: it books the
digest of each revision. An object that has the name of a revision and not the booked content, or another owner, is
never run; no user writes such objects, so it is removed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adutora_operator.judge import Verdict
from adutora_operator.objects import Json, Revision

KEPT: Final = 10


@dataclass(frozen=True)
class Decision:
    """`books` is sequence -> digest of the revisions that are kept. `remove` names objects, `in_the_way` those first.

    `write` is the sequence that is to be written with what was compiled. `trouble` says in one word why `running` is
    not what the spec asks for: RevisionLost or RevisionNotFound.
    """

    running: int | None
    write: int | None
    books: Mapping[int, str]
    in_the_way: tuple[Revision, ...] = ()
    remove: tuple[Revision, ...] = ()
    trouble: str = ""
    pin: int | None = None


def decide(pipeline: Json, verdict: Verdict, revisions: Sequence[Revision]) -> Decision:
    """Decide from the Pipeline with its status, the verdict on its spec, and the objects named like its revisions."""
    uid, books = pipeline["metadata"]["uid"], booked(pipeline)
    here = {each.sequence: each for each in revisions}

    def stands(sequence: int) -> bool:
        found = here.get(sequence)
        return found is not None and found.owner == uid and found.digest == books.get(sequence)

    newest = max(books, default=0)
    write = None
    if verdict.accepted:
        if books.get(newest) != verdict.digest:
            newest += 1
            books[newest] = verdict.digest
        write = None if stands(newest) else newest
    written = {write} if write else set()
    usable = {sequence for sequence in books if stands(sequence)} | written
    running, pin, trouble = _running(pipeline, newest, usable)
    kept = set(sorted(books, reverse=True)[:KEPT]) | {each for each in (running, pin) if each in books}
    books = {sequence: books[sequence] for sequence in sorted(kept)}
    in_the_way = tuple(each for each in revisions if each.sequence == write)
    remove = tuple(each for each in revisions if each.sequence != write and each.sequence not in usable & kept)
    return Decision(running, write, books, in_the_way, remove, trouble, pin)


def _running(pipeline: Json, newest: int, usable: set[int]) -> tuple[int | None, int | None, str]:
    """Return the sequence that runs, the one that is asked for by a pin, and what is wrong."""
    pin, before = _number(pipeline.get("spec"), "revision"), _number(pipeline.get("status"), "revision")
    if pin is not None and pin in usable:
        return pin, pin, ""
    if pin is not None:
        if before in usable:
            return before, pin, "RevisionNotFound"
        return (newest if newest in usable else None), pin, "RevisionNotFound"
    if newest in usable:
        return newest, None, ""
    # Its content cannot be had again: an older one that was sound is better than none.
    older = max(usable, default=None)
    return older, None, "RevisionLost" if newest else ""


def booked(pipeline: Json) -> dict[int, str]:
    """Return sequence -> digest, as the status has it."""
    entries = (pipeline.get("status") or {}).get("revisions") or []
    return {each["sequence"]: each["hash"] for each in entries}


def _number(values: Json | None, name: str) -> int | None:
    value = (values or {}).get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
