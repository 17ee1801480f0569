"""Records of a delimited text file, exactly: which bytes are one record, and what is wrong with those that are none.

DuckDB is the fast reader; it stops at the first broken record, and told to go on it may drop good rows after a quote
that never closes. This scanner is slower and loses nothing: every record is either copied, one a line, or set
aside with its line and the reason.
"""

import json
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from adutora.io.files.plain import Plain

_CHUNK = 4 << 20
_FLUSH = 4096  # records that are checked and written at once
# A closed quote followed by junk takes the lines up to there with it only if they are few; else the quote is the fault.
_SPAN = 64 << 10
_KEPT = 64 << 10  # bytes of a bad record that are kept with its reason


@dataclass(frozen=True)
class Shape:
    """What a record looks like. An empty `quote` means that every line is one value."""

    columns: int
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    newline: str = "\n"  # "\n" takes "\r\n" as well; "\r" for files of old Macs
    skip: int = 0  # lines at the top
    header: bool = True

    @cached_property
    def _field(self) -> str:
        end = r"\r\n" if self.newline == "\r" else r"\n"
        if not self.quote:
            return f"[^{end}]*+"
        q, e, d = (re.escape(text) for text in (self.quote, self.escape, self.delimiter))
        inner = f"(?:[^{q}]++|{q}{q})*+" if self.quote == self.escape else f"(?:[^{q}{e}]++|{e}.)*+"
        one = f"[^{d}{end}]*+" if len(self.delimiter) == 1 else f"(?:(?!{d})[^{end}])*+"
        # As DuckDB has it: one space may stand before a quote, and some after it.
        return f"(?: ?{q}{inner}{q} *+(?={d}|\r|\n|\\Z)|(?! ?{q}){one})"

    @cached_property
    def _end(self) -> str:
        return r"(?:\r\n?|\n)" if self.newline == "\r" else r"\n"

    def _compile(self, pattern: str) -> re.Pattern[bytes]:
        return re.compile(pattern.encode(), re.DOTALL)

    @cached_property
    def record(self) -> re.Pattern[bytes]:
        """A record with the right number of values, with its line end."""
        d = re.escape(self.delimiter)
        more = f"(?:{d}{self._field}){{{self.columns - 1}}}" if self.columns > 1 else ""
        # A value without quotes takes the \r of \r\n with it, a quoted one leaves it.
        return self._compile(f"{self._field}{more}\r?{self._end}")

    @cached_property
    def any_record(self) -> re.Pattern[bytes]:
        """A record with any number of values."""
        d = re.escape(self.delimiter)
        return self._compile(f"{self._field}(?:{d}{self._field})*+\r?{self._end}")

    @cached_property
    def values(self) -> re.Pattern[bytes]:
        """As many whole values as there are, each with its delimiter."""
        return self._compile(f"(?:{self._field}{re.escape(self.delimiter)})*+")

    @cached_property
    def value(self) -> re.Pattern[bytes]:
        """One value."""
        return self._compile(self._field)

    @cached_property
    def quoted(self) -> re.Pattern[bytes]:
        """A quoted value that closes, whatever follows it."""
        q, e = re.escape(self.quote), re.escape(self.escape)
        inner = f"(?:[^{q}]++|{q}{q})*+" if self.quote == self.escape else f"(?:[^{q}{e}]++|{e}.)*+"
        return self._compile(f" ?{q}{inner}{q} *+")

    def split(self, record: bytes) -> list[bytes]:
        """Return the values of one record without its line end, as they are written."""
        out: list[bytes] = []
        at = 0
        while True:
            match = self.value.match(record, at)
            if match is None:
                return [*out, record[at:]]
            out.append(match[0])
            at = match.end() + len(self.delimiter.encode())
            if match.end() >= len(record):
                return out

    def text(self, value: bytes) -> str:
        """Return what a written value means."""
        text, q = value.decode("utf-8"), self.quote
        if not q or not text.removeprefix(" ").startswith(q):
            return text
        text = text.strip(" ")
        if self.escape == q:
            return text[1:-1].replace(q + q, q)
        return re.sub(re.escape(self.escape) + "(.)", r"\1", text[1:-1], flags=re.DOTALL)


@dataclass
class Scan:
    """What a scan found. `clean` has the good records, one a line and no header; `bad` is JSON lines."""

    clean: Path
    bad_path: Path
    good: int = 0
    bad: int = 0
    longest: int = 0  # bytes of the longest good record
    first_bad: str | None = None


