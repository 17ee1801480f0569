"""Checks: bounds, patterns and the columns that they name."""

from adutora.spec.base import Check, Table
from adutora.spec.yamlfile import Where
from adutora.validate.columns import known_column
from adutora.validate.engine import Engine
from adutora.validate.scope import Scope, some_time
from adutora.validate.tables import of_time


def check_rules(scope: Scope) -> None:
    """Report rules that can never hold, or say nothing."""
    tables = {table.name: table for table in scope.spec.tables}
    for path, check, about in scope.checks():
        table = tables.get(about or "")
        _columns(scope, path, check, table)
        if check.range:
            _bounds(scope, (*path, "range"), check.range.min, check.range.max)
        if check.rowCount:
            _bounds(scope, (*path, "rowCount"), check.rowCount.min, check.rowCount.max)
        if check.pattern:
            wrong = Engine.shared().regex_error(check.pattern.regex)
            if wrong:
                hint = "RE2 has no look-around and no back references"
                scope.error((*path, "pattern", "regex"), f"is no regular expression (RE2): {wrong}", hint)
        if check.freshness:
            of_time(scope, (*path, "freshness", "column"), table, check.freshness.column)
            some_time(scope, (*path, "freshness", "maxAge"), check.freshness.maxAge, "no row is so new")
        if check.references:
            known_column(scope, (*path, "references", "to"), tables.get(check.references.table), check.references.to)
        _on_fail(scope, path, check)


def _columns(scope: Scope, path: Where, check: Check, table: Table | None) -> None:
    value = getattr(check, check.rule)
    if isinstance(value, list):
        for number, name in enumerate(value):
            known_column(scope, (*path, check.rule, number), table, name)
    elif hasattr(value, "column"):
        known_column(scope, (*path, check.rule, "column"), table, value.column)


def _bounds(scope: Scope, path: Where, low: object, high: object) -> None:
    if scope.gap((*path, "min")) or scope.gap((*path, "max")):
        return
    if low is None and high is None:
        scope.error(path, "has no bound", "give `min`, `max` or both")
    elif low is not None and high is not None:
        if isinstance(low, str) != isinstance(high, str):
            scope.error(path, "one bound is text, the other a number", "write both alike")
        elif low > high:  # type: ignore[operator]
            scope.error((*path, "min"), f"min {low} is more than max {high}", "exchange them")


def _on_fail(scope: Scope, path: Where, check: Check) -> None:
    """Report `quarantine` for a rule that is about the table and not about rows."""
    if check.onFail == "quarantine" and check.rule in ("rowCount", "freshness"):
        message = f"`{check.rule}` is about the whole table: there are no rows to quarantine"
        scope.error((*path, "onFail"), message, "write fail or warn")
