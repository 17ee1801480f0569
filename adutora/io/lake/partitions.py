"""`overwritePartitions`: the partitions that rows fall in are replaced; the others stay."""

from typing import TYPE_CHECKING

from adutora.errors import ConfigError
from adutora.io.duck import quote
from adutora.io.lake import predicate, sql
from adutora.io.lake.attempt import OWN, STANDING, Attempt
from adutora.io.lake.columns import Plan
from adutora.io.lake.content import aggregates
from adutora.io.lake.types import Figures, WriteResult

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pa_ds

_BATCH, _TOUCHED, _STANDING, _DIFFER = (f"{OWN}{part}" for part in ("batch", "touched", "pruned", "differ"))


def overwrite_partitions(attempt: Attempt) -> WriteResult:
    """Replace, in one commit, the partitions in which something is different; null is a partition like any other.

    Partitions of `replaces_partitions` in which no row falls any more are emptied. Raises ConfigError without
    `partition_by`.
    """
    request = attempt.request
    if not request.partition_by:
        raise ConfigError(
            f"{attempt.name}: mode overwritePartitions needs a partitioned table", hint="give it partitionBy"
        )
    plan = attempt.plan()
    rows = attempt.count()
    query = plan.select(request.relation)
    if attempt.table is None or request.full_refresh:
        return _whole(attempt, plan, query, rows)
    _check_kinds(attempt, plan)
    attempt.con.execute(f"CREATE OR REPLACE TEMP VIEW {_BATCH} AS {query}")
    _find_touched(attempt)
    added, removed = _find_differing(attempt, plan)
    total = attempt.total()
    if not added + removed:
        return attempt.nothing(plan, Figures(rows=rows, unchanged=rows, total_rows=total))
    attempt.evolve(plan)
    figures = Figures(rows, inserted=added, deleted=removed, unchanged=rows - added, total_rows=total - removed + added)
    differing = f"SELECT b.* FROM {_BATCH} b SEMI JOIN {_DIFFER} d ON {_same(request.partition_by, 'b', 'd')}"
    version = attempt.put(
        differing, plan, attempt.properties(figures), mode="overwrite", predicate=_predicate(attempt, plan)
    )
    return attempt.result(figures, version, changed=True)


def _whole(attempt: Attempt, plan: Plan, query: str, rows: int) -> WriteResult:
    figures = Figures(rows=rows, inserted=rows, deleted=attempt.total(), total_rows=rows)
    said = attempt.properties(figures)
    if attempt.table is None:
        return attempt.result(figures, attempt.create(query, plan, said), changed=True)
    version = attempt.put(query, plan, said, mode="overwrite", schema_mode="overwrite", repartition=True)
    return attempt.result(figures, version, changed=True)


def _check_kinds(attempt: Attempt, plan: Plan) -> None:
    kinds = {column.name: column.type for column in plan.columns}
    for name in attempt.request.partition_by:
        predicate.value("0", kinds[name])  # refuses types that cannot be compared


def _find_touched(attempt: Attempt) -> None:
    names = ", ".join(quote(name) for name in attempt.request.partition_by)
    more = attempt.request.replaces_partitions
    also = ""
    if more:
        there = attempt.there
        casts = ", ".join(f"CAST({quote(n)} AS {there[n].type.sql})" for n in attempt.request.partition_by)
        also = f" UNION SELECT {casts} FROM {quote(more)}"
    attempt.con.execute(f"CREATE OR REPLACE TEMP TABLE {_TOUCHED} AS SELECT DISTINCT {names} FROM {_BATCH}{also}")


def _find_differing(attempt: Attempt, plan: Plan) -> tuple[int, int]:
    """Make the table of partitions that differ; return how many rows they get and how many they lose."""
    by = attempt.request.partition_by
    names = ", ".join(quote(name) for name in by)
    data = [column.name for column in plan.columns if not column.system]
    hashed = aggregates(data)
    relation = _standing(attempt, plan)
    old = f"SELECT {names}, {hashed} FROM {relation} o SEMI JOIN {_TOUCHED} t ON {_same(by, 'o', 't')} GROUP BY {names}"
    new = f"SELECT {names}, {hashed} FROM {_BATCH} GROUP BY {names}"
    # A partition column may be named as anything that does not begin with `_`.
    figures = ("__adutora_n", "__adutora_sum", "__adutora_xor")
    shape = f"({names}, {', '.join(figures)})"
    differ = " OR ".join(f"n.{figure} IS DISTINCT FROM o.{figure}" for figure in figures)
    attempt.con.execute(
        f"CREATE OR REPLACE TEMP TABLE {_DIFFER} AS "
        f"WITH n{shape} AS ({new}), o{shape} AS ({old}) SELECT t.*, "
        f"coalesce(n.__adutora_n, 0) AS __adutora_new, coalesce(o.__adutora_n, 0) AS __adutora_old FROM {_TOUCHED} t "
        f"LEFT JOIN n ON {_same(by, 't', 'n')} LEFT JOIN o ON {_same(by, 't', 'o')} WHERE {differ}"
    )
    added, removed = sql.first(
        attempt.con, f"SELECT coalesce(sum(__adutora_new), 0), coalesce(sum(__adutora_old), 0) FROM {_DIFFER}"
    )
    return int(added), int(removed)


def _standing(attempt: Attempt, plan: Plan) -> str:
    """Register the rows of the table that may lie in the touched partitions, with the planned columns."""
    assert attempt.table is not None  # noqa: S101  (asked for only where there is one)
    whole = attempt.table.to_pyarrow_dataset()
    first = attempt.request.partition_by[0]
    touched: pa.Table = sql.relation(attempt.con, f"SELECT DISTINCT {quote(first)} FROM {_TOUCHED}").to_arrow_table()
    values = touched.column(0).combine_chunks().cast(whole.schema.field(first).type)
    pruned = whole if touched.column(0).type in ("float", "double") else _prune(whole, first, values)
    attempt.con.unregister(STANDING)
    attempt.con.register(STANDING, pruned)
    there = attempt.there
    items = [
        quote(c.name) if c.name in there else f"CAST(NULL AS {c.type.sql}) AS {quote(c.name)}" for c in plan.columns
    ]
    attempt.con.execute(f"CREATE OR REPLACE TEMP VIEW {_STANDING} AS SELECT {', '.join(items)} FROM {STANDING}")
    return _STANDING


def _prune(whole: "pa_ds.FileSystemDataset", column: str, values: "pa.Array") -> "pa_ds.FileSystemDataset":
    """Leave out files of other partitions."""
    import pyarrow.compute as pc
    import pyarrow.dataset as pa_ds

    wanted = pc.field(column).isin(values.drop_null())
    if values.null_count:
        wanted = wanted | pc.field(column).is_null()
    return pa_ds.FileSystemDataset(
        list(whole.get_fragments(filter=wanted)), whole.schema, whole.format, whole.filesystem
    )


def _predicate(attempt: Attempt, plan: Plan) -> str:
    kinds = {column.name: column.type for column in plan.columns}
    by = attempt.request.partition_by
    texts = ", ".join(_text(name) for name in by)
    rows = sql.rows(attempt.con, f"SELECT {texts} FROM {_DIFFER} ORDER BY ALL")
    return predicate.partitions(rows, {name: kinds[name] for name in by})


def _text(name: str) -> str:
    return f"CAST({quote(name)} AS VARCHAR)"


def _same(by: tuple[str, ...], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{quote(name)} IS NOT DISTINCT FROM {other}.{quote(name)}" for name in by)
