"""`overwrite`: the rows are the table."""

from adutora.io.lake import commits
from adutora.io.lake.attempt import Attempt
from adutora.io.lake.content import content_hash
from adutora.io.lake.types import Figures, WriteResult


def overwrite(attempt: Attempt) -> WriteResult:
    """Replace all rows, columns and partitioning in one commit; commit nothing if they are as they were.

    With `schema: evolve` the columns are those of the new rows: others go.
    """
    request = attempt.request
    plan = attempt.plan(replace=True)
    rows = attempt.count()
    content = content_hash(attempt.con, plan, request.relation)
    query = plan.select(request.relation)
    if attempt.table is None:
        figures = Figures(rows=rows, inserted=rows, total_rows=rows)
        version = attempt.create(query, plan, attempt.properties(figures, content=content))
        return attempt.result(figures, version, changed=True)
    same_split = attempt.partitioned_by == list(request.partition_by)
    if same_split and commits.last_content(attempt.table) == content:
        return attempt.nothing(plan, Figures(rows=rows, unchanged=rows, total_rows=rows), content)
    figures = Figures(rows=rows, inserted=rows, deleted=attempt.total(), total_rows=rows)
    said = attempt.properties(figures, content=content)
    version = attempt.put(query, plan, said, mode="overwrite", schema_mode="overwrite", repartition=True)
    return attempt.result(figures, version, changed=True)
