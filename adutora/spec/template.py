"""`$(…)`: the grammar. A reference is a root and names, separated by dots; `$$(` is a literal `$(`.

    $(params.x)  $(run.date)  $(trigger.type)  $(stages.s.outputs.k)  $(item)

Whether a name exists is not asked here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

ROOTS: Final = ("params", "run", "trigger", "stages", "item")
RUN_VALUES: Final = ("id", "date", "scheduledAt", "intervalStart", "intervalEnd")
TRIGGER_VALUES: Final = ("type",)

_OPEN = re.compile(r"\$\$\(|\$\(")
_REF = re.compile(r"\$\(([A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_][A-Za-z0-9_-]*)*)\)")
_WORD = re.compile(r"[A-Za-z0-9_.-]*")
_BRACKET = re.compile(r"[()\n]")
# Longest part of a text in which the end of a `$(` is looked for, so that no text takes long.
MAX_REF: Final = 1000
_WHEN = re.compile(
    r"""\s*(?P<negate>!?)\s*(?P<ref>\$\([^()]*\))\s*(?:(?P<op>==|!=)\s*(?P<quote>['"])(?P<value>.*)(?P=quote)\s*)?""",
    re.DOTALL,
)
WHEN_FORMS: Final = "`$(x)`, `!$(x)`, `$(x) == 'y'` or `$(x) != 'y'`"


class TemplateError(ValueError):
    """A `$(…)` that cannot be read. `offset` counts characters from the text's start; `hint` is what is right.

    `start` and `end` are the part of the text that is spoilt.
    """

    def __init__(self, message: str, offset: int, hint: str | None = None, start: int = 0, end: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint
        self.start, self.end = start, end


@dataclass(frozen=True)
class Ref:
    """One `$(…)`: `$(stages.s.outputs.k)` has the root `stages` and the path `("s", "outputs", "k")`.

    `start` and `end` are its place in the text.
    """

    root: str
    path: tuple[str, ...]
    start: int
    end: int

    def __str__(self) -> str:
        """Return the reference as written."""
        return f"$({'.'.join((self.root, *self.path))})"


@dataclass(frozen=True)
class Template:
    """A text in parts: literal ones, with `$$(` already read as `$(`, and references."""

    parts: tuple[str | Ref, ...]

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The references, in order."""
        return tuple(part for part in self.parts if isinstance(part, Ref))

    @property
    def lone(self) -> Ref | None:
        """The reference, if the text is one and nothing else: its value keeps its type."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Ref) else None


@dataclass(frozen=True)
class Scan:
    """A text in parts, of which some cannot be read: `errors` stand in the place of references."""

    parts: tuple[str | Ref | TemplateError, ...]

    @property
    def refs(self) -> tuple[Ref, ...]:
        """The references that can be read, in order."""
        return tuple(part for part in self.parts if isinstance(part, Ref))

    @property
    def errors(self) -> tuple[TemplateError, ...]:
        """What cannot be read, in order."""
        return tuple(part for part in self.parts if isinstance(part, TemplateError))


def parse(text: str) -> Template:
    """Read a text. Raises TemplateError."""
    parts: list[str | Ref] = []
    for part in _parts(text):
        if isinstance(part, TemplateError):
            raise part
        parts.append(part)
    return Template(tuple(parts))


def scan(text: str) -> Scan:
    """Read a text as far as it goes: one error hides no other."""
    return Scan(tuple(_parts(text)))


def _parts(text: str) -> Iterator[str | Ref | TemplateError]:
    literal, position, empty = "", 0, True
    for match in _OPEN.finditer(text):
        if match.start() < position:
            continue
        literal += text[position : match.start()]
        if match[0] == "$$(":
            literal += "$("
            position = match.end()
            continue
        if literal:
            yield literal
        part = _ref(text, match.start())
        yield part
        literal, position, empty = "", part.end, False
    literal += text[position:]
    if literal or empty:
        yield literal


def _ref(text: str, start: int) -> Ref | TemplateError:
    plain = _REF.match(text, start)
    if plain is not None:
        names = plain[1].split(".")
        return Ref(names[0], tuple(names[1:]), start, plain.end())
    end = _balanced(text, start + 2)
    if end is None:
        hint = "close it with `)`, or write $$( for a literal $("
        return TemplateError("$( is not closed", start, hint, start, _WORD.match(text, start + 2).end())  # type: ignore[union-attr]
    inside = text[start + 2 : end - 1]
    nested = inside.find("$(")
    if nested >= 0:
        return TemplateError("a $(…) inside another", start + 2 + nested, "name one value", start, end)
    shown = inside if len(inside) <= 40 else inside[:37] + "…"
    hint = "write for example $(params.name), without spaces or operators; $$( for a literal $("
    return TemplateError(f"$({shown}) names nothing", start, hint, start, end)


def _balanced(text: str, start: int) -> int | None:
    """Return the end of a bracket that is open at `start`, if it is closed in the same line."""
    depth = 1
    for match in _BRACKET.finditer(text, start, start + MAX_REF):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if match[0] == "\n":
            return None
        if depth == 0:
            return match.end()
    return None


def misfit(ref: Ref) -> tuple[str, str] | None:
    """Say what is wrong with a reference's root and shape, and what would be right; None if nothing is."""
    shapes = {
        "params": (1, "$(params.name)"),
        "run": (1, "$(run." + "|".join(RUN_VALUES) + ")"),
        "trigger": (1, "$(trigger.type)"),
        "stages": (3, "$(stages.name.outputs.key)"),
        "item": (0, "$(item)"),
    }
    if ref.root not in shapes:
        return f"{ref} leads nowhere: there is no `{ref.root}`", "begin with " + ", ".join(ROOTS)
    length, shape = shapes[ref.root]
    if len(ref.path) != length or (ref.root == "stages" and ref.path[1] != "outputs"):
        return f"{ref} leads nowhere", f"write {shape}"
    return None


@dataclass(frozen=True)
class When:
    """A condition: the value of `ref` is true, or not with `negate`; with `op` it is compared to `value`."""

    ref: Ref
    negate: bool = False
    op: Literal["==", "!="] | None = None
    value: str | None = None


def parse_when(text: str) -> When:
    """Read the condition of a `when`. Raises TemplateError."""
    parse(text)
    match = _WHEN.fullmatch(text)
    if match is None or (match["negate"] and match["op"]):
        raise TemplateError("is no condition", 0, f"write {WHEN_FORMS}")
    if match["value"] is not None and match["quote"] in match["value"]:
        raise TemplateError("is no condition: a quote inside the text", match.start("value"), f"write {WHEN_FORMS}")
    op: Literal["==", "!="] | None = "==" if match["op"] == "==" else "!=" if match["op"] else None
    ref = _ref(text, match.start("ref"))
    assert isinstance(ref, Ref)  # noqa: S101 - the text was parsed above
    return When(ref, bool(match["negate"]), op, match["value"])
