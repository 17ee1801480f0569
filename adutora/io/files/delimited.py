"""CSV: a lazy view where all must fit, a checked copy where what does not fit is set aside."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb

from adutora.errors import DataError
from adutora.io.duck import literal, quote, translate
from adutora.io.files.infer import (
    BIG,
    BOOLEAN,
    DATE,
    DOUBLE,
    LONG,
    TEXT,
    TIMESTAMP,
    ZONED,
    Writing,
    infer,
    merged,
)
from adutora.io.files.layout import Layout, find_layout, line_sizes, read_call
from adutora.io.files.plain import Plain, scratch_path
from adutora.io.files.reading import SOURCE, Job, Reading, add_rejects, finish, kept_columns
from adutora.io.files.records import count_records, line_of, scan

_LOOKED_AT = 32  # files of one header whose values are looked at for types
_PATH = "__adutora_path"
_GIVE_UP = (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.PermissionException, duckdb.InterruptException)

_LABELS = {
    LONG: "whole number",
    BIG: "whole number",
    DOUBLE: "number",
    DATE: "date",
    TIMESTAMP: "timestamp",
    ZONED: "timestamp with zone",
    BOOLEAN: "true or false",
}

Group = list[tuple[Plain, Layout]]


def layouts(job: Job, plains: Sequence[Plain]) -> Group:
    """Find the layout of each file. Files that begin with the same line are laid out alike."""
    known: dict[tuple[bytes, bool], list[Layout]] = {}
    out: Group = []
    dialect, limit = job.options.dialect, job.options.max_record
    declared = [column.name for column in job.options.columns or ()] or list(job.options.types)
    for plain in plains:
        lines = plain.head(64 << 10).split(b"\n", dialect.skip + 1)
        same = known.setdefault((lines[min(dialect.skip, len(lines) - 1)], plain.gzipped), [])
        if not same or len(same) < _LOOKED_AT or not same[0].named:
            same.append(find_layout(job.con, plain, dialect, job.scratch, limit, declared))
            out.append((plain, same[-1]))
        else:  # enough were looked at
            out.append((plain, replace(same[0], complete=False, warning=None)))
    return out


def grouped(found: Group) -> list[Group]:
    """Return the files by layout: those of one group are read by one call."""
    groups: dict[Layout, Group] = {}
    for plain, layout in found:
        groups.setdefault(layout, []).append((plain, layout))
    return list(groups.values())


def all_types(found: Group) -> dict[str, str | None]:
    """Return the columns of all files, in order, with the type that holds in each of them."""
    kinds: dict[str, list[str | None]] = {}
    for _, layout in found:
        for name in layout.names:
            kinds.setdefault(_same(kinds, name), []).append(layout.types.get(name))
    return {name: merged(each) for name, each in kinds.items()}


def _same(names: dict[str, list[str | None]], name: str) -> str:
    return next((each for each in names if each.casefold() == name.casefold()), name)


def _warnings(found: Group) -> list[str]:
    """Return what is to be said about headers: of the first file, and how many others there are like it."""
    told = [layout.warning for _, layout in found if layout.warning]
    more = f" (and so in {len(told) - 1} more files)" if len(told) > 1 else ""
    return [told[0] + more] if told else []


class StrictCsv:
    """A view over `read_csv` in which every row fits. Nothing is read before the view is."""

    def __init__(self, job: Job, plains: Sequence[Plain]) -> None:
        self._con, self._options, self._scratch, self._relation = job.con, job.options, job.scratch, job.relation
        self._writing = Writing.of(job.options.dialect)
        self._found = layouts(job, plains)
        self._types = {name: kind or TEXT for name, kind in all_types(self._found).items()}
        self._sure = all(layout.complete for _, layout in self._found)
        self._scanned = self._widened = False
        self._more = ""
        self._create()

    @property
    def reading(self) -> Reading:
        """The files, and the way to repair."""
        copies = [self._copy(plain) for plain, _ in self._found]
        readable = [plain.path for plain, _ in self._found] + copies
        files = [plain.source for plain, _ in self._found]
        return Reading(files, readable, name=self._relation, repair=self.repair, warnings=_warnings(self._found))

    def _copy(self, plain: Plain) -> Path:
        return scratch_path(self._scratch, plain.source, "clean.csv")

    def _create(self) -> None:
        body = self._union(self._types)
        self._con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(self._relation)} AS {body}")

    def _union(self, types: Mapping[str, str]) -> str:
        return " UNION ALL BY NAME ".join(self._select(group, types) for group in grouped(self._found))

    def _select(self, group: Group, types: Mapping[str, str]) -> str:
        layout = group[0][1]
        folded = {name.casefold(): kind for name, kind in types.items()}
        kinds = {name: folded[name.casefold()] for name in layout.names}
        read = {name: kind if self._is_native(kind) else TEXT for name, kind in kinds.items()}
        columns = [self._column(name, kinds[name], read[name]) for name in layout.names]
        more = self._more
        if self._options.source_column:
            columns.append(f"{_shown([plain for plain, _ in group])} AS {quote(SOURCE)}")
            more += f", filename = {literal(_PATH)}"
        call = read_call([plain.path for plain, _ in group], layout, read, self._options.dialect, more)
        return f"SELECT {', '.join(columns)} FROM {call}"

    def _is_native(self, kind: str) -> bool:
        """Say whether DuckDB's reader may convert: it rounds `1.5` to a long and cuts the time off a date."""
        plain = self._writing.plain("x", kind) == "x"
        return kind == TEXT or (plain and (self._sure or kind == DOUBLE))

    def _column(self, name: str, kind: str, read: str) -> str:
        x = quote(name)
        if kind == read:
            return x
        value = f"TRY_CAST({self._writing.plain(x, kind)} AS {kind})"
        if not self._sure:
            message = f"{literal(f'CSV value of {self._relation}.{name}: ')} || {x}"
            value = f"CASE WHEN {x} IS NULL OR {self._writing.is_a(x, kind)} THEN {value} ELSE error({message}) END"
        return f"{value} AS {x}"

    def repair(self, error: BaseException) -> None:
        """Widen types that later rows outgrew, or find what is wrong; see `Reading`."""
        text = str(error)
        if isinstance(error, _GIVE_UP) or "CSV" not in text:
            raise error
        if ("converting column" in text or "CSV value of" in text) and not self._widened:
            self._widened = True
            self._widen()
        elif not self._scanned:
            self._scanned = True
            self._scan()
        else:
            raise DataError(_headline(text, [plain for plain, _ in self._found])) from error

    def _widen(self) -> None:
        """Look at every value and take types that hold for all. A number that turns out to be text is an error."""
        try:
            wider = self._types_of_all()
        except duckdb.Error:
            self._scanned = True
            self._scan()
            wider = self._types_of_all()
        for name, kind in wider.items():
            if kind == TEXT and self._types[name] != TEXT:
                raise self._outlier(name, self._types[name])
        self._types, self._sure = {name: kind or TEXT for name, kind in wider.items()}, True
        self._create()

    def _types_of_all(self) -> dict[str, str | None]:
        texts = dict.fromkeys(self._types, TEXT)
        return infer(self._con, f"({self._union(texts)})", list(self._types), self._writing, self._types)

    def _outlier(self, name: str, kind: str) -> DataError:
        """Return the error for the first value of a column that is not of the type of those before."""
        x = quote(name)
        loose = DOUBLE if kind in (LONG, BIG) else kind
        for plain, layout in self._found:
            if name not in layout.names:
                continue
            call = read_call([plain.path], layout, dict.fromkeys(layout.names, TEXT), self._options.dialect, self._more)
            for wanted in (loose, kind):
                rows = self._con.execute(
                    f"SELECT n, {x} FROM (SELECT row_number() OVER () AS n, {x} FROM {call}) "
                    f"WHERE {x} IS NOT NULL AND NOT {self._writing.is_a(x, wanted)} ORDER BY n LIMIT 1"
                ).fetchall()
                if rows:
                    line = line_of(plain, layout.shape, rows[0][0], self._options.max_record)
                    return DataError(
                        f"{plain.shown}:{line}: column {name}: {rows[0][1][:100]!r} is no {_LABELS[wanted]}, "
                        "as the values before are",
                        hint=f"declare `columns`, with {name} as string or with its type to set such rows aside",
                    )
        return DataError(f"{self._found[0][0].shown}: column {name} has values of several types")

    def _scan(self) -> None:
        """Go through the files record by record; where all are right, read clean copies instead."""
        found: Group = []
        longest = 0
        for plain, layout in self._found:
            limit = self._options.max_record
            result = scan(plain, layout.shape, self._copy(plain), limit, fail_fast=True)
            if result.bad:
                way = "set csv.encoding" if "UTF-8" in (result.first_bad or "") else "mend the file"
                hint = f"{way}, or declare `columns` to set such rows aside"
                raise DataError(f"{plain.shown}: {result.first_bad}", hint=hint)
            longest = max(longest, result.longest)
            found.append((Plain(plain.source, result.clean), _clean(layout)))
        self._found, self._more = found, line_sizes(longest)
        self._create()


