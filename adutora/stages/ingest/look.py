"""Is there anything new for an `ingest` of files? A look that writes nothing: what is loaded the stage decides."""

from typing import TYPE_CHECKING

from adutora.io.objects import open_source
from adutora.stages.ingest.run import fresh, is_done
from adutora.stages.ingest.spec import Ingest

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext


def new_files(spec: Ingest, ctx: "StageContext") -> int | None:
    """Return how many versions of files the ledger does not have, and of a batch whose rows are not in the table.

    None for a source of which no ledger is kept: then nobody knows.
    """
    if spec.files is None or spec.files.read != "new":
        return None
    connection = ctx.connection(spec.files.connection) if spec.files.connection else None
    source = open_source(connection, ctx.task.files_root)
    ledger = ctx.ledger("files")
    found, last = source.find(spec.files.path), ledger.last()
    owed = len(last.content["files"]) if last is not None and not is_done(last, ledger, ctx) else 0
    if not ctx.lake.exists(ctx.require_output().table):
        return len(found)  # the table has gone, or was never made: all of them are to be loaded
    return owed + len(fresh(found, ledger, source))
