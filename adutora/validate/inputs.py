"""Inputs: a table or a file each, and every table comes from somewhere."""

import codecs
from typing import Final

from adutora.spec.base import Csv, FileFormat, Input, Log
from adutora.spec.nearest import nearest
from adutora.spec.yamlfile import Where
from adutora.validate.engine import Engine
from adutora.validate.neighbours import TABLE
from adutora.validate.scope import STAGES, TABLES, Scope

_FILE_ONLY: Final = ("name", "format", "csv", "log", "columns")
_TABLE_ONLY: Final = ("read", "external")
_ENCODINGS: Final = ("utf-8", "latin-1", "cp1252", "utf-16", "iso-8859-15", "windows-1252", "ascii", "shift_jis", "gbk")
_SUFFIXES: Final[dict[str, FileFormat]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".log": "log",
}


def check_inputs(scope: Scope) -> None:
    """Report inputs that are wrong in themselves, and tables that nobody writes."""
    for index, stage in enumerate(scope.spec.stages):
        path = (*STAGES, index)
        if stage.input and stage.inputs:
            scope.error((*path, "inputs"), "gives `input` and `inputs`", "put all into `inputs`", at_key=True)
        if stage.input:
            _one(scope, (*path, "input"), stage.input)
        for number, item in enumerate(stage.inputs or []):
            _one(scope, (*path, "inputs", number), item)
    for path, stage in scope.stages():
        if stage.ingest and stage.ingest.files:
            files = stage.ingest.files
            check_format(scope, (*path, "ingest", "files"), files.format, files.path, files.csv)
            if files.log:
                check_log(scope, (*path, "ingest", "files", "log"), files.log)
    for path, check, _ in scope.checks():
        if check.references:
            _known(scope, (*path, "references", "table"), check.references.table)


def _one(scope: Scope, path: Where, item: Input) -> None:
    if scope.gap((*path, "table")) or scope.gap((*path, "file")):
        return
    if (item.table is None) == (item.file is None):
        what = "gives `table` and `file`" if item.table else "gives neither `table` nor `file`"
        scope.error(path, what, "an input is one of them: {table: silver.orders} or {name: cities, file: cities.csv}")
        return
    wrong = _FILE_ONLY if item.table else _TABLE_ONLY
    kind, other = ("table", "file") if item.table else ("file", "table")
    for name in wrong:
        if scope.given((*path, name)):
            scope.error(
                (*path, name), f"`{name}` is for a {other} input; this is a {kind}", "leave it out", at_key=True
            )
    if item.table:
        if item.external:
            _external(scope, (*path, "external"), item.table)
        else:
            _known(scope, (*path, "table"), item.table)
        _read(scope, (*path, "read"), item)
    else:
        _file(scope, path, item)


def _file(scope: Scope, path: Where, item: Input) -> None:
    if item.name is None and not scope.gap((*path, "name")):
        scope.error(path, "the file has no `name`", "SQL needs one: {name: cities, file: data/cities.csv}")
    check_format(scope, path, item.format, item.file or "", item.csv)
    if item.log:
        check_log(scope, (*path, "log"), item.log)


def check_format(scope: Scope, path: Where, given: FileFormat | None, file: str, csv: Csv | None) -> None:
    """Report options of a format that the file does not have, and a format that nothing tells."""
    fmt = given or _suffix_format(file)
    for name in ("csv", "log"):
        if scope.given((*path, name)) and fmt is not None and fmt != name:
            message = f"`{name}` is for files of format {name}; these are {fmt}"
            scope.error((*path, name), message, f"leave it out, or write `format: {name}`", at_key=True)
    if fmt is None and "$(" not in file and not scope.gap((*path, "format")):
        where = (*path, "file") if scope.given((*path, "file")) else (*path, "path")
        hint = f"write `format: {'log' if scope.given((*path, 'log')) else 'csv'}`, or jsonl, parquet or log"
        scope.error(where, "the name's suffix does not tell the format", hint)
    encoding = (*path, "csv", "encoding")
    if csv is not None and not scope.gap(encoding):
        _encoding(scope, encoding, csv.encoding)
    if fmt == "log" and not scope.given((*path, "log")) and not scope.gap((*path, "log")):
        scope.error(path, "log files need `log`", "write `log: {pattern: combined}` or `log: {regex: …}`")


