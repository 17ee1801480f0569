"""Dates, times and intervals."""

import re
from typing import Any, Final

from sqlglot import exp

from adutora.sparksql.build import Expr, cast, fn, number, text
from adutora.sparksql.formats import java_format
from adutora.sparksql.refusal import refuse

_PARTS: Final = {
    "YEAR": "YEAR", "MONTH": "MONTH", "DAY": "DAY", "HOUR": "HOUR", "MINUTE": "MINUTE", "SECOND": "SECOND",
    "QUARTER": "QUARTER", "WEEK": "WEEKOFYEAR", "DOY": "DAYOFYEAR", "DAYOFYEAR": "DAYOFYEAR", "DOW": "DOW",
    "DAYOFWEEK": "DOW", "ISODOW": "ISODOW", "EPOCH": "EPOCH", "YEARS": "YEAR", "MONTHS": "MONTH", "DAYS": "DAY",
}  # fmt: skip


def plus(node: exp.Add | exp.Sub) -> Expr:
    """A date and an interval make a timestamp."""
    left, right = node.this, node.expression
    if isinstance(right, exp.Interval) and not isinstance(left, exp.Interval):
        return type(node)(this=_naive(left), expression=right.copy())
    if isinstance(left, exp.Interval) and not isinstance(right, exp.Interval):
        return type(node)(this=_naive(right), expression=left.copy())
    return node


def _naive(node: Expr) -> Expr:
    return cast(cast(node, "TIMESTAMP_LTZ"), "TIMESTAMP_NTZ")


def interval(node: exp.Interval) -> Expr:
    """An interval is written out: its length is no column."""
    if not isinstance(node.this, exp.Literal) or not re.fullmatch(r"-?\d+", node.this.name) or node.unit is None:
        raise refuse(node, "an interval that is not written out as a whole number and a unit", "write INTERVAL 3 DAY")
    return node


def part(node: exp.Extract) -> Expr:
    """A part of a time, by DuckDB's count."""
    name = _PARTS.get(node.this.name.upper())
    if name is None:
        raise refuse(node, f"the part {node.this.name} of a time is not there on Spark")
    return _part(name, node.expression)


def _part(name: str, of: Expr) -> Expr:
    if name == "DOW":  # Sunday is 0
        return exp.Paren(this=exp.Sub(this=fn("DAYOFWEEK", of), expression=number(1)))
    if name == "ISODOW":  # Monday is 1
        return exp.Paren(this=exp.Add(this=fn("WEEKDAY", of), expression=number(1)))
    if name == "EPOCH":
        micros = fn("UNIX_MICROS", cast(of, "TIMESTAMP_LTZ"))
        return exp.Paren(this=exp.Div(this=micros, expression=exp.Literal.number("1e6"), typed=False, safe=False))
    return fn(name, of)


def day_of_week(node: Expr) -> Expr:
    """See `_part`."""
    names = {"DayOfWeek": "DOW", "DayOfWeekIso": "ISODOW", "TimeToUnix": "EPOCH", "Week": "WEEKOFYEAR"}
    return _part(names[type(node).__name__], node.this)


def date_diff(node: exp.DateDiff) -> Expr:
    """Count the bounds of a unit between two times, and whole weeks; Spark counts whole units."""
    unit = node.text("unit").upper().strip("'")
    new, old = node.this, node.expression
    if unit in ("YEAR", "MONTH", "QUARTER"):
        per = {"YEAR": 1, "QUARTER": 4, "MONTH": 12}[unit]
        return exp.Paren(this=exp.Sub(this=_months(new, per), expression=exp.Paren(this=_months(old, per))))
    if unit == "DAY":
        return fn("DATEDIFF", cast(new, "DATE"), cast(old, "DATE"))
    if unit == "WEEK":
        days = fn("DATEDIFF", cast(new, "DATE"), cast(old, "DATE"))  # whole weeks, wherever they begin
        return exp.IntDiv(this=days, expression=number(7))
    if unit in ("HOUR", "MINUTE", "SECOND"):
        size = {"HOUR": 3600, "MINUTE": 60, "SECOND": 1}[unit]
        return exp.Paren(this=exp.Sub(this=_ticks(new, size), expression=_ticks(old, size)))
    raise refuse(node, f"date_diff in {unit.lower()}s is not there on Spark")


def _months(of: Expr, per: int) -> Expr:
    years = exp.Mul(this=fn("YEAR", of), expression=number(per))
    if per == 1:
        return years
    return exp.Add(this=years, expression=fn("QUARTER" if per == 4 else "MONTH", of))


def _ticks(of: Expr, size: int) -> Expr:
    seconds = fn("UNIX_SECONDS", cast(of, "TIMESTAMP_LTZ"))
    return (
        seconds if size == 1 else fn("FLOOR", exp.Div(this=seconds, expression=number(size), typed=False, safe=False))
    )


def truncated(node: exp.TimestampTrunc) -> Expr:
    """The beginning of a unit."""
    unit = node.text("unit").upper().strip("'")
    if unit not in ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND"):
        raise refuse(node, f"date_trunc to {unit.lower()} is not there on Spark")
    return fn("DATE_TRUNC", text(unit), node.this)


def time_to_text(node: exp.TimeToStr) -> Expr:
    """strftime, with a format that is written out."""
    return fn("DATE_FORMAT", node.this, text(_format(node)))


def text_to_time(node: exp.StrToTime) -> Expr:
    """strptime, with a format that is written out."""
    return fn("TO_TIMESTAMP_NTZ", node.this, text(_format(node, reading=True)))


def _format(node: Any, *, reading: bool = False) -> str:
    given = node.args["format"]
    if not isinstance(given, exp.Literal) or not given.is_string:
        raise refuse(node, "a format that is not written out", "write for example '%Y-%m-%d'")
    java = java_format(given.name, reading=reading)
    if java is None:
        raise refuse(node, f"the format {given.name!r} has a part that Spark does not have")
    return java
