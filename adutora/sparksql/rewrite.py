"""Make what is left of a statement mean on Spark what it means on DuckDB, node by node."""

from collections.abc import Callable
from typing import Any, Final

from sqlglot import exp

from adutora.sparksql import lists, numbers, texts, times
from adutora.sparksql.build import Expr, fn
from adutora.sparksql.refusal import refuse

BY_NAME: Final = {
    "now": ("CURRENT_TIMESTAMP", 0),
    "prefix": ("STARTSWITH", 2),
    "suffix": ("ENDSWITH", 2),
    "doy": ("DAYOFYEAR", 1),
    "date_part": ("", 0),
    "datepart": ("", 0),
    "ord": ("ASCII", 1),
    "bit_length": ("BIT_LENGTH", 1),
    "strlen": ("OCTET_LENGTH", 1),
}


def by_name(node: exp.Anonymous) -> Expr:
    """Functions that SQLGlot does not know."""
    name, given = node.name.lower(), node.expressions
    if name in ("date_part", "datepart") and len(given) == 2 and isinstance(given[0], exp.Literal):
        return times.part(exp.Extract(this=exp.Var(this=given[0].name), expression=given[1].copy()))
    if name in BY_NAME and len(given) == BY_NAME[name][1]:
        return fn(BY_NAME[name][0], *given)
    raise refuse(node, f"the function {name}() is not translated to Spark")


REWRITES: Final[dict[type[Expr], Callable[[Any], Expr]]] = {
    exp.Div: numbers.div,
    exp.IntDiv: numbers.int_div,
    exp.Cast: numbers.to_type,
    exp.TryCast: numbers.to_type,
    exp.Avg: numbers.avg,
    exp.Ln: numbers.logarithm,
    exp.Log: numbers.logarithm,
    exp.Add: times.plus,
    exp.Sub: times.plus,
    exp.Interval: times.interval,
    exp.Extract: times.part,
    exp.DayOfWeek: times.day_of_week,
    exp.DayOfWeekIso: times.day_of_week,
    exp.TimeToUnix: times.day_of_week,
    exp.Week: times.day_of_week,
    exp.DateDiff: times.date_diff,
    exp.TimestampTrunc: times.truncated,
    exp.TimeToStr: times.time_to_text,
    exp.StrToTime: times.text_to_time,
    exp.Like: texts.like,
    exp.ILike: texts.like,
    exp.ArrayAgg: lists.array_agg,
    exp.GroupConcat: texts.group_concat,
    exp.ArgMax: lists.arg_best,
    exp.ArgMin: lists.arg_best,
    exp.Max: lists.best,
    exp.Min: lists.best,
    exp.PercentileCont: numbers.percentile,
    exp.RegexpLike: texts.regexp,
    exp.RegexpFullMatch: texts.regexp,
    exp.RegexpExtract: texts.regexp,
    exp.RegexpReplace: texts.regexp,
    exp.Bracket: lists.bracket,
    exp.Concat: texts.concat,
    exp.ConcatWs: texts.concat_ws,
    exp.LogicalAnd: lists.log_and,
    exp.LogicalOr: lists.log_and,
    exp.ArrayContains: lists.contains,
    exp.Anonymous: by_name,
    exp.Ceil: numbers.whole_part,
    exp.Floor: numbers.whole_part,
    exp.Sign: numbers.sign,
    exp.IsNan: numbers.is_nan,
}


def rewrite(tree: Expr) -> Expr:
    """Rewrite every node, the inner ones first. Raises Refused."""
    for node in reversed(list(tree.dfs())):
        change = REWRITES.get(type(node))
        if change is not None:
            new = change(node)
            if new is not node:
                node.replace(new)
    return tree
