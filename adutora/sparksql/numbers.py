"""Numbers: division, rounding, casts."""

from typing import Final

from sqlglot import exp

from adutora.sparksql.build import Expr, cast, fn, is_number, number, text, typed
from adutora.sparksql.refusal import refuse

_INTEGERS: Final = ("TINYINT", "SMALLINT", "INT", "BIGINT")

_INTEGER_NAMES: Final = "('tinyint', 'smallint', 'int', 'bigint')"

_TYPES: Final = {
    "BOOLEAN": "BOOLEAN", "TINYINT": "TINYINT", "SMALLINT": "SMALLINT", "INT": "INT", "BIGINT": "BIGINT",
    "INT128": "DECIMAL(38,0)", "FLOAT": "FLOAT", "DOUBLE": "DOUBLE", "TEXT": "STRING", "VARCHAR": "STRING",
    "CHAR": "STRING", "NCHAR": "STRING", "DATE": "DATE", "TIMESTAMP": "TIMESTAMP_NTZ", "TIMESTAMPNTZ": "TIMESTAMP_NTZ",
    "TIMESTAMPTZ": "TIMESTAMP_LTZ", "TIMESTAMPLTZ": "TIMESTAMP_LTZ", "VARBINARY": "BINARY", "BINARY": "BINARY",
}  # fmt: skip


def div(node: exp.Div) -> Expr:
    """`/` divides doubles; by zero it gives infinity, or NaN, and no error."""
    left, right = cast(node.this, "DOUBLE"), cast(node.expression, "DOUBLE")
    if is_number(node.expression) and float(node.expression.name) != 0:
        return exp.Div(this=left, expression=node.expression.copy(), typed=False, safe=False)
    endless = exp.Add(
        this=exp.Mul(this=left.copy(), expression=cast(text("Infinity"), "DOUBLE")), expression=right.copy()
    )
    return exp.Coalesce(this=fn("TRY_DIVIDE", left, right), expressions=[exp.Paren(this=endless)])


def int_div(node: exp.IntDiv) -> Expr:
    """`//` of whole numbers; of others DuckDB divides as `/` does, which nobody means."""
    whole = exp.And(this=typed(node.this, _INTEGER_NAMES), expression=typed(node.expression, _INTEGER_NAMES))
    quotient = exp.IntDiv(this=exp.Paren(this=node.this.copy()), expression=exp.Paren(this=node.expression.copy()))
    wrong = fn("RAISE_ERROR", text("// is for whole numbers; CAST both sides, or write /"))
    return exp.If(this=whole, true=quotient, false=cast(wrong, "BIGINT"))


def to_type(node: exp.Cast | exp.TryCast) -> Expr:
    """A cast to a whole number rounds."""
    kind = _spark_type(node)
    if kind.sql("spark") not in _INTEGERS or _is_whole(node.this):
        return _recast(node, node.this, kind)
    double = _recast(node, fn("RINT", _recast(node, node.this, "DOUBLE")), kind)
    decimal = _recast(node, fn("ROUND", _recast(node, node.this, "DECIMAL(38,9)")), kind)
    return exp.Case(
        ifs=[
            exp.If(this=typed(node.this, "('double', 'float')"), true=double),
            exp.If(this=fn("STARTSWITH", fn("TYPEOF", node.this), text("decimal")), true=decimal),
        ],
        default=_recast(node, node.this, kind),
    )


def _recast(like: exp.Cast | exp.TryCast, node: Expr, kind: exp.DataType | str) -> exp.Cast:
    """Return a cast as `like` is one: one that gives null for what does not fit, or one that fails."""
    to = exp.DataType.build(kind, dialect="spark") if isinstance(kind, str) else kind.copy()
    if isinstance(like, exp.TryCast):
        return exp.TryCast(this=node.copy(), to=to, safe=True)
    return exp.Cast(this=node.copy(), to=to)


def _is_whole(node: Expr) -> bool:
    """Say whether a value is a whole number, a text or a truth value, for sure: no rounding is needed."""
    if isinstance(node, exp.Literal):
        return node.is_string or node.name.isdigit()
    return isinstance(node, exp.Count | exp.Length | exp.RowNumber | exp.Boolean | exp.Null)


def _spark_type(node: exp.Cast | exp.TryCast) -> exp.DataType:
    kind = node.to
    name = kind.this.value if hasattr(kind.this, "value") else str(kind.this)
    if name == "DECIMAL":
        digits = [each.name for each in kind.expressions] or ["18", "3"]
        return exp.DataType.build(f"DECIMAL({', '.join(digits)})", dialect="spark")
    if name not in _TYPES:
        raise refuse(node, f"a cast to {kind.sql('duckdb')} is not there on Spark")
    return exp.DataType.build(_TYPES[name], dialect="spark")


def avg(node: exp.Avg) -> Expr:
    """An average is a double, of decimals too."""
    if isinstance(node.this, exp.Distinct):
        inner = exp.Distinct(expressions=[cast(each, "DOUBLE") for each in node.this.expressions])
        return exp.Avg(this=inner)
    return exp.Avg(this=cast(node.this, "DOUBLE"))


def logarithm(node: exp.Ln | exp.Log) -> Expr:
    """Of zero it is minus infinity, and of less it is NaN."""
    if isinstance(node, exp.Ln):
        of, call = node.this, fn("LN", node.this)
    elif node.expression is None:
        of, call = node.this, fn("LOG10", node.this)
    elif node.this.name in ("2", "10"):
        of, call = node.expression, fn("LOG2" if node.this.name == "2" else "LOG10", node.expression)
    else:
        raise refuse(node, "a logarithm to this base", "write ln(x) / ln(base)")
    zero = exp.If(this=exp.EQ(this=of.copy(), expression=number(0)), true=cast(text("-Infinity"), "DOUBLE"))
    less = exp.If(this=exp.LT(this=of.copy(), expression=number(0)), true=cast(text("NaN"), "DOUBLE"))
    return exp.Case(ifs=[zero, less], default=call)


def whole_part(node: exp.Ceil | exp.Floor) -> Expr:
    """Ceil and floor of a double that is too large for a whole number are the double itself."""
    of = node.this
    large = exp.GTE(this=fn("ABS", of), expression=number(2**52))
    call = fn("CEIL" if isinstance(node, exp.Ceil) else "FLOOR", of)
    return exp.If(this=exp.And(this=typed(of, "('double', 'float')"), expression=large), true=of.copy(), false=call)


def sign(node: exp.Sign) -> Expr:
    """The sign is a whole number."""
    return cast(fn("SIGN", node.this), "TINYINT")


def is_nan(node: exp.IsNan) -> Expr:
    """Of null it is null."""
    known = exp.Is(this=exp.Paren(this=node.this.copy()), expression=exp.Null())
    return exp.If(this=known, true=exp.Null(), false=fn("ISNAN", node.this))


def percentile(node: exp.PercentileCont) -> Expr:
    """quantile_cont(x, 0.5)."""
    if not is_number(node.expression):
        raise refuse(node, "quantile_cont of other than one number that is written out")
    return fn("PERCENTILE", node.this, node.expression)
