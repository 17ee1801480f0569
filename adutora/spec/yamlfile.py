"""YAML to plain JSON values, with the position of every key and value.

The parser's events are read one by one: aliases are refused before anything is copied, and depth and size are
bounded before they cost anything.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from adutora.spec.diagnostics import Code, Diagnostic, Severity
from adutora.spec.yamlscalars import resolve, surprise

MAX_BYTES: Final = 200 * 1024
MAX_DEPTH: Final = 40
MAX_FINDINGS: Final = 200
_BREAKS_11: Final = (0x85, 0x2028, 0x2029)
_NOT_IN_YAML: Final = (*_BREAKS_11, 0xFFFE, 0xFFFF)
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Json = Any
Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a value stands, and its key if it has one. Lines and columns count from 0, indices in characters."""

    line: int
    column: int
    index: int
    end: int
    style: str | None = None
    key_line: int | None = None
    key_column: int | None = None


@dataclass(frozen=True)
class Surprise:
    """A plain scalar that YAML 1.1 reads differently: `text` as written, `reads` in words."""

    text: str
    reads: str
    is_key: bool


@dataclass
class Document:
    """One document of a file: its JSON value and where each part of it stands."""

    file: str
    source: str
    value: Json = None
    places: dict[Where, Place] = field(default_factory=dict)
    surprises: dict[Where, list[Surprise]] = field(default_factory=dict)
    # Values that were refused already, and stand in `value` as text.
    refused: set[Where] = field(default_factory=set)
    # Values of which nothing is known, and maps of which not every key is.
    lost: set[Where] = field(default_factory=set)
    partial: set[Where] = field(default_factory=set)

    def diagnostic(
        self,
        path: Where,
        message: str,
        hint: str | None = None,
        *,
        severity: Severity = "error",
        at_key: bool = False,
        offset: int | None = None,
        code: Code | None = None,
    ) -> Diagnostic:
        """Return a finding at `path`, or at the nearest part above it; `offset` points into a text value."""
        known = path
        while known and known not in self.places:
            known = known[:-1]
        place = self.places.get(known, Place(0, 0, 0, 0))
        line, column = place.line, place.column
        if (at_key or known != path) and place.key_line is not None and place.key_column is not None:
            line, column = place.key_line, place.key_column
        elif offset is not None and known == path:
            line, column = self._inside(path, offset, place)
        return Diagnostic(self.file, line + 1, column + 1, dotted(path), message, hint, severity, code)

    def written(self, path: Where) -> str | None:
        """Return a plain scalar as the file spells it; None for anything else."""
        place = self.places.get(path)
        if place is None or place.style is not None:
            return None
        return self.source[place.index : place.end].strip() or None

    def words(self, path: Where) -> str:
        """Return where `path` stands, for messages that name another place of the same document."""
        place = self.places.get(path)
        return f"line {place.line + 1 if place else 1}"

    def _inside(self, path: Where, offset: int, place: Place) -> tuple[int, int]:
        """Line and column of a character of a text value.

        Folding, indentation and quotes change white space only, so the characters that are none are counted.
        """
        value = self.value
        for step in path:
            value = value[step]
        if not isinstance(value, str):
            return place.line, place.column
        wanted = sum(not char.isspace() for char in value[:offset])
        index = _nth_visible(self.source, place, wanted)
        starts = self._line_starts
        line = bisect_right(starts, index) - 1
        return line, index - starts[line]

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        for index, char in enumerate(self.source):
            if char == "\n" or (char == "\r" and self.source[index + 1 : index + 2] != "\n"):
                starts.append(index + 1)
        return starts


def _nth_visible(source: str, place: Place, wanted: int) -> int:
    """Index in `source` of the visible character number `wanted` of the scalar at `place`."""
    index, end = place.index, min(place.end, len(source))
    if place.style in ("|", ">"):
        index = source.find("\n", index, end) + 1
    elif place.style in ("'", '"'):
        index, end = index + 1, end - 1
    while index < end:
        width, visible = _step(source, index, place.style)
        if visible and wanted == 0:
            return index
        wanted -= visible
        index += width
    return max(place.index, min(index, end))


def _step(source: str, index: int, style: str | None) -> tuple[int, bool]:
    """Width of the character that is written at `index`, and whether it is visible."""
    char = source[index]
    if style == "'" and char == "'":
        return 2, True
    if style == '"' and char == "\\":
        kind = source[index + 1 : index + 2]
        return {"x": 4, "u": 6, "U": 10}.get(kind, 2), kind not in "ntrvfN_LP \t\r\n"
    return 1, not char.isspace()


