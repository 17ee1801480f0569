"""Outputs: one writer a table, and what each mode needs."""

from adutora.spec.base import Output, Table
from adutora.spec.yamlfile import Where
from adutora.validate.scope import STAGES, Scope

_MERGE_ONLY = ("latestBy", "deleteWhere", "missing")


def check_outputs(scope: Scope) -> None:
    """Report two writers of a table, and modes that lack what they need."""
    tables = {table.name: table for table in scope.spec.tables}
    for index, stage in enumerate(scope.spec.stages):
        if stage.output:
            path = (*STAGES, index, "output")
            _writers(scope, path, stage.name, stage.output.table)
            _mode(scope, path, stage.output, tables.get(stage.output.table))
            reserved(scope, (*path, "table"), stage.output.table)
    _prefixes(scope)


def _prefixes(scope: Scope) -> None:
    """Report two stages that publish under one prefix: each would delete the other's keys."""
    first: dict[tuple[str, str], str] = {}
    for index, stage in enumerate(scope.spec.stages):
        if stage.publish:
            other = first.setdefault((stage.publish.connection, stage.publish.prefix), stage.name)
            if other != stage.name:
                message = f"the prefix {stage.publish.prefix} is published by stage {other} as well"
                scope.error((*STAGES, index, "publish", "prefix"), message, "choose another prefix, or publish once")


def reserved(scope: Scope, path: Where, table: str) -> None:
    """Report a table name that is the system's."""
    if table.endswith("__rejected"):
        hint = "choose another name; rejected rows are kept under this one"
        scope.error(path, f"{table} is the system's: names may not end in __rejected", hint)


def _writers(scope: Scope, path: Where, stage: str, table: str) -> None:
    me = (f"{scope.namespace}.{scope.pipeline.metadata.name}", stage)
    line = scope.line((*path, "table"))
    for other in scope.neighbours.writers.get((scope.namespace, table), ()):
        if (other.pipeline, other.stage, other.file, other.line) == (*me, scope.document.file, line):
            continue
        # Of two in one file the second is told; of two files both are.
        if other.file != scope.document.file or other.line <= line:
            hint = "one stage writes a table; write another table, and bring them together with `sql`"
            scope.error((*path, "table"), f"{table} is written by {other.place} as well", hint)
            return


def _mode(scope: Scope, path: Where, output: Output, table: Table | None) -> None:
    if output.mode != "merge" and not scope.gap((*path, "mode")):
        for name in _MERGE_ONLY:
            if scope.given((*path, name)):
                message = f"`{name}` is for mode merge; this is {output.mode}"
                scope.error((*path, name), message, "write `mode: merge`, or leave it out", at_key=True)
    needed = {"merge": "key", "overwritePartitions": "partitionBy"}.get(output.mode)
    if needed and not (table and getattr(table, needed)) and not _described_badly(scope, output.table, needed):
        names = "[order_id]" if needed == "key" else "[order_date]"
        hint = f"write under `tables`: {{name: {output.table}, {needed}: {names}}}"
        scope.error((*path, "mode"), f"{output.mode} needs a `{needed}` of {output.table}", hint)


def _described_badly(scope: Scope, name: str, field: str) -> bool:
    """Whether the table's description, or this field of it, was refused: it is told there."""
    described = scope.document.value["spec"].get("tables")
    if not isinstance(described, list):
        return described is not None
    for index, table in enumerate(described):
        if isinstance(table, dict) and table.get("name") == name:
            path = ("spec", "tables", index)
            return path in scope.checked.cut or (*path, field) in scope.checked.cut
    return False
