"""`ingest`: files into a bronze table, every record accounted for: written, or set aside with the reason.

`read: all` loads what is there. `read: new` loads each version of a file once: what was loaded is kept in a ledger, and
a batch of files is written down there before it is loaded, its number in the same commit as its rows. A try that
died in between is found by that number, and its batch loaded again. A file's version is its size and time of change;
where only the time is another, its content decides, for a file that was touched is no new one.

Columns have the types that all values of a load have. A column that the table has already, or declares, keeps its
type: a row with another value is rejected. Declare such a column as string where anything may come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.io.casts import duck_type
from adutora.io.files.options import ReadOptions, format_of
from adutora.io.files.read import read_files
from adutora.io.files.reading import Reading
from adutora.io.objects import Folder, ObjectSource, SourceFile, none_found, open_source
from adutora.stages.ingest.spec import Files, Ingest

if TYPE_CHECKING:
    from adutora.io.ledger import Batch, Ledger
    from adutora.runtime.context import StageContext

_SYSTEM = frozenset({"_run_id", "_loaded_at", "_source", "_deleted"})


@dataclass(frozen=True)
class Load:
    """Files that were read into a relation and wait to be written."""

    files: Sequence[SourceFile]
    relation: str
    rejects: str
    rows_in: int


def run(spec: Ingest, ctx: "StageContext") -> None:
    """Load the files. Raises ConfigError for sources that this version does not read."""
    if spec.files is None:
        kind = "http" if spec.http is not None else "database"
        raise ConfigError(f"ingest from {kind} is not part of this version", hint="ingest.files is")
    connection = ctx.connection(spec.files.connection) if spec.files.connection else None
    source = open_source(connection, ctx.task.files_root)
    ctx.require_output()
    if spec.files.read == "all":
        _load_all(spec.files, source, ctx)
    else:
        _load_new(spec.files, source, ctx)


def _load_all(spec: Files, source: ObjectSource, ctx: "StageContext") -> None:
    files = source.find(spec.path)
    if not files:
        raise none_found(source, spec.path)
    load = _read(spec, source, _fetch(source, files, ctx, lost_is_error=True), ctx, "all")
    if load is None:
        raise DataError(f"{spec.path!r} in {source.where}: all files are empty")
    _write(load, ctx)


def _load_new(spec: Files, source: ObjectSource, ctx: "StageContext") -> None:
    ledger = ctx.ledger("files")
    again = _unfinished(ledger, ctx)
    found = source.find(spec.path)
    before = ledger.last()
    new = fresh(found, ledger, source)
    ctx.log.info("%d files match, %d are new", len(found), len(new))
    # Both are read before either is written: a check's SQL closes the door to further files.
    first = _read(spec, source, _fetch_again(source, again, found, ledger, ctx), ctx, "again") if again else None
    second = _read(spec, source, _fetch(source, new, ctx), ctx, "new") if new else None
    rows_in = 0
    if again is not None and first is not None:
        rows_in += _write_batch(first, ledger, again, ctx)
    if second is not None:
        rows_in += _write_batch(second, ledger, _propose(ledger, before, second.files, ctx), ctx)
    outcome = ctx.outcome
    outcome.rows_in, outcome.rows_out = rows_in, outcome.rows_out or 0
    outcome.rows_rejected = outcome.rows_rejected or 0


def fresh(found: Sequence[SourceFile], ledger: "Ledger", source: ObjectSource) -> list[SourceFile]:
    """Return the files whose content the ledger does not have."""
    batches = [batch.content for batch in ledger.batches()]
    seen = {name for batch in batches for name in batch["seen"]}
    newest = {entry["path"]: entry for batch in batches for entry in batch["files"]}
    new = [file for file in found if file.id not in seen]
    return [file for file in new if not _is_touched(file, newest.get(file.path), source)]


def _is_touched(file: SourceFile, entry: Mapping[str, Any] | None, source: ObjectSource) -> bool:
    """Say whether a file has the content that the ledger's entry of its path had. Reads it only if the size is that."""
    if entry is None or entry["size"] != file.size or entry.get("digest") is None:
        return False
    return bool(source.digest(file) == entry["digest"])


def _unfinished(ledger: "Ledger", ctx: "StageContext") -> "Batch | None":
    """Return the last batch if it must be loaded again: its rows are not in the table, or this run brought them.

    In the second case this is a retry: writing them again changes nothing, and gives the figures that the try which
    died could not tell.
    """
    table = ctx.require_output().table
    last = ledger.last()
    own = last is not None and last.content.get("run") == ctx.task.run_id
    if ctx.task.full_refresh and not own:
        ledger.reset()
        return None
    if last is None or own:
        return last
    if is_done(last, ledger, ctx):
        return None
    if not ctx.lake.exists(table) and len(ledger.batches()) > 1:
        ctx.outcome.warnings.append(f"table {table} is gone: every file is loaded again")
        ledger.reset()
        return None
    return last


def is_done(batch: "Batch", ledger: "Ledger", ctx: "StageContext") -> bool:
    done = ctx.lake.batch(ctx.require_output().table, ledger.id)
    return done is not None and done >= batch.number