@dataclass
class YamlFile:
    """A file that was read: its documents, and what was wrong with it as YAML."""

    path: Path
    name: str
    text: str = ""
    documents: list[Document] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def dotted(path: Where) -> str:
    """Return `spec.stages[2].sql` for a path."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out


class _RefusedError(Exception):
    """The rest of the file cannot be read."""

    def __init__(self, mark: Any, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.mark, self.message, self.hint = mark, message, hint


def load(path: Path, name: str | None = None) -> YamlFile:
    """Read the file at `path`; `name` is how messages call it. Nothing is raised for what the file holds."""
    out = YamlFile(path, name or str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "is the path right?" if isinstance(error, FileNotFoundError) else None
        out.diagnostics.append(_at(out.name, 0, 0, f"cannot be read: {error.strerror or error}", hint))
        return out
    if len(raw) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES // 1024} KiB, the most that a cluster takes"
        out.diagnostics.append(_at(out.name, 0, 0, message, "split the pipeline; data belongs in files of its own"))
        return out
    try:
        out.text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n"), len(before) - (before.rfind(b"\n") + 1)
        message = f"is not UTF-8: byte 0x{raw[error.start]:02x}"
        out.diagnostics.append(_at(out.name, line, column, message, "save the file as UTF-8"))
        return out
    _read(out)
    return out


def loads(text: str, name: str = "<text>") -> YamlFile:
    """Read a text; as `load`."""
    out = YamlFile(Path(name), name, text)
    _read(out)
    return out


def _at(file: str, line: int, column: int, message: str, hint: str | None = None) -> Diagnostic:
    return Diagnostic(file, line + 1, column + 1, "", message, hint)


def _read(out: YamlFile) -> None:
    if out.text.startswith("\ufeff"):
        message, hint = "begins with a byte order mark (BOM)", "save the file as UTF-8 without BOM"
        out.diagnostics.append(_at(out.name, 0, 0, message, hint))
        out.text = out.text[1:]
    if _bad_character(out):
        return
    reader = _Reader(out)
    try:
        reader.documents()
    except _RefusedError as error:
        mark = error.mark
        out.diagnostics.append(_at(out.name, mark.line, mark.column, error.message, error.hint))
    except yaml.MarkedYAMLError as error:
        out.diagnostics.append(_syntax(out, error))
    except yaml.YAMLError as error:
        out.diagnostics.append(_at(out.name, 0, 0, f"is no YAML: {error}"))
    if not out.documents and not out.diagnostics:
        out.diagnostics.append(_at(out.name, 0, 0, "is empty", "`adutora init` writes a pipeline to begin with"))


def _bad_character(out: YamlFile) -> bool:
    for index, char in enumerate(out.text):
        code = ord(char)
        if (code < 32 and char not in "\t\n\r") or 0x7F <= code < 0xA0 or code in _NOT_IN_YAML:
            line = out.text.count("\n", 0, index)
            column = index - (out.text.rfind("\n", 0, index) + 1)
            message = f"has the control character U+{code:04X}, which YAML does not allow"
            hint = "remove it, or is this no text file?"
            if code in _BREAKS_11:
                message = f"has the character U+{code:04X}, which YAML 1.1 reads as the end of a line"
                hint = f'remove it, or write "\\u{code:04x}" in quotes'
            out.diagnostics.append(_at(out.name, line, column, message, hint))
            return True
    return False


def _syntax(out: YamlFile, error: yaml.MarkedYAMLError) -> Diagnostic:
    """Say what the parser found, in words that help where the cause is a common one."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = out.text.splitlines()
    text = lines[line] if line < len(lines) else ""
    message = f"is no YAML: {error.problem or error.context}"
    hint = None
    if "\t" in text[: len(text) - len(text.lstrip())]:
        message, hint = "is indented with a tab", "indent with spaces"
    elif "mapping values are not allowed" in message:
        hint = "put a text that holds `: ` in quotes, or look at the indentation"
    elif text[column : column + 1] in ("@", "`", "%", "*", "&"):
        hint = f"put a text that begins with {text[column]} in quotes"
    elif "unexpected end of stream" in message and error.context_mark and "quoted scalar" in str(error.context):
        line, column = error.context_mark.line, error.context_mark.column
        message, hint = "a quote is opened and not closed", "close it, or write the text as a block after `|`"
    elif error.context and "flow" in error.context and error.context_mark:
        start = error.context_mark
        hint = f"close the bracket opened in line {start.line + 1}; quote texts that hold a comma, colon or bracket"
    return _at(out.name, line, column, message, hint)


