"""Which revision runs: every state that a crash, a hand or a forger can leave behind."""

from typing import Any

import pytest

from adutora_operator.decide import Decision, decide
from adutora_operator.judge import Verdict
from adutora_operator.objects import Revision

REFUSED = Verdict(False, "InvalidSpec", "wrong")


def good(content: str) -> Verdict:
    return Verdict(True, "Valid", "no errors", content)


def pipeline(books: dict[int, str] | None = None, running: int | None = None, pin: int | None = None) -> dict[str, Any]:
    entries = [{"sequence": number, "hash": digest} for number, digest in (books or {}).items()]
    status = {"revisions": entries, **({"revision": running} if running else {})}
    return {"metadata": {"name": "p", "uid": "me"}, "spec": {"revision": pin} if pin else {}, "status": status}


def there(*contents: tuple[int, str], owner: str = "me") -> list[Revision]:
    return [Revision(f"p-{number}", f"u{number}", "1", number, owner, digest) for number, digest in contents]


def told(decision: Decision) -> tuple[Any, ...]:
    removed = [each.sequence for each in decision.in_the_way], [each.sequence for each in decision.remove]
    return decision.running, decision.write, dict(decision.books), *removed, decision.trouble


CASES = {
    "the first": (pipeline(), good("a"), there(), (1, 1, {1: "a"}, [], [], "")),
    "nothing new": (pipeline({1: "a"}, 1), good("a"), there((1, "a")), (1, None, {1: "a"}, [], [], "")),
    "an edit": (pipeline({1: "a"}, 1), good("b"), there((1, "a")), (2, 2, {1: "a", 2: "b"}, [], [], "")),
    "an edit back": (
        pipeline({1: "a", 2: "b"}, 2), good("a"), there((1, "a"), (2, "b")), (3, 3, {1: "a", 2: "b", 3: "a"}, [], [], "")
    ),
    "killed before the status was written": (
        pipeline({1: "a"}, 1), good("b"), there((1, "a"), (2, "b")), (2, None, {1: "a", 2: "b"}, [], [], "")
    ),
    "killed then, and edited again": (
        pipeline({1: "a"}, 1), good("c"), there((1, "a"), (2, "b")), (2, 2, {1: "a", 2: "c"}, [2], [], "")
    ),
    "a bad edit": (pipeline({1: "a"}, 1), REFUSED, there((1, "a")), (1, None, {1: "a"}, [], [], "")),
    "never right": (pipeline(), REFUSED, there(), (None, None, {}, [], [], "")),
    "deleted by hand": (pipeline({1: "a", 2: "b"}, 2), good("b"), there((1, "a")), (2, 2, {1: "a", 2: "b"}, [], [], "")),
    "deleted, and the spec is bad": (
        pipeline({1: "a", 2: "b"}, 2), REFUSED, there((1, "a")), (1, None, {1: "a", 2: "b"}, [], [], "RevisionLost")
    ),
    "all deleted, and the spec is bad": (pipeline({1: "a"}, 1), REFUSED, there(), (None, None, {1: "a"}, [], [], "RevisionLost")),
    "an old one deleted": (pipeline({1: "a", 2: "b"}, 2), good("b"), there((2, "b")), (2, None, {1: "a", 2: "b"}, [], [], "")),
    "forged: the next": (pipeline({1: "a"}, 1), good("a"), there((1, "a"), (2, "x")), (1, None, {1: "a"}, [], [2], "")),
    "forged: the one that runs": (pipeline({1: "a"}, 1), good("a"), there((1, "x")), (1, 1, {1: "a"}, [1], [], "")),
    "forged: the one that runs, and the spec is bad": (
        pipeline({1: "a"}, 1), REFUSED, there((1, "x")), (None, None, {1: "a"}, [], [1], "RevisionLost")
    ),
    "forged: the pinned": (
        pipeline({1: "a"}, 1, pin=5), good("a"), there((1, "a"), (5, "x")), (1, None, {1: "a"}, [], [5], "RevisionNotFound")
    ),
    "forged: true content, another owner": (
        pipeline({1: "a"}, 1), good("a"), there((1, "a"), owner="you"), (1, 1, {1: "a"}, [1], [], "")
    ),
    "forged: a hash that is not its own": (pipeline({1: "a"}, 1), good("a"), there((1, "")), (1, 1, {1: "a"}, [1], [], "")),
    "of a pipeline of that name before": (pipeline(), good("a"), there((1, "a"), (2, "b"), owner="old"), (1, 1, {1: "a"}, [1], [2], "")),
    "pinned": (pipeline({1: "a", 2: "b"}, 2, pin=1), good("b"), there((1, "a"), (2, "b")), (1, None, {1: "a", 2: "b"}, [], [], "")),
    "pinned, and edited": (
        pipeline({1: "a"}, 1, pin=1), good("b"), there((1, "a")), (1, 2, {1: "a", 2: "b"}, [], [], "")
    ),
    "pinned, and the spec is bad": (pipeline({1: "a", 2: "b"}, 1, pin=1), REFUSED, there((1, "a"), (2, "b")), (1, None, {1: "a", 2: "b"}, [], [], "")),
    "pinned to the one that is made now": (pipeline(pin=1), good("a"), there(), (1, 1, {1: "a"}, [], [], "")),
    "a pin that is not there": (
        pipeline({3: "c", 4: "d"}, 3, pin=9), good("d"), there((3, "c"), (4, "d")), (3, None, {3: "c", 4: "d"}, [], [], "RevisionNotFound")
    ),
    "unpinned, with a bad edit": (
        pipeline({1: "a", 2: "b"}, 1), REFUSED, there((1, "a"), (2, "b")), (2, None, {1: "a", 2: "b"}, [], [], "")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_decision(name: str) -> None:
    body, verdict, revisions, expected = CASES[name]
    assert told(decide(body, verdict, revisions)) == expected
    # Again in the state that this leads to, there is nothing to do.
    decision = decide(body, verdict, revisions)
    gone = {*decision.in_the_way, *decision.remove}
    stands = [each for each in revisions if each not in gone]
    stands += there((decision.write, verdict.digest)) if decision.write else []
    body["status"] = pipeline(dict(decision.books), decision.running)["status"]
    after = decide(body, verdict, stands)
    assert told(after) == (decision.running, None, dict(decision.books), [], [], decision.trouble)


def test_ten_are_kept_with_the_running_and_the_pinned() -> None:
    books = {number: str(number) for number in range(1, 13)}
    decision = decide(pipeline(books, 1, pin=1), good("13"), there(*books.items()))
    assert (decision.running, decision.write) == (1, 13)
    assert sorted(decision.books) == [1, *range(4, 14)]
    assert [each.sequence for each in decision.remove] == [2, 3]
    asked = decide(pipeline(books, 12, pin=99), good("12"), there(*books.items()))
    assert sorted(asked.books) == list(range(3, 13))


def test_what_is_no_number_is_no_pin() -> None:
    body = pipeline({1: "a"}, 1)
    for wrong in (True, "1", 0, -1, 1.0, None):
        body["spec"] = {"revision": wrong}
        assert decide(body, good("a"), there((1, "a"))).pin is None