def _clean(layout: Layout) -> Layout:
    shape = replace(layout.shape, header=False, skip=0, newline="\n")
    return replace(layout, shape=shape, gzipped=False, line_end="\n")


def _shown(plains: Sequence[Plain]) -> str:
    """Return SQL for the path that users know, of a row that has the path on disk."""
    if len(plains) == 1:
        return literal(plains[0].shown)
    pairs = ", ".join(f"{literal(str(plain.path))}: {literal(plain.shown)}" for plain in plains)
    return f"MAP {{{pairs}}}[{_PATH}]"


def _headline(text: str, plains: Sequence[Plain]) -> str:
    """Return DuckDB's message as one line: file, line, column and value."""
    plain = next((each for each in plains if str(each.path) in text), plains[0])
    line = re.search(r"CSV Error on Line: (\d+)", text)
    where = f"{plain.shown}:{line[1]}" if line else plain.shown
    lines = [each for each in text.splitlines() if each.strip() and not each.startswith(("Original Line", "Possible"))]
    return f"{where}: {lines[1] if line and len(lines) > 1 else lines[0]}"


def read_tolerant(job: Job, plains: Sequence[Plain]) -> Reading:
    """Copy the files into a table, set aside what does not fit, and count every record of every file."""
    con, options = job.con, job.options
    found = layouts(job, plains)
    types = all_types(found)
    where = found[0][0].shown if len(found) == 1 else "the files"
    targets = kept_columns(list(types), options, where, named=all(layout.named for _, layout in found))
    for plain, layout in found:
        kept_columns(layout.names, replace(options, types={}), plain.shown, named=layout.named)
    raw = job.helper("raw")
    columns = ", ".join(f"{quote(name)} VARCHAR" for name in [*types, SOURCE])
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(raw)} ({columns})")
    total = sum(_load_group(job, group, raw) for group in grouped(found))
    inferred: dict[str, str] = {}
    if not options.columns:
        free = {name: kind for name, kind in types.items() if name not in targets}
        holds = infer(con, quote(raw), list(free), Writing.of(options.dialect), free)
        inferred = {name: kind or TEXT for name, kind in holds.items()}
    finish(job, raw, targets, inferred)
    return Reading([plain.source for plain, _ in found], [], total, warnings=_warnings(found))