class _Reader:
    """Builds documents from the parser's events."""

    def __init__(self, out: YamlFile) -> None:
        self.out = out
        self.events: Iterator[Any] = yaml.parse(out.text, Loader=_Loader)
        self.document = Document(out.name, out.text)

    def documents(self) -> None:
        """Add every document that is not empty to the file."""
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.document = Document(self.out.name, self.out.text)
                value = self.value(next(self.events), (), None)
                if value is not None:
                    self.document.value = value
                    self.out.documents.append(self.document)

    def value(self, event: Any, path: Where, key: Any) -> Json:
        """Return the value that begins with `event`, and note where it stands."""
        self._refuse(event)
        start, end = event.start_mark, event.end_mark
        place = Place(
            start.line,
            start.column,
            start.index,
            end.index,
            getattr(event, "style", None) or None,
            key.start_mark.line if key else None,
            key.start_mark.column if key else None,
        )
        self.document.places[path] = place
        if len(path) > MAX_DEPTH:
            raise _RefusedError(start, f"is nested more than {MAX_DEPTH} levels deep", "no field is so deep")
        if isinstance(event, yaml.AliasEvent):
            self.document.lost.add(path)
            return None
        if event.tag is not None:
            self.document.refused.add(path)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path, is_key=False)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(event, path)

    def _refuse(self, event: Any) -> None:
        """Report what only YAML has. The value is read on, without it."""
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            self._report(mark, f"*{event.anchor} is an alias, which is refused", "write the value out again")
            return
        if event.anchor is not None:
            self._report(mark, f"&{event.anchor} is an anchor, which is refused", "write the value out where needed")
        if event.tag is not None:
            self._report(mark, f"{event.tag} is a tag, which is refused", "write the plain value; quotes make text")

    def _sequence(self, path: Where) -> list[Json]:
        out: list[Json] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            out.append(self.value(event, (*path, len(out)), None))
        return out

    def _mapping(self, start: Any, path: Where) -> dict[str, Json]:
        out: dict[str, Json] = {}
        lines: dict[str, int] = {}
        for key in self.events:
            if isinstance(key, yaml.MappingEndEvent):
                break
            name = self._key(key, path)
            if name is None:
                self.document.partial.add(path)
                self.value(next(self.events), (*path, "<<"), key)
                continue
            if name in lines:
                self._report(
                    key.start_mark,
                    f"the key `{name}` stands twice: here and in line {lines[name] + 1}",
                    "keep one of them",
                )
            lines.setdefault(name, key.start_mark.line)
            value = self.value(next(self.events), (*path, name), key)
            out[name] = value
            if start.flow_style and value is None and not self._has_colon(key):
                self._report(
                    key.start_mark,
                    f"`{name}` has no value: a comma inside {{ }} ends the text before it",
                    "put a text that holds a comma in quotes",
                )
                del out[name]
        return out

    def _has_colon(self, key: Any) -> bool:
        return re.match(r"\s*:", self.out.text[key.end_mark.index :][:200]) is not None

    def _key(self, event: Any, path: Where) -> str | None:
        """Name of a key; None if it names none."""
        self._refuse(event)
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            return None
        if not isinstance(event, yaml.ScalarEvent):
            hint = "a `{` that begins a text must be in quotes"
            raise _RefusedError(mark, "a key must be a text, not a list or a map", hint)
        if event.value == "<<" and event.implicit[0]:
            self._report(mark, "<< merges maps in YAML 1.1 only, and is refused", "write the fields out")
            return None
        self._scalar(event, (*path, event.value), is_key=True)
        return str(event.value)

    def _scalar(self, event: Any, path: Where, *, is_key: bool) -> Json:
        if not event.implicit[0] or event.style in ("'", '"', "|", ">"):
            return event.value
        reads = surprise(event.value)
        if reads is not None:
            self.document.surprises.setdefault(path, []).append(Surprise(event.value, reads, is_key))
        if is_key:
            return event.value
        try:
            return resolve(event.value)
        except ValueError as error:
            self._report(event.start_mark, str(error), "if a text is meant, put it in quotes")
            self.document.refused.add(path)
            return event.value[:100]

    def _report(self, mark: Any, message: str, hint: str) -> None:
        if len(self.out.diagnostics) >= MAX_FINDINGS:
            raise _RefusedError(mark, f"there are more than {MAX_FINDINGS} findings; mend these first")
        self.out.diagnostics.append(_at(self.out.name, mark.line, mark.column, message, hint))
