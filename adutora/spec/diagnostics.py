"""What is wrong with a file: where, what, and what would be right. Rendered for people, programs and GitHub."""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning"]
# What a program does something about; people read the message.
Code = Literal["TooLarge", "TableConflict"]
MAX_MESSAGE = 1000
MAX_EXCERPT = 160


def printable(text: str) -> str:
    """Return `text` with every control and formatting character escaped: no file may steer a terminal."""
    return "".join(
        char
        if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        else char.encode("unicode_escape").decode()
        for char in text
    )


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `line` and `column` count from 1; `path` is dotted, such as `spec.stages[2].sql.query`."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str | None = None
    severity: Severity = "error"
    code: Code | None = None

    def __post_init__(self) -> None:
        """Make the words safe to print, and bound their length."""
        object.__setattr__(self, "message", printable(self.message)[:MAX_MESSAGE])
        if self.hint is not None:
            object.__setattr__(self, "hint", printable(self.hint)[:MAX_MESSAGE])

    @property
    def place(self) -> str:
        """`file:line:column`."""
        return f"{printable(self.file)}:{self.line}:{self.column}"

    def __str__(self) -> str:
        """Return one line: place, severity, message and hint."""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.place}: {self.severity}: {self.message}{hint}"


def arranged(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return them by file and position, each once. Files keep the order in which they first appear."""
    found = list(dict.fromkeys(diagnostics))
    order = {file: number for number, file in enumerate(dict.fromkeys(each.file for each in found))}
    return tuple(sorted(found, key=lambda each: (order[each.file], each.line, each.column, each.severity)))


def errors(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return those that are errors."""
    return tuple(each for each in diagnostics if each.severity == "error")


def render_text(diagnostics: Sequence[Diagnostic], sources: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return text for a terminal. `sources` holds each file's lines; with it every place is shown."""
    out: list[str] = []
    for each in diagnostics:
        out.append(f"{each.place}: {each.severity}: {each.message}")
        if each.hint:
            out.append(f"      right: {each.hint}")
        out.extend(_excerpt(each, (sources or {}).get(each.file, ())))
    return "".join(f"{line}\n" for line in out)


def _excerpt(each: Diagnostic, lines: Sequence[str]) -> list[str]:
    if not 0 < each.line <= len(lines):
        return []
    # A long line is shown from a little before the place.
    start = max(0, each.column - 1 - MAX_EXCERPT // 2) if len(lines[each.line - 1]) > MAX_EXCERPT else 0
    text = lines[each.line - 1][start : start + MAX_EXCERPT].replace("\t", " ")
    before = printable(text[: each.column - 1 - start])
    number = f"{each.line:>6}"
    return [f"{number} | {before}{printable(text[each.column - 1 - start :])}", f"       | {' ' * _width(before)}^"]


def _width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) != 0 for char in text)


def render_json(diagnostics: Sequence[Diagnostic]) -> str:
    """Return `{"errors": n, "warnings": n, "diagnostics": […]}`, one line."""
    bad = len(errors(diagnostics))
    document = {
        "errors": bad,
        "warnings": len(diagnostics) - bad,
        "diagnostics": [asdict(each) for each in diagnostics],
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return workflow commands that GitHub shows beside the lines of a change."""
    return "".join(
        f"::{each.severity} file={_property(each.file)},line={each.line},col={each.column}"
        f"::{_data(each.message + (f' (right: {each.hint})' if each.hint else ''))}\n"
        for each in diagnostics
    )


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
