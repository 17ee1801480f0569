"""`$(…)`: the grammar. A reference is a root and names, separated by dots; `$$(` is a literal `$(`.

    $(params.x)  $(run.date)  $(trigger.type)  $(stages.s.outputs.k)  $(item)

Whether a name exists is not asked here.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

ROOTS: Final = ("params", "run", "trigger", "stages", "item")
RUN_VALUES: Final = ("id", "date", "scheduledAt", "intervalStart", "intervalEnd")
TRIGGER_VALUES: Final = ("type",)

_OPEN = re.compile(r"\$\$\(|\$\(")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_WHEN = re.compile(
    r"""\s*(?P<negate>!?)\s*(?P<ref>\$\([^()]*\))\s*(?:(?P<op>==|!=)\s*(?P<quote>['"])(?P<value>.*)(?P=quote)\s*)?""",
    re.DOTALL,
)
WHEN_FORMS: Final = "`$(x)`, `!$(x)`, `$(x) == 'y'` or `$(x) != 'y'`"


class TemplateError(ValueError):
    """A `$(…)` that cannot be read. `offset` counts characters from the text's start; `hint` is what is right."""

    def __init__(self, message: str, offset: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.hint = hint


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


def parse(text: str) -> Template:
    """Read a text. Raises TemplateError."""
    parts: list[str | Ref] = []
    literal, position = "", 0
    for match in _OPEN.finditer(text):
        if match.start() < position:
            continue
        literal += text[position : match.start()]
        if match[0] == "$$(":
            literal += "$("
            position = match.end()
            continue
        ref = _ref(text, match.start())
        parts += [literal, ref] if literal else [ref]
        literal, position = "", ref.end
    literal += text[position:]
    if literal or not parts:
        parts.append(literal)
    return Template(tuple(parts))


def _ref(text: str, start: int) -> Ref:
    end = text.find(")", start)
    inside = text[start + 2 : end if end >= 0 else len(text)]
    nested = inside.find("$(")
    if nested >= 0 and (end >= 0 or "\n" not in inside[:nested]):
        raise TemplateError("a $(…) inside another", start + 2 + nested, "name one value")
    if end < 0:
        raise TemplateError("$( is not closed", start, "close it with `)`, or write $$( for a literal $(")
    names = inside.split(".")
    if not all(_NAME.fullmatch(name) for name in names):
        shown = inside if len(inside) <= 40 else inside[:37] + "…"
        hint = "write for example $(params.name), without spaces or operators; $$( for a literal $("
        raise TemplateError(f"$({shown}) names nothing", start, hint)
    return Ref(names[0], tuple(names[1:]), start, end + 1)


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
    return When(ref, bool(match["negate"]), op, match["value"])