def _load_group(job: Job, group: Group, raw: str) -> int:
    """Load files of one layout into `raw`. Returns the number of their records, good or set aside."""
    con, before = job.con, job.count(raw)
    con.begin()
    try:
        _insert(job, [plain for plain, _ in group], group[0][1], raw)
    except _GIVE_UP as error:
        con.rollback()
        raise translate(error, "reading files") from error
    except duckdb.Error:
        con.rollback()  # something is wrong in one of them
    else:
        counts = [count_records(plain, layout.shape) for plain, layout in group]
        expected = sum(max((number or 0) - group[0][1].shape.header, 0) for number in counts)
        if None not in counts and job.count(raw) - before == expected:
            con.commit()
            return expected
        con.rollback()
    return sum(_load_scanned(job, plain, layout, raw) for plain, layout in group)


def _load_scanned(job: Job, plain: Plain, layout: Layout, raw: str) -> int:
    clean = scratch_path(job.scratch, plain.source, "clean.csv")
    result = scan(plain, layout.shape, clean, job.options.max_record)
    before = job.count(raw)
    _insert(job, [Plain(plain.source, clean)], _clean(layout), raw, line_sizes(result.longest))
    read = job.count(raw) - before
    if read != result.good:
        raise DataError(
            f"{plain.shown}: {result.good:,} rows are in it, but {read:,} were read",
            hint="set csv.quote and csv.escape as the file is written",
        )
    add_rejects(job, result.bad_path)
    clean.unlink()
    result.bad_path.unlink()
    return result.good + result.bad


def _insert(job: Job, plains: list[Plain], layout: Layout, raw: str, more: str = "") -> None:
    names = ", ".join(quote(name) for name in layout.names)
    texts = dict.fromkeys(layout.names, TEXT)
    if len(plains) > 1:
        more += f", filename = {literal(_PATH)}"
    call = read_call([plain.path for plain in plains], layout, texts, job.options.dialect, more)
    shown = f"{_shown(plains)} AS {quote(SOURCE)}"
    job.con.execute(f"INSERT INTO {quote(raw)} BY NAME SELECT {names}, {shown} FROM {call}")
