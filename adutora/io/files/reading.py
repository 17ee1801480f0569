"""What reading files gives back, and how the rows of a raw relation become columns of their types."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from adutora.errors import DataError
from adutora.io import casts
from adutora.io.casts import Target
from adutora.io.duck import literal, quote
from adutora.io.files.infer import Writing
from adutora.io.files.options import ReadOptions
from adutora.io.objects import SourceFile
from adutora.spec.nearest import did_you_mean

SOURCE = "_source"
_BATCH = 10_000


@dataclass(frozen=True)
class Job:
    """One call of `read_files`: where to, and how."""

    con: duckdb.DuckDBPyConnection
    options: ReadOptions
    relation: str
    rejects: str
    scratch: Path

    def helper(self, kind: str) -> str:
        """Return the name of a relation of our own beside the one that is made."""
        return f"__adutora_{kind}_{self.relation}"

    def count(self, relation: str) -> int:
        """Return the number of rows of a relation."""
        return count(self.con, relation)


@dataclass
class Reading:
    """Files that stand behind a relation.

    `rows_in` is the number of records in the files, counted apart from the reader where that can be done; None for a
    relation that is read only when it is asked. `readable` are the local paths that a sealed connection must be
    allowed, `name` is the relation. `repair`, where there is one, takes an error that came while the relation was
    read: it makes the relation anew so that reading may be tried again, or raises DataError that says what is wrong
    and where.
    """

    files: Sequence[SourceFile]
    readable: Sequence[Path]
    rows_in: int | None = None
    name: str = ""
    repair: Callable[[BaseException], None] | None = field(default=None, repr=False)
    warnings: list[str] = field(default_factory=list)


def make_rejects(con: duckdb.DuckDBPyConnection, rejects: str) -> None:
    """Create the empty table of what was set aside."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE {quote(rejects)} (_reason VARCHAR, _source VARCHAR, _row VARCHAR)")


def add_rejects(job: Job, path: Path) -> None:
    """Add what a scan set aside: JSON lines of reason, source and raw."""
    for rows in _batches(path):
        columns = {name: pa.array([row[name] for row in rows], pa.string()) for name in ("reason", "source", "raw")}
        job.con.register("__adutora_bad", pa.table(columns))
        job.con.execute(f"INSERT INTO {quote(job.rejects)} SELECT reason, source, raw FROM __adutora_bad")
        job.con.unregister("__adutora_bad")


def _batches(path: Path) -> Iterator[list[dict[str, str]]]:
    rows: list[dict[str, str]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            rows.append(json.loads(line))
            if len(rows) == _BATCH:
                yield rows
                rows = []
    if rows:
        yield rows


def count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    """Return the number of rows of a relation."""
    return int(con.execute(f"SELECT count(*) FROM {quote(relation)}").fetchall()[0][0])


def described(con: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Return names and DuckDB types of a relation's columns."""
    return {row[0]: str(row[1]) for row in con.execute(f"DESCRIBE {quote(relation)}").fetchall()}


def kept_columns(have: Sequence[str], options: ReadOptions, where: str, *, named: bool = True) -> dict[str, Target]:
    """Return the declared columns by the names that they have in the file.

    Names match whatever their case. Raises DataError, with the nearest name, for a declared column that is not there.
    """
    by_name = {name.casefold(): name for name in have}
    out: dict[str, Target] = {}
    columns = list(options.columns or [])
    if columns and not named:
        if len(columns) != len(have):
            raise DataError(
                f"{where}: has {len(have)} columns and no header, but {len(columns)} are declared",
                hint="set csv.header or csv.delimiter",
            )
        return {name: Target.of(column) for name, column in zip(have, columns, strict=True)}
    for column in columns:
        name = by_name.get(column.name.casefold())
        if name is None:
            raise _missing(column.name, have, where, len(columns))
        out[name] = Target.of(column)
    for name, kind in options.types.items():
        found = by_name.get(name.casefold())
        if found is not None and found not in out:
            out[found] = Target(name, casts.duck_type(kind), kind)
    return out


def _missing(name: str, have: Sequence[str], where: str, declared: int) -> DataError:
    if len(have) == 1 and declared > 1:
        return DataError(
            f"{where}: only one column, {have[0]!r}, was found where {declared} are declared",
            hint="set csv.delimiter to what stands between the values",
        )
    return DataError(f"{where}: has no column {name!r}", hint=did_you_mean(name, have))


def finish(job: Job, raw: str, targets: Mapping[str, Target], inferred: Mapping[str, str] | None = None) -> None:
    """Turn table `raw` into the relation: `targets` are cast and may be rejected, `inferred` hold for every row.

    `raw` has text or typed columns and `_source`; it goes when it is needed no more.
    """
    con, held = job.con, inferred or {}
    have = {name: kind for name, kind in described(con, raw).items() if name != SOURCE}
    plain = job.helper("plain")
    con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(plain)} AS {_plainly(job, raw, have, targets, held)}")
    query = casts.select({**have, SOURCE: "VARCHAR"}, dict(targets), quote(plain), "__adutora_row")
    names = [target.name for target in targets.values()] if job.options.columns else _names(have, targets)
    source = f"({query})"
    if any(_can_fail(have[name], target) for name, target in targets.items()):
        source = f"{_judge(job, raw, plain, query)} WHERE __adutora_reason IS NULL"
    out = [_typed(name, held.get(name)) for name in names]
    out += [quote(SOURCE)] if job.options.source_column or not out else []  # a relation has a column
    con.execute(f"CREATE OR REPLACE TEMP VIEW {quote(job.relation)} AS SELECT {', '.join(out)} FROM {source}")


def _plainly(
    job: Job, raw: str, have: Mapping[str, str], targets: Mapping[str, Target], inferred: Mapping[str, str]
) -> str:
    """Return the query that spells texts so that a cast reads them, and keeps the row as it came."""
    writing = Writing.of(job.options.dialect)
    kinds = {**{name: target.type for name, target in targets.items()}, **inferred}
    columns = []
    for name, kind in have.items():
        x = quote(name)
        spelled = writing.plain(x, kinds[name]) if kind == "VARCHAR" and name in kinds else x
        columns.append(f"{spelled} AS {x}")
    return f"SELECT {', '.join([*columns, quote(SOURCE)])}, {_row_json(have)} AS __adutora_row FROM {quote(raw)}"


def _judge(job: Job, raw: str, plain: str, query: str) -> str:
    """Cast every row once, set aside those that fail, and return the table of all."""
    judged = quote(job.helper("judged"))
    job.con.execute(f"CREATE OR REPLACE TEMP TABLE {judged} AS {query}")
    job.con.execute(f"DROP VIEW {quote(plain)}")
    job.con.execute(f"DROP TABLE {quote(raw)}")
    job.con.execute(
        f"INSERT INTO {quote(job.rejects)} SELECT __adutora_reason, {quote(SOURCE)}, __adutora_raw "
        f"FROM {judged} WHERE __adutora_reason IS NOT NULL"
    )
    return judged


def _names(have: Mapping[str, str], targets: Mapping[str, Target]) -> list[str]:
    """Return the names of the result in the file's order."""
    return [targets[name].name if name in targets else name for name in have]


def _typed(name: str, kind: str | None) -> str:
    return quote(name) if kind in (None, "VARCHAR") else f"CAST({quote(name)} AS {kind}) AS {quote(name)}"


def _can_fail(kind: str, target: Target) -> bool:
    return kind != target.type or target.required


def _row_json(columns: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{literal(name)}, {quote(name)}" for name in columns)
    return f"json_object({pairs})"
