"""Outputs: one writer a table, and what each mode needs."""

from adutora.spec.base import Output, Table
from adutora.spec.yamlfile import Where
from adutora.validate.neighbours import PREFIX, Key, Writer
from adutora.validate.scope import STAGES, Scope

_MERGE_ONLY = ("latestBy", "deleteWhere", "missing")


def check_outputs(scope: Scope) -> None:
    """Report two writers of a table or prefix, and modes that lack what they need."""
    tables = {table.name: table for table in scope.spec.tables}
    first: dict[Key, Writer] = {}
    for path, key, writer in scope.writes():
        _one_writer(scope, path, key, first.setdefault(key, writer), writer)
    for index, stage in enumerate(scope.spec.stages):
        if stage.output:
            path = (*STAGES, index, "output")
            _mode(scope, path, stage.output, tables.get(stage.output.table))
            reserved(scope, (*path, "table"), stage.output.table)


def _one_writer(scope: Scope, path: Where, key: Key, first: Writer, me: Writer) -> None:
    """Report what another stage writes as well. Of two in one pipeline the second is told; of two files both are."""
    others = (each for each in scope.neighbours.others(key, scope.full_name) if scope.gives_way_to(each))
    other = first if first is not me else next(others, None)
    if other is None:
        return
    message = f"{key[-1]} is written by {other.place} as well"
    hint = "one stage writes a table; write another table, and bring them together with `sql`"
    if key[0] == PREFIX:
        message = f"the prefix {key[-1]} is published by {other.place} as well"
        hint = "choose another prefix, or publish once: each would delete the other's keys"
    scope.error(path, message, hint, code=None if other is first else "TableConflict")


def reserved(scope: Scope, path: Where, table: str) -> None:
    """Report a table name that is the system's."""
    kept = {"__rejected": "rejected rows are", "__deleted": "what a merge deleted is"}
    for suffix, what in kept.items():
        if table.endswith(suffix):
            hint = f"choose another name; {what} kept under this one"
            scope.error(path, f"{table} is the system's: names may not end in {suffix}", hint)


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
