"""Descriptions of tables and columns: set when the table is made, and mended when they change."""

from adutora.io.lake.attempt import Attempt
from adutora.io.lake.failures import Conflict, translated
from adutora.io.lake.schema import from_delta


def describe(attempt: Attempt) -> None:
    """Bring descriptions up to date; a commit for each that differs, none as a rule. Losing a race is no harm."""
    request = attempt.request
    table = attempt.store.open(request.table) if attempt.table is None else attempt.table
    wanted = {column.name: column.description for column in request.columns if column.description}
    if table is None or not (wanted or request.description):
        return
    there = from_delta(table.schema().to_json())
    try:
        with translated(f"description of {request.table}"):
            if request.description and table.metadata().description != request.description:
                table.alter.set_table_description(request.description)
            for name, text in wanted.items():
                if name in there and there[name].comment != text:
                    table.alter.set_column_metadata(name, {"comment": text})
    except Conflict:
        return