def count_records(plain: Plain, shape: Shape) -> int | None:
    """Count records, header included, by quotes and line ends alone; None where that cannot be told so.

    A lone quote inside a value misleads it: a count that differs from the reader's asks for a `Scanner`.
    """
    if shape.quote != shape.escape or shape.newline != "\n" or len(shape.quote.encode()) != 1:
        return None
    quote, total, inside, content = shape.quote.encode(), 0, False, False
    with plain.open() as file:
        for _ in range(shape.skip):
            _skip_line(file)
        while chunk := file.read(_CHUNK):
            for number, part in enumerate(chunk.split(quote)):
                inside ^= number > 0
                if inside:
                    content = True
                    continue
                first, *rest = part.split(b"\n")
                if not rest:
                    content = content or first.rstrip(b"\r") != b""
                    continue
                total += content or first.rstrip(b"\r") != b"" or shape.columns == 1
                total += len(rest) - 1
                if shape.columns > 1:
                    total -= sum(line in (b"", b"\r") for line in rest[:-1])
                content = rest[-1].rstrip(b"\r") != b""
    return total + content


def _skip_line(file: IO[bytes]) -> None:
    while True:
        part = file.readline(_CHUNK)
        if not part or part.endswith(b"\n"):
            return


class Scanner:
    """Goes through one file once."""

    def __init__(self, plain: Plain, shape: Shape, scan: Scan, max_record: int, *, fail_fast: bool = False) -> None:
        self._fail_fast = fail_fast
        self._plain, self._shape, self._scan, self._max = plain, shape, scan, max_record
        self._buffer, self._at, self._line, self._eof = b"", 0, 1, False
        self._pending: list[tuple[int, bytes]] = []
        self._header = shape.header

    def run(self) -> Scan:
        """Copy the good records and set the others aside."""
        with (
            self._plain.open() as self._file,
            self._scan.clean.open("wb") as self._out,
            self._scan.bad_path.open("w", encoding="utf-8") as self._bad,
        ):
            for _ in range(self._shape.skip):
                self._drop_line()
            while self._step():
                if self._fail_fast and self._scan.bad:
                    break
            self._flush()
        return self._scan

    def _more(self) -> bool:
        """Read on; False at the end of the file, where a last line end is made up if it lacks."""
        if self._eof:
            return False
        rest = self._buffer[self._at :]
        chunk = self._file.read(max(_CHUNK, len(rest)))
        if not chunk:
            self._eof = True
            newline = self._shape.newline.encode()
            if not rest or rest.endswith(newline):
                return False
            chunk = newline
        self._buffer, self._at = rest + chunk, 0
        return True

    def _step(self) -> bool:
        """Take the next record. Returns False at the end."""
        shape, match = self._shape, self._shape.record.match(self._buffer, self._at)
        # A \r at the buffer's end may be half of a line end.
        if match and match.end() == len(self._buffer) and shape.newline == "\r" and self._more():
            return True
        if match is None:
            return self._odd() if self._at < len(self._buffer) else self._more()
        record = match[0]
        if shape.columns > 1 and record.strip(b"\r\n") == b"":
            self._line, self._at = self._line + 1, match.end()
            return True
        if len(record) > self._max:
            self._reject(len(record), f"{len(record):,} bytes are more than {self._max:,}")
            return True
        self._take(record)
        return True

    def _take(self, record: bytes) -> None:
        if self._header:
            self._header = False
        else:
            self._pending.append((self._line, record))
            if len(self._pending) >= _FLUSH:
                self._flush()
        self._line += self._ends(record)
        self._at += len(record)

    def _ends(self, record: bytes) -> int:
        return record.count(b"\n") or record.count(b"\r")

    def _odd(self) -> bool:
        """Deal with what is no record: too little read, a blank line, or something to set aside."""
        shape, buffer, at = self._shape, self._buffer, self._at
        match = shape.any_record.match(buffer, at)
        if match is not None:
            if match[0].strip(b"\r\n") == b"":
                self._line, self._at = self._line + 1, match.end()
                return True
            self._ragged(match[0])
            return True
        if len(buffer) - at <= self._max and self._more():
            return True
        return self._broken()

    def _ragged(self, record: bytes) -> None:
        shape, body = self._shape, record.rstrip(b"\r\n")
        found, delimiter = len(shape.split(body)), shape.delimiter.encode()
        if found == shape.columns + 1 and body.endswith(delimiter):  # a delimiter after the last value is harmless
            if not self._header:
                self._pending.append((self._line, body.removesuffix(delimiter) + b"\n"))
            self._header = False
            self._line += self._ends(record)
            self._at += len(record)
            return
        values = "1 value" if found == 1 else f"{found} values"
        self._reject(len(record), f"{values} where {shape.columns} are expected")

    def _broken(self) -> bool:
        shape, buffer = self._shape, self._buffer
        if self._at >= len(buffer):
            return False
        end = self._line_end(self._at)
        if end < 0:
            self._too_long()
            return True
        match = shape.values.match(buffer, self._at)
        start = match.end() if match else self._at
        closed = shape.quoted.match(buffer, start) if shape.quote else None
        if closed is None:
            self._reject(end - self._at, "a quote is not closed")
            return True
        until = self._line_end(closed.end())
        if 0 <= until <= self._at + _SPAN:
            end = until
        self._reject(end - self._at, "text follows a closing quote")
        return True

    def _line_end(self, at: int) -> int:
        """Return the position past the line that `at` stands in, or -1."""
        return self._buffer.find(self._shape.newline.encode(), at) + 1 or -1

    def _too_long(self) -> None:
        """Drop a line that is longer than a record may be, without holding it."""
        newline = self._shape.newline.encode()
        raw, size = self._buffer[self._at : self._at + _KEPT], len(self._buffer) - self._at
        self._buffer, self._at = b"", 0
        while not self._eof:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                self._eof = True
                break
            end = chunk.find(newline)
            if end >= 0:
                size += end + 1
                self._buffer = chunk[end + 1 :]
                break
            size += len(chunk)
        self._set_aside(self._line, raw, f"{size:,} bytes are more than {self._max:,}", cut=True)
        self._line += 1

    def _drop_line(self) -> None:
        while (end := self._line_end(self._at)) < 0:
            self._at = len(self._buffer)
            if not self._more():
                return
        self._line, self._at = self._line + 1, end

    def _reject(self, size: int, why: str) -> None:
        raw = self._buffer[self._at : self._at + size]
        self._set_aside(self._line, raw, why)
        self._line += self._ends(raw)
        self._at += size

    def _set_aside(self, line: int, raw: bytes, why: str, *, cut: bool = False) -> None:
        scan = self._scan
        scan.bad += 1
        text = raw[:_KEPT].rstrip(b"\r\n").decode("utf-8", "backslashreplace")
        text += " …" if cut or len(raw) > _KEPT else ""
        reason = f"line {line}: {why}"
        scan.first_bad = scan.first_bad or reason
        row = {"reason": reason, "source": self._plain.shown, "raw": json.dumps(text, ensure_ascii=False)}
        self._bad.write(json.dumps(row) + "\n")

    def _flush(self) -> None:
        """Write what was taken, where it is UTF-8."""
        pending, self._pending = self._pending, []
        joined = b"".join(record for _, record in pending)
        try:
            joined.decode("utf-8")
        except UnicodeDecodeError:
            good = []
            for line, record in pending:
                if _is_utf8(record):
                    good.append((line, record))
                else:
                    self._set_aside(line, record, "is not UTF-8")
            pending, joined = good, b"".join(record for _, record in good)
        if b"\r" in joined:
            joined = b"".join(self._plain_record(record) for _, record in pending)
        self._out.write(joined)
        self._scan.good += len(pending)
        self._scan.longest = max(self._scan.longest, *(len(record) for _, record in pending), 0)

    def _plain_record(self, record: bytes) -> bytes:
        """Return a record that ends in a line feed, with its stray carriage returns inside quotes."""
        shape = self._shape
        body = record[:-1] if record[-1:] in (b"\n", b"\r") else record
        body = body[:-1] if body[-1:] == b"\r" else body
        if b"\r" not in body or not shape.quote:
            return body + b"\n"
        quote = shape.quote.encode()
        values = []
        for value in shape.split(body):
            # After two spaces and more a quote is a character like any other.
            if b"\r" in value and not shape.quoted.fullmatch(value):
                escaped = value.replace(quote, shape.escape.encode() + quote)
                values.append(quote + escaped + quote)
            else:
                values.append(value)
        return shape.delimiter.encode().join(values) + b"\n"


def _is_utf8(record: bytes) -> bool:
    try:
        record.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class _Finder(Scanner):
    """Stops at a record."""

    def __init__(self, plain: Plain, shape: Shape, number: int, max_record: int) -> None:
        super().__init__(plain, shape, Scan(Path(os.devnull), Path(os.devnull)), max_record)
        self._number, self.line = number, 0

    def _take(self, record: bytes) -> None:
        if not self._header:
            self._number -= 1
            if self._number == 0:
                self.line, self._eof = self._line, True
                self._buffer, self._at = b"", 0
                return
        self._header = False
        self._line += self._ends(record)
        self._at += len(record)


def line_of(plain: Plain, shape: Shape, number: int, max_record: int) -> int:
    """Return the line in which the good record of a number begins; records count from 1, after the header."""
    finder = _Finder(plain, shape, number, max_record)
    finder.run()
    return finder.line


def scan(plain: Plain, shape: Shape, clean: Path, max_record: int, *, fail_fast: bool = False) -> Scan:
    """Copy the good records of a file to `clean` and set the others aside beside it; or stop at one that is not."""
    result = Scan(clean, clean.with_suffix(".bad.jsonl"))
    return Scanner(plain, shape, result, max_record, fail_fast=fail_fast).run()
