"""`publish`: rows of a table become hashes in the online store."""

from typing import TYPE_CHECKING

from adutora.errors import ConfigError
from adutora.io import duck
from adutora.io.online import OnlineStore, Publication, PublishResult, open_store
from adutora.io.online.text import text_rows
from adutora.stages.publish.spec import Publish

if TYPE_CHECKING:
    import duckdb

    from adutora.runtime.context import StageContext
    from adutora.spec.base import Input


def run(spec: Publish, ctx: "StageContext") -> None:
    """Publish the one input.

    It is read under the prefix's lease: of two runs at once the later one reads the newer table, so an older
    state never replaces a newer one. Raises DataError for a key that is null or comes twice, and for no rows
    (see `Publication`); TemporaryError where the store does not answer or another run holds the prefix.
    """
    connection = ctx.connection(spec.connection)
    holder = f"{ctx.task.config.dag_id}/{ctx.task.run_id}/{ctx.task.label}"
    with open_store(connection, ctx.task.project_root) as store, store.lease(spec.prefix, holder):
        ctx.load_inputs()
        relation = _relation(ctx.inputs)
        with duck.translated(f"stage {ctx.name!r}: publish"):
            result = publish_relation(ctx.con, relation, spec, store, run=holder, allow_empty=ctx.task.full_refresh)
    _report(ctx, result)


def publish_relation(
    con: "duckdb.DuckDBPyConnection",
    relation: str,
    spec: Publish,
    store: OnlineStore,
    *,
    run: str = "",
    allow_empty: bool = False,
) -> PublishResult:
    """Publish the rows of a relation, given as SQL that can follow FROM."""
    publication = Publication(
        prefix=spec.prefix,
        ttl=None if spec.ttl is None else int(spec.ttl),
        mode=spec.mode,
        visibility=spec.visibility,
        run=run,
        allow_empty=allow_empty,
    )
    return store.publish(text_rows(con, relation, spec.key, spec.columns), publication)


def _relation(inputs: "list[Input]") -> str:
    if len(inputs) != 1:
        raise ConfigError(f"publish takes one input, not {len(inputs)}", hint="join them in a sql stage before")
    (source,) = inputs
    return duck.quote_table(source.table) if source.table is not None else duck.quote(source.name or "")


def _report(ctx: "StageContext", result: PublishResult) -> None:
    outcome = ctx.outcome
    outcome.rows_out = result.published
    outcome.metrics |= {
        "published": result.published,
        "deleted": result.deleted,
        "unchanged": result.unchanged,
        "empty": result.empty,
    }
    if result.empty:
        outcome.warnings.append(f"{result.empty} rows have no value in any published column: they have no hash")
