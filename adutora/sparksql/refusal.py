"""What cannot be translated."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot import exp


class Refused(ValueError):  # noqa: N818 - it is a verdict on a text
    """A part of a statement that Spark cannot do, or would do otherwise. `offset` counts characters of the text."""

    def __init__(self, message: str, hint: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.message, self.hint, self.offset = message, hint, offset


OTHERWISE = "write it otherwise, or use engine: duckdb, or a `spark` stage"


def refuse(node: "exp.Expr", what: str, hint: str = OTHERWISE) -> Refused:
    """Return the refusal of a node, with its place in the text."""
    return Refused(what, hint, place(node))


def place(node: "exp.Expr") -> int | None:
    """Return where a node begins, as far as its parts know."""
    found = [each.meta["start"] for each in node.walk() if "start" in each.meta]
    return min(found) if found else None
