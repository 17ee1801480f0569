"""Lists, and aggregates that keep values."""

import re

from sqlglot import exp

from adutora.sparksql.build import Expr, fn, number
from adutora.sparksql.refusal import refuse


def array_agg(node: exp.ArrayAgg) -> Expr:
    """A list keeps nulls, has an order, and is null of no rows."""
    of, order = node.this, None
    if isinstance(of, exp.Order):
        of, order = of.this, of.expressions
    if isinstance(of, exp.Distinct) or order is None or len(order) != 1:
        raise refuse(
            node, "a list without one ORDER BY of its own", "write list(x ORDER BY y): else its order is chance"
        )
    key, down = order[0].this, bool(order[0].args.get("desc"))
    first = bool(order[0].args.get("nulls_first"))
    # True sorts after false, and the sort is one way for all parts.
    rank = exp.Is(this=key.copy(), expression=exp.Null())
    flag = rank if first == down else exp.Not(this=exp.Paren(this=rank))
    parts = exp.Struct(
        expressions=[
            exp.PropertyEQ(this=exp.to_identifier(name), expression=value)
            for name, value in (("n", exp.Paren(this=flag)), ("k", key.copy()), ("v", of.copy()))
        ]
    )
    ordered = fn("SORT_ARRAY", exp.Anonymous(this="COLLECT_LIST", expressions=[parts]), exp.Boolean(this=not down))
    values = exp.Dot(this=ordered, expression=exp.to_identifier("v"))
    return exp.Nullif(this=values, expression=fn("ARRAY"))


def arg_best(node: exp.ArgMax | exp.ArgMin) -> Expr:
    """Rows without a value do not count."""
    if node.args.get("count"):
        raise refuse(node, "arg_max and arg_min with a count")
    known = exp.Not(this=exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null()))
    name = "MAX_BY" if isinstance(node, exp.ArgMax) else "MIN_BY"
    if isinstance(node.parent, exp.Filter | exp.Window):
        raise refuse(node, "arg_max and arg_min with FILTER or OVER")
    return exp.Filter(this=fn(name, node.this, node.expression), expression=exp.Where(this=known))


def best(node: exp.Max | exp.Min) -> Expr:
    """max(x), and not max(x, n)."""
    if node.expressions or node.args.get("expression") or node.args.get("count"):
        raise refuse(node, "max and min with a count")
    return node


def bracket(node: exp.Bracket) -> Expr:
    """An item of a list, counted from 1; null where there is none."""
    index = node.expressions[0] if len(node.expressions) == 1 else None
    whole = re.fullmatch(r"-?\d+", index.sql()) if index is not None else None
    if whole is None:
        raise refuse(node, "an index that is not one number written out, or a slice")
    shifted = int(whole[0]) + 1  # SQLGlot counts from 0
    if shifted == 0:
        raise refuse(node, "the index 0 of a list, which counts from 1")
    return fn(
        "TRY_ELEMENT_AT", node.this, exp.Literal.number(shifted) if shifted >= 0 else exp.Neg(this=number(-shifted))
    )


def contains(node: exp.ArrayContains) -> Expr:
    """A list that does not hold a value does not, whatever nulls it holds."""
    unknown = exp.Or(
        this=exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null()),
        expression=exp.Is(this=exp.Paren(this=node.expression.copy()), expression=exp.Null()),
    )
    found = exp.Coalesce(this=fn("ARRAY_CONTAINS", node.this, node.expression), expressions=[exp.Boolean(this=False)])
    return exp.If(this=unknown, true=exp.Null(), false=found)


def log_and(node: exp.LogicalAnd | exp.LogicalOr) -> Expr:
    """bool_and and bool_or."""
    return fn("BOOL_AND" if isinstance(node, exp.LogicalAnd) else "BOOL_OR", node.this)
