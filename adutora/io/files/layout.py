"""The layout of a CSV file, found by looking at its beginning: delimiter, quotes, header, names, likely types."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import duckdb

from adutora.errors import DataError
from adutora.io.duck import literal, quote
from adutora.io.files.infer import Writing, infer
from adutora.io.files.plain import Plain
from adutora.io.files.records import Shape
from adutora.spec.base import Csv

_HEAD = 1 << 20
_SLICE = 128 << 10
# Longest line and buffer that do for most files; longer records need more. DuckDB's own buffer is larger: its query of
# 10 million rows took 0.94 s with 16 MB and more, 1.09 s with 4 MB, and memory is what it costs (bench/README.md).
_LINE, _BUFFER = 1_000_000, 12_000_000
_DELIMITERS = (",", ";", "\t", "|")


@dataclass(frozen=True)
class Layout:
    """How one file is laid out. `types` are DuckDB types by column, None where no value was seen."""

    shape: Shape
    names: tuple[str, ...]
    gzipped: bool
    types: dict[str, str | None] = field(default_factory=dict, compare=False)
    named: bool = True  # the names come from the file, not from us
    line_end: str = "\n"  # as DuckDB must be told: its own guess is misled by a stray \r
    complete: bool = field(default=False, compare=False)  # the types were seen to hold for every value
    warning: str | None = field(default=None, compare=False)  # about the header


def find_layout(
    con: duckdb.DuckDBPyConnection, plain: Plain, csv: Csv, scratch: Path, limit: int, declared: Collection[str] = ()
) -> Layout:
    """Look at the file's beginning (and a little of its middle and end, for types).

    A first line that has all the `declared` names is a header, whatever it looks like.

    Raises DataError for a first line without an end within `limit` bytes, or one that is not UTF-8, and where the
    given delimiter is clearly not the file's.
    """
    body, skip, newline, whole = _body(plain, csv.skip, limit)
    sample = scratch / "files" / "sample.csv"
    sample.parent.mkdir(parents=True, exist_ok=True)
    sample.write_bytes(body.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    delimiter, quoting, escape, header = _sniff(con, sample, csv, body)
    shape = Shape(1, delimiter, quoting, escape, newline, skip, header)
    values = _first_record(plain, shape, body)
    if csv.header is None and not header:
        header = _names_all(values, declared) or (whole and body.count(newline.encode()) < 2 and _like_names(values))
    shape = replace(shape, columns=len(values), header=header)
    _check_delimiter(plain, csv, values)
    names = unique_names(values if header else [f"column{i}" for i in range(len(values))])
    _add_slices(plain, shape, sample)
    types = _types(con, sample, shape, names, csv)
    line_end = "\r\n" if newline == "\n" and b"\r\n" in body[: body.find(b"\n") + 1] else newline
    warning = _renamed(plain, skip + 1, values, names) if header else None
    return Layout(shape, names, plain.gzipped, types, header, line_end, whole, warning)


def _renamed(plain: Plain, line: int, values: list[str], names: tuple[str, ...]) -> str | None:
    """Return a warning where names of the header are taken already, so that columns were given others."""
    pairs = [
        f"column {index} is named {_trimmed(value)!r}, which is taken: it is read as {name!r}"
        for index, (value, name) in enumerate(zip(values, names, strict=True), 1)
        if _trimmed(value) not in ("", name)
    ]
    return f"{plain.shown}:{line}: {'; '.join(pairs)}" if pairs else None


def _body(plain: Plain, skip: int, limit: int) -> tuple[bytes, int, str, bool]:
    """Return the beginning past skipped and blank lines, how many those are, the line end, and whether that is all."""
    head = plain.head(_HEAD)
    more = head
    while len(more) == _HEAD and head.count(b"\n") < skip + 2 and b"\r" not in head and len(head) <= limit:
        with plain.open() as file:
            file.read(len(head))
            more = file.read(_HEAD)
        head += more
    newline = "\n" if b"\n" in head or b"\r" not in head else "\r"
    if len(head) > limit and newline.encode() not in head[:limit]:
        raise DataError(f"{plain.shown}: line 1 is longer than {limit:,} bytes", hint="is this a CSV file?")
    mark = newline.encode()
    lines = head.split(mark)
    while skip < len(lines) - 1 and not lines[skip].strip():
        skip += 1
    body = mark.join(lines[skip:])
    if not body.strip():
        raise DataError(f"{plain.shown}: is empty", hint="not even a header line is there")
    whole = len(more) < _HEAD
    end = body.rfind(mark) + 1
    return (body if whole or not end else body[:end]), skip, newline, whole


def _sniff(con: duckdb.DuckDBPyConnection, sample: Path, csv: Csv, body: bytes) -> tuple[str, str, str, bool]:
    given = {"delim": csv.delimiter, "quote": csv.quote, "escape": csv.escape}
    options = [f"{key} = {literal(value)}" for key, value in given.items() if value is not None]
    if csv.header is not None:
        options.append(f"header = {str(csv.header).lower()}")
    fixed = "skip = 0, comment = '', null_padding = false, ignore_errors = true, all_varchar = true, sample_size = 4096"
    first = body.split(b"\n", 1)[0].decode("utf-8", "replace")
    guess = max(_DELIMITERS, key=lambda each: (first.count(each), each == ","))
    try:
        found = con.execute(
            f"SELECT Delimiter, Quote, Escape, HasHeader FROM sniff_csv({literal(str(sample))}, {fixed}"
            f"{''.join(', ' + option for option in options)})"
        ).fetchall()
    except duckdb.Error:
        found = []
    delimiter, quoting, escape, header = found[0] if found else (guess, '"', '"', True)
    quoting = csv.quote or (quoting if quoting in ('"', "'") else '"')
    escape = csv.escape or (escape if escape == "\\" else quoting)
    return csv.delimiter or delimiter, quoting, escape, bool(header) if csv.header is None else csv.header


def _first_record(plain: Plain, shape: Shape, body: bytes) -> list[str]:
    match = shape.any_record.match(body if body.endswith(shape.newline.encode()) else body + shape.newline.encode())
    record = match[0] if match else body.split(shape.newline.encode(), 1)[0]
    try:
        return [shape.text(value) for value in shape.split(record.rstrip(b"\r\n"))]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{plain.shown}: line {shape.skip + 1} is not UTF-8: {error}", hint="set csv.encoding"
        ) from error


def _names_all(values: list[str], declared: Collection[str]) -> bool:
    return bool(declared) and {name.casefold() for name in declared} <= {_trimmed(value).casefold() for value in values}


def _like_names(values: list[str]) -> bool:
    """Say whether the only line of a file names columns: to DuckDB a `t` in it is a boolean, and all of it data."""
    return all(re.fullmatch(r"[^\W\d]\w*", _trimmed(value)) and value not in ("true", "false") for value in values)


def _check_delimiter(plain: Plain, csv: Csv, values: list[str]) -> None:
    if csv.delimiter is None or len(values) > 1:
        return
    better = [each for each in _DELIMITERS if each != csv.delimiter and values[0].count(each) > 0]
    if better:
        raise DataError(
            f"{plain.shown}: the delimiter {csv.delimiter!r} does not stand in line 1, but {better[0]!r} does",
            hint=f"set csv.delimiter to {better[0]!r}, or leave it out",
        )


def unique_names(values: list[str]) -> tuple[str, ...]:
    """Return names of columns: trimmed, never empty, and unique whatever their case, as SQL and Delta need them."""
    taken = {"_source"}
    out = []
    for index, value in enumerate(values):
        name = base = _trimmed(value) or f"column{index}"
        count = 0
        while name.casefold() in taken:
            count += 1
            name = f"{base}_{count}"
        taken.add(name.casefold())
        out.append(name)
    return tuple(out)


def _trimmed(value: str) -> str:
    return re.sub(r"[\x00-\x1f]+", " ", value).strip()


def _add_slices(plain: Plain, shape: Shape, sample: Path) -> None:
    """Add lines from the middle and the end, so that types that change late are seen early.

    Only slices without a quote: in them every line end is one of a record.
    """
    size = plain.path.stat().st_size
    if plain.gzipped or size < 4 * _HEAD or shape.newline != "\n":
        return
    with plain.path.open("rb") as file, sample.open("ab") as out:
        for at in (size // 3, size * 2 // 3, size - _SLICE):
            file.seek(at)
            part = file.read(_SLICE)
            lines = part[part.find(b"\n") + 1 : part.rfind(b"\n") + 1]
            if shape.quote.encode() not in lines:
                out.write(lines.replace(b"\r", b""))


def _types(
    con: duckdb.DuckDBPyConnection, sample: Path, shape: Shape, names: tuple[str, ...], csv: Csv
) -> dict[str, str | None]:
    text = dict.fromkeys(names, "VARCHAR")
    layout = Layout(replace(shape, skip=0), names, gzipped=False)
    more = ", ignore_errors = true" + line_sizes(sample.stat().st_size)
    call = read_call([sample], layout, text, csv, more)
    return infer(con, call, names, Writing.of(csv))


def line_sizes(longest: int) -> str:
    """Return options of `read_csv` for records of up to so many bytes."""
    longest = max(longest, _LINE)  # DuckDB heeds a buffer's size only beside a line's
    return f", max_line_size = {longest + 1024}, buffer_size = {max(_BUFFER, 2 * longest + 4096)}"


def read_call(paths: list[Path], layout: Layout, types: dict[str, str], csv: Csv, more: str = "") -> str:
    """Return `read_csv(…)` with everything said and nothing left to be found."""
    shape = layout.shape
    files = ", ".join(literal(str(path)) for path in paths)
    line_end = layout.line_end.replace("\r", "\\r").replace("\n", "\\n")
    columns = ", ".join(f"{quote(name)}: {literal(kind)}" for name, kind in types.items())
    sizes = "" if "buffer_size" in more else line_sizes(0)
    nulls = ", ".join(literal(text) for text in dict.fromkeys(["", *(csv.nullValues or [])]))
    return (
        f"read_csv([{files}], auto_detect = false, columns = {{{columns}}}, delim = {literal(shape.delimiter)}, "
        f"quote = {literal(shape.quote)}, escape = {literal(shape.escape)}, header = {str(shape.header).lower()}, "
        f"skip = {shape.skip}, nullstr = [{nulls}], comment = '', new_line = '{line_end}', "
        f"compression = '{'gzip' if layout.gzipped else 'none'}'{sizes}{more})"
    )
