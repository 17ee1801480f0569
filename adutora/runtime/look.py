"""Looks whether the source that a `files` trigger watches has anything new, before a run of it begins in earnest."""

from adutora.errors import ConfigError
from adutora.runtime.context import StageContext
from adutora.runtime.outcome import Outcome

NEW = "new"  # the output: how many versions of files are new; none where nobody knows


def look(ctx: StageContext) -> Outcome:
    """Count what is new for a stage of type `ingest.files`. Raises AdutoraError where the source cannot be read."""
    if ctx.config.type != "ingest":
        raise ConfigError(f"stage {ctx.name!r} reads no files that could be watched", hint="name one of ingest.files")
    from adutora.stages.ingest.look import new_files
    from adutora.stages.ingest.spec import Ingest

    spec = ctx.spec
    count = new_files(spec, ctx) if isinstance(spec, Ingest) else None
    outcome = ctx.outcome
    outcome.outputs = {NEW: count}
    if count is None:
        outcome.message = "no ledger is kept of this source: it is read as a whole (`read: new` keeps one)"
    else:
        outcome.message = f"{count} new" if count else "nothing is new"
    return outcome
