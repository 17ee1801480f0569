"""Texts and patterns."""

import re
from typing import Any, Final

from sqlglot import exp

from adutora.sparksql.build import Expr, cast, fn, number, text
from adutora.sparksql.refusal import refuse

_ESCAPE: Final = "\x01"  # stands in no pattern: so nothing is escaped, as in DuckDB


def like(node: exp.Like | exp.ILike) -> Expr:
    """A backslash stands for itself, unless ESCAPE says otherwise."""
    pattern = node.expression
    plain = isinstance(pattern, exp.Literal) and "\\" not in pattern.name
    if plain or isinstance(node.parent, exp.Escape):
        return node
    return exp.Escape(this=node.copy(), expression=text(_ESCAPE))


def regexp(node: Any) -> Expr:
    """A regular expression, written out, of what RE2 and Java read alike."""
    pattern = node.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise refuse(node, "a regular expression that is not written out")
    if re.search(r"\[\[:|\\[pPQECzZAG]|\(\?P?<|\(\?[^:i)]", pattern.name):
        raise refuse(node, f"the regular expression {pattern.name!r}, which Java reads otherwise")
    flags = "".join(node.text(name) for name in ("flag", "parameters", "modifiers"))
    if set(flags) - set("gic"):
        raise refuse(node, f"the option {flags!r} of a regular expression")
    java = text(("(?i)" if "i" in flags else "") + pattern.name)
    if isinstance(node, exp.RegexpLike):
        return exp.RegexpLike(this=node.this.copy(), expression=java)
    if isinstance(node, exp.RegexpFullMatch):
        return exp.RegexpLike(this=node.this.copy(), expression=text(f"\\A(?:{java.name})\\z"))
    if isinstance(node, exp.RegexpExtract):
        group = node.args.get("group") or number(0)
        return fn("REGEXP_EXTRACT", node.this, java, group)
    return _replaced(node, java, flags)


def _replaced(node: Any, java: exp.Literal, flags: str) -> Expr:
    given = node.args.get("replacement")
    if "g" not in flags:
        raise refuse(node, "regexp_replace of the first match alone", "write regexp_replace(x, pattern, to, 'g')")
    if not isinstance(given, exp.Literal):
        raise refuse(node, "a replacement that is not written out")
    plain = given.name.replace("$", "\\$")
    return fn("REGEXP_REPLACE", node.this, java, text(re.sub(r"\\(\d)", r"$\1", plain)))


def concat(node: exp.Concat) -> Expr:
    """A concatenation by name passes over nulls; `||` does not."""
    return fn("CONCAT_WS", text(""), *(cast(each, "STRING") for each in node.expressions))


def concat_ws(node: exp.ConcatWs) -> Expr:
    """Values that are no texts are joined as texts."""
    separator, *parts = node.expressions
    return fn("CONCAT_WS", separator, *(cast(each, "STRING") for each in parts))


def group_concat(node: exp.GroupConcat) -> Expr:
    """A joined text needs an order of its own, else its order is chance."""
    if not node.find(exp.Order):
        raise refuse(
            node, "string_agg without ORDER BY", "write string_agg(x, ',' ORDER BY y): else its order is chance"
        )
    return node
