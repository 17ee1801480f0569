"""Read a text in DuckDB's dialect, see that Spark can do it, and write it in Spark's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import sqlglot
from sqlglot import ErrorLevel, exp
from sqlglot.errors import SqlglotError, UnsupportedError

from adutora.sparksql.names import resolve
from adutora.sparksql.nodes import FUNCTIONS, PLAIN, WHY
from adutora.sparksql.refusal import OTHERWISE, Refused, place, refuse
from adutora.sparksql.rewrite import BY_NAME, rewrite

_QUERIES: Final = (exp.Select, exp.Union, exp.Except, exp.Intersect)


@dataclass(frozen=True)
class Statement:
    """One statement: a query, or a temporary table or view that one gives."""

    kind: Literal["query", "table", "view"]
    name: str | None
    tree: exp.Expr
    parameters: frozenset[str]
    columns: tuple[str, ...] = ()  # names that a table or view gives its columns

    @property
    def has_star(self) -> bool:
        """Whether the outermost SELECT says `*`: then the columns' names alone tell which is which."""
        select = self.tree.find(exp.Select) if not isinstance(self.tree, exp.Select) else self.tree
        return select is None or select.is_star

    def render(self, tables: Mapping[str, str]) -> str:
        """Return Spark's text, in which each table has the name of a view of Spark. Keys are names in lower case."""
        tree = resolve(self.tree.copy(), tables)
        return tree.sql("spark", unsupported_level=ErrorLevel.IGNORE, normalize_functions=False)


def translate(query: str) -> list[Statement]:
    """Translate statements, of which the last gives the rows. Parameters are `$name`. Raises Refused."""
    try:
        trees = [tree for tree in sqlglot.parse(query, read="duckdb") if tree is not None]
    except SqlglotError as error:
        raise Refused(f"cannot be translated to Spark: {_first(error)}", OTHERWISE, _offset(error, query)) from error
    if not trees:
        raise Refused("has no statement", "write a SELECT")
    return [_statement(tree, last=number == len(trees) - 1) for number, tree in enumerate(trees)]


def _statement(tree: exp.Expr, *, last: bool) -> Statement:
    kind: Literal["query", "table", "view"] = "query"
    name, columns, body = None, (), tree
    if isinstance(tree, exp.Create) and not last:
        kind = "table" if tree.kind == "TABLE" else "view"
        target, found = tree.this, tree.expression
        if tree.kind not in ("TABLE", "VIEW") or not isinstance(found, exp.Query):
            raise refuse(tree, f"CREATE {tree.kind} is not there on Spark", "make a TEMP TABLE by a SELECT, or a CTE")
        if isinstance(target, exp.Schema):
            columns, target = tuple(each.name for each in target.expressions), target.this
        name, body = target.name, found
    if isinstance(body, exp.Subquery):
        body = body.this
    if not isinstance(body, _QUERIES):
        what = type(tree).__name__.upper() if not isinstance(tree, exp.Command) else str(tree.this).upper()
        raise refuse(tree, f"{what} is not there on Spark", "write CREATE TEMP TABLE … AS SELECT, or a CTE")
    _check(body)
    parameters = frozenset(each.name for each in body.find_all(exp.Placeholder))
    written = rewrite(body.copy())
    _generate(written, body)
    return Statement(kind, name, written, parameters, columns)


def _check(tree: exp.Expr) -> None:
    """Refuse what is in no list. Raises Refused."""
    for node in tree.walk():
        name = type(node).__name__
        if isinstance(node, exp.Anonymous) and node.name.lower() in BY_NAME:
            continue
        if isinstance(node, exp.Anonymous):
            raise refuse(node, f"the function {node.name.lower()}() is not translated to Spark")
        if name not in PLAIN and name not in FUNCTIONS:
            what = WHY.get(name) or (f"the function {_function(node)}()" if isinstance(node, exp.Func) else name)
            raise refuse(node, f"{what} is not translated to Spark")
        wrong = _variant(node)
        if wrong:
            raise refuse(node, f"{wrong} is not translated to Spark")


def _function(node: exp.Func) -> str:
    return node.sql_name().lower()


def _variant(node: exp.Expr) -> str | None:
    """Name a form of a node that Spark does not have."""
    given = node.args
    forms: dict[type[exp.Expr], dict[str, object]] = {
        exp.Join: {"this kind of JOIN": given.get("method") or given.get("kind") in ("POSITIONAL", "ASOF")},
        exp.With: {"WITH RECURSIVE": given.get("recursive")},
        exp.WindowSpec: {"this frame of a window": given.get("kind") == "GROUPS" or given.get("exclude")},
        exp.Table: {
            "a table that a function gives": not isinstance(node.this, exp.Identifier),
            "a sample, PIVOT or AT": given.get("sample") or given.get("pivots") or given.get("version"),
        },
        exp.Limit: {"LIMIT by percent": given.get("limit_options")},
        exp.Distinct: {"DISTINCT ON": given.get("on")},
    }
    if isinstance(node, exp.SetOperation) and given.get("by_name"):
        return "UNION BY NAME"
    return next((words for words, found in forms.get(type(node), {}).items() if found), None)


def _generate(tree: exp.Expr, original: exp.Expr) -> None:
    """See that SQLGlot can write it. Raises Refused with SQLGlot's own words."""
    try:
        tree.sql("spark", unsupported_level=ErrorLevel.RAISE)
    except (UnsupportedError, ValueError) as error:
        raise Refused(f"cannot be translated to Spark: {_first(error)}", OTHERWISE, place(original)) from error


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


def _offset(error: SqlglotError, query: str) -> int | None:
    for each in getattr(error, "errors", ()):
        line, column = each.get("line"), each.get("col")
        if line and column:
            return sum(len(text) + 1 for text in query.splitlines()[: int(line) - 1]) + max(0, int(column) - 1)
    return None
