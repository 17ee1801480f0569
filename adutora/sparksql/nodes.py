"""What may stand in a statement, by the names of SQLGlot's classes. Everything else is refused."""

from typing import Final

# Clauses, operators and names that mean the same on both engines, or are made to by `rewrite`.
_PLAIN = """
    Select From Join Where Group Having Order Ordered Limit Offset Distinct With CTE TableAlias Table Column Identifier
    Alias Star Subquery Union Except Intersect Values Tuple Paren Literal Null Boolean Placeholder Var
    And Or Not EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In Between Like ILike Escape Exists RegexpLike
    Add Sub Mul Div IntDiv Mod Neg Pow DPipe BitwiseAnd BitwiseOr BitwiseXor BitwiseNot
    Case If Coalesce Nullif Cast TryCast DataType DataTypeParam Interval Filter
    Window WindowSpec IgnoreNulls Qualify Array Struct PropertyEQ Bracket Lambda Cube Rollup
    GroupingSets
"""

# Functions that mean the same on both engines, or are made to by `rewrite`.
_FUNCTIONS = """
    Abs Ceil Floor Round Sqrt Exp Ln Log Sign Greatest Least IsNan Pi Sin Cos Tan
    Count CountIf Sum Avg Min Max Stddev StddevPop StddevSamp Variance VariancePop Corr CovarSamp CovarPop
    LogicalAnd LogicalOr Median AnyValue ArgMax ArgMin ArrayAgg GroupConcat PercentileCont
    RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue LastValue NthValue
    Upper Lower Trim Length Substring Left Right Replace Reverse Repeat Pad StartsWith EndsWith Contains StrPosition
    SplitPart Split Concat ConcatWs Ascii Chr Translate MD5 SHA2
    RegexpExtract RegexpReplace RegexpFullMatch
    Year Month Day Hour Minute Second Quarter Week WeekOfYear DayOfWeek DayOfWeekIso DayOfYear DayOfMonth Extract
    TimestampTrunc DateDiff CurrentDate CurrentTimestamp TimeToStr StrToTime DateFromParts LastDay TimeToUnix
    ArrayContains ArraySize Transform ArrayFilter Explode ArrayMax ArrayMin
"""

PLAIN: Final = frozenset(_PLAIN.split())
FUNCTIONS: Final = frozenset(_FUNCTIONS.split())
WHY: Final = {
    "Pivot": "PIVOT and UNPIVOT",
    "TableSample": "a sample",
    "JSONExtract": "JSON",
    "JSONExtractScalar": "JSON",
    "Lateral": "a LATERAL join",
    "Unnest": "unnest in FROM",
    "ApproxDistinct": "approx_count_distinct(), whose estimate is another one",
    "Columns": "COLUMNS(…)",
    "Mode": "mode(), for which of equally frequent values it gives is left to chance",
    "Rand": "random()",
}