def _encoding(scope: Scope, path: Where, name: str) -> None:
    """Report an encoding that Python does not have, or that is none of text."""
    try:
        "".encode(codecs.lookup(name.strip()).name)
    except (LookupError, ValueError):
        near = nearest(name, _ENCODINGS)
        hint = f"did you mean {near}?" if near else f"for example {', '.join(_ENCODINGS[:4])}"
        scope.error(path, f"there is no encoding {name!r}", hint)


def _suffix_format(file: str) -> FileFormat | None:
    name = file.lower().removesuffix(".gz")
    return next((fmt for suffix, fmt in _SUFFIXES.items() if name.endswith(suffix)), None)


def check_log(scope: Scope, path: Where, log: Log) -> None:
    """Report a log pattern that is not one, or names no columns."""
    if (log.pattern is None) == (log.regex is None):
        if not scope.gap((*path, "pattern")) and not scope.gap((*path, "regex")):
            what = "gives `pattern` and `regex`" if log.pattern else "gives neither `pattern` nor `regex`"
            scope.error(path, what, "keep one of them" if log.pattern else "write for example {pattern: combined}")
    elif log.regex is not None:
        wrong = Engine.shared().regex_error(log.regex)
        if wrong:
            scope.error((*path, "regex"), f"is no regular expression (RE2): {wrong}")
        elif "(?P<" not in log.regex:
            scope.error((*path, "regex"), "names no columns", "name groups: (?P<ip>[^ ]+)")


def _external(scope: Scope, path: Where, table: str) -> None:
    own = [stage.name for stage in scope.spec.stages if stage.output and stage.output.table == table]
    if own:
        scope.error(path, f"{table} is written here, by stage `{own[0]}`", "leave `external` out", at_key=True)


def _known(scope: Scope, path: Where, table: str) -> None:
    """Report a table that nobody writes, as far as we can see."""
    known = _known_here(scope)
    if table in known or _may_be_written(scope, table):
        return
    if any(scope.neighbours.others((TABLE, scope.namespace, table), scope.full_name)):
        return
    near = nearest(table, sorted(known | scope.neighbours.tables(scope.namespace, scope.full_name)))
    hint = f"did you mean `{near}`?" if near else "write `external: true` if another pipeline writes it"
    scope.error(path, f"nobody writes the table {table}", hint)


def _may_be_written(scope: Scope, table: str) -> bool:
    """Whether a stage whose output was refused names the table."""
    spec = scope.document.value.get("spec")
    stages = spec.get("stages") if isinstance(spec, dict) else None
    for stage in stages if isinstance(stages, list) else []:
        output = stage.get("output") if isinstance(stage, dict) else None
        if isinstance(output, dict) and output.get("table") == table:
            return True
    return False


def _known_here(scope: Scope) -> set[str]:
    """Tables that a stage writes, that a trigger names, that are external somewhere in the pipeline."""
    written = {stage.output.table for stage in scope.spec.stages if stage.output}
    assets = [trigger.assets for trigger in scope.spec.triggers if trigger.assets]
    triggers = {table for each in assets for table in (each.all or []) + (each.any or [])}
    inputs = [item for stage in scope.spec.stages for item in stage.all_inputs]
    return written | triggers | {item.table for item in inputs if item.table and item.external}


def _read(scope: Scope, path: Where, item: Input) -> None:
    """Report a way of reading that the table's way of writing does not allow."""
    outputs = [s.output for s in scope.spec.stages if s.output and s.output.table == item.table]
    tables = [each for each in scope.spec.tables if each.name == item.table]
    if item.read == "new" and outputs and outputs[0].mode != "append":
        message = f"`new` is for tables that are appended to; {item.table} is written with mode {outputs[0].mode}"
        scope.error(path, message, "read `all`, or `changedPartitions`")
    refused = scope.gap((*TABLES, scope.spec.tables.index(tables[0]))) if tables else item.table in scope.table_names
    if item.read == "changedPartitions" and outputs and not refused and not (tables and tables[0].partitionBy):
        scope.error(path, f"{item.table} has no `partitionBy` in `tables`", "read `all`, or give it partitions")