def _fetch_again(
    source: ObjectSource, batch: "Batch", found: Sequence[SourceFile], ledger: "Ledger", ctx: "StageContext"
) -> list[SourceFile]:
    """Get the files of a batch. Of one that is in the table already all or none, for a part would be another write.

    One that was only touched since is the same file.
    """
    now = {file.path: file for file in found}
    touched = {
        entry["path"]: now[entry["path"]]
        for entry in batch.content["files"]
        if entry["path"] in now and _is_touched(now[entry["path"]], entry, source)
    }
    listed = [touched.get(file.path, file) for file in _listed(batch)]
    files = _fetch(source, listed, ctx)
    if len(files) < len(listed) and is_done(batch, ledger, ctx):
        return []
    return files


def _propose(ledger: "Ledger", before: "Batch | None", files: Sequence[SourceFile], ctx: "StageContext") -> "Batch":
    """Write down the next batch. Raises TemporaryError where another run did since the files were chosen."""
    last = ledger.last()
    if (last and last.number) != (before and before.number):
        raise TemporaryError("another run loads files of this stage", hint="the next try sees what it left")
    return ledger.propose(_content(files, ctx))


def _content(files: Sequence[SourceFile], ctx: "StageContext") -> dict[str, object]:
    """Return a batch as the ledger keeps it. `seen` is what later runs leave out."""
    return {
        "run": ctx.task.run_id,
        "seen": [file.id for file in files],
        "files": [
            {"path": f.path, "uri": f.uri, "version": f.version, "size": f.size, "digest": f.digest} for f in files
        ],
    }


def _listed(batch: "Batch") -> list[SourceFile]:
    return [SourceFile(f["path"], f["uri"], f["version"], f["size"]) for f in batch.content["files"]]


def _fetch(
    source: ObjectSource, files: Sequence[SourceFile], ctx: "StageContext", *, lost_is_error: bool = False
) -> list[SourceFile]:
    """Get the files here. One that is gone, or has a newer version, cannot be loaded any more: its next listing can."""
    here = []
    for file in files:
        fetched = source.fetch(file, ctx.scratch)
        if fetched is not None:
            here.append(fetched)
        elif lost_is_error:
            raise TemporaryError(f"{file.path} was changed or removed while it was read")
        else:
            ctx.outcome.warnings.append(f"{file.path}: the version that was listed is there no more; left out")
    return here


def _read(
    spec: Files, source: ObjectSource, files: Sequence[SourceFile], ctx: "StageContext", name: str
) -> Load | None:
    """Read files into a relation; None where there are none, or nothing is in them."""
    if not files:
        return None
    options = ReadOptions(
        format=_format(spec, files),
        csv=spec.csv,
        log=spec.log,
        types=known_types(ctx),
        source_column=True,
        tolerant=True,
        empty_ok=spec.read == "new",
    )
    relation, rejects = f"__adutora_ingest_{name}", f"__adutora_ingest_{name}_bad"
    reading = read_files(ctx.con, files, options=options, relation=relation, rejects=rejects, scratch=ctx.scratch)
    if spec.read == "new":
        files = [file if file.digest else replace(file, digest=source.digest(file)) for file in files]
    _unchanged(source, files, ctx)
    ctx.outcome.warnings.extend(reading.warnings)
    ctx.readable.extend(str(path) for path in reading.readable)
    if reading.rows_in == 0 and reading.warnings:
        return Load(files, "", rejects, 0)
    return Load(files, relation, rejects, _rows(reading, ctx, relation, rejects))


def _rows(reading: Reading, ctx: "StageContext", relation: str, rejects: str) -> int:
    if reading.rows_in is None:
        raise ValueError(f"{relation} and {rejects} were read without a count")
    return reading.rows_in


def _unchanged(source: ObjectSource, files: Sequence[SourceFile], ctx: "StageContext") -> None:
    """Refuse what was read from a file that somebody wrote to meanwhile."""
    if not isinstance(source, Folder):
        return  # fetched as a copy, and checked then
    for file in files:
        if source.fetch(replace(file, local=None), ctx.scratch) is None:
            raise TemporaryError(f"{file.path} was changed while it was read")


def _format(spec: Files, files: Sequence[SourceFile]) -> str:
    formats = {format_of(file.path, spec.format): file.path for file in files}
    if len(formats) > 1:
        paths = " and ".join(formats.values())
        raise ConfigError(f"{paths} are of different formats", hint="name one with `format`, or narrow `path`")
    return next(iter(formats))


def known_types(ctx: "StageContext") -> dict[str, str]:
    """Return the types of columns that are declared, or that the table has already."""
    table = ctx.require_output().table
    types: dict[str, str] = {}
    if ctx.lake.exists(table) and not ctx.task.full_refresh and ctx.require_output().mode != "overwrite":
        for column in ctx.lake.info(table, versions=0).columns:
            if column.name not in _SYSTEM and _castable(column.type):
                types[column.name] = column.type
    declared = ctx.table_spec(table).columns or []
    names = {column.name.casefold() for column in declared}
    kept = {name: kind for name, kind in types.items() if name.casefold() not in names}
    return {**kept, **{column.name: column.type for column in declared}}


def _castable(kind: str) -> bool:
    try:
        duck_type(kind)
    except ConfigError:
        return False
    return True


def _write_batch(load: Load, ledger: "Ledger", batch: "Batch", ctx: "StageContext") -> int:
    """Write one batch, its number in the same commit. Returns the rows that came in."""
    ctx.take(ledger, batch)
    if load.rows_in:
        _write(load, ctx)
    return load.rows_in


def _write(load: Load, ctx: "StageContext") -> None:
    ctx.input_versions = {"files": sorted(file.id for file in load.files)}
    ctx.write(load.relation, rejected=load.rejects, rows_in=load.rows_in, preserving=True)
