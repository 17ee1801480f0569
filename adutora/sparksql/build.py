"""Parts of a statement of Spark."""

from sqlglot import exp

Expr = exp.Expr


def fn(name: str, *args: Expr) -> exp.Anonymous:
    """Return a call of a function of Spark."""
    return exp.Anonymous(this=name, expressions=[arg.copy() for arg in args])


def cast(node: Expr, kind: str) -> exp.Cast:
    """Return a cast to a type that Spark names."""
    return exp.Cast(this=node.copy(), to=exp.DataType.build(kind, dialect="spark"))


def text(value: str) -> exp.Literal:
    """Return a text."""
    return exp.Literal.string(value)


def number(value: int) -> Expr:
    """Return a whole number."""
    return exp.Literal.number(value)


def typed(node: Expr, names: str) -> Expr:
    """Return whether an expression is of one of these types: known to Spark before it runs anything."""
    return exp.condition(f"typeof(__x) IN {names}", dialect="spark").transform(
        lambda each: node.copy() if isinstance(each, exp.Column) and each.name == "__x" else each
    )


def is_number(node: Expr | None) -> bool:
    return isinstance(node, exp.Literal) and not node.is_string
