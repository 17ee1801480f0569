"""`quality`: carry out checks on a table that stands; nothing is written."""

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.io.duck import quote_table
from adutora.runtime.check_run import Finding, column_types, register_references, run_checks
from adutora.runtime.checks import Reference, Subject
from adutora.runtime.context import StageContext
from adutora.runtime.inputs import read_lazily
from adutora.stages.quality.spec import Quality


def run(spec: Quality, ctx: StageContext) -> None:
    """Check the stage's one input table.

    Raises DataError that names every failed check at once; a check with `onFail: warn` becomes a warning. Metrics
    are `checks.<title>.failed`: bad rows, or 1 for a table that fails rowCount or freshness.
    """
    for check in spec.checks:
        if check.onFail == "quarantine":
            raise ConfigError(
                f"check {check.title}: a quality stage writes nothing, so it cannot quarantine",
                hint="write onFail: fail or warn, or put the check under the table's own `checks`",
            )
    ctx.load_inputs()
    item = ctx.inputs[0]
    name = item.table or item.name or ""
    relation = quote_table(name)
    references = register_references(ctx.con, ctx.lake, spec.checks, name)
    columns = column_types(ctx.con, relation)
    subject = Subject(name, columns, {**references, name: Reference(relation, columns)}, ctx.commit().at)
    if any(check.sql or check.where for check in spec.checks):
        duck.seal(ctx.con, ctx.readable)
    findings = read_lazily(ctx, lambda: run_checks(ctx.con, spec.checks, subject, relation))
    _refuse_rejects(name, ctx)
    _report(name, findings, ctx)


def _refuse_rejects(name: str, ctx: StageContext) -> None:
    """A gate over a file: rows that do not fit its columns would otherwise go unseen."""
    for rejects in ctx.rejects:
        found = ctx.con.execute(f"SELECT _reason, count(*) OVER () FROM {duck.quote(rejects)} LIMIT 3").fetchall()
        if found:
            reasons = "; ".join(str(reason) for reason, _ in found)
            raise DataError(f"{name}: {found[0][1]} rows of the file cannot be read: {reasons}")


def _report(name: str, findings: list[Finding], ctx: StageContext) -> None:
    for finding in findings:
        metric = f"checks.{finding.check.title}.failed"
        ctx.outcome.metrics[metric] = ctx.outcome.metrics.get(metric, 0.0) + finding.failed
        if finding.failed and finding.check.onFail == "warn":
            ctx.outcome.warnings.append(f"{name}: {finding.message}")
    failed = [finding for finding in findings if finding.failed and finding.check.onFail == "fail"]
    if failed:
        raise DataError(
            f"{name}: {len(failed)} of {len(findings)} checks failed: {'; '.join(f.message for f in failed)}"
        )
