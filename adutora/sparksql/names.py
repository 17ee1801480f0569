"""Tables by the names of Spark's views: inputs and temporary tables; what a WITH names stays."""

from collections.abc import Mapping
from itertools import takewhile

from sqlglot import exp


def resolve(tree: exp.Expr, tables: Mapping[str, str]) -> exp.Expr:
    """Put the name of a view in place of each table that `tables` knows, by `layer.name` or name in lower case.

    A table keeps its name as an alias, so that columns are found by it; `layer.name.column` loses its layer.
    """
    layers = {name.partition(".")[0] for name in tables if "." in name}
    for column in list(tree.find_all(exp.Column)):
        if column.text("db").casefold() in layers and f"{column.text('db')}.{column.table}".casefold() in tables:
            column.set("db", None)
    for table in list(tree.find_all(exp.Table)):
        name = ".".join(part for part in (table.db, table.name) if part).casefold()
        view = tables.get(name)
        if view is None or (not table.db and _is_of_with(table, name)):
            continue
        alias = table.args.get("alias")
        if alias is None or not alias.name:
            columns = alias.args.get("columns") if alias else None
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name, quoted=True), columns=columns))
        table.set("db", None)
        table.set("this", exp.to_identifier(view, quoted=True))
    return tree


def _is_of_with(table: exp.Table, name: str) -> bool:
    """Say whether a name is that of a WITH which the table can see: one before it, or one further out."""
    node: exp.Expr = table
    within: exp.Expr | None = None  # the CTE that the table stands in
    while node.parent is not None:
        node = node.parent
        if isinstance(node, exp.CTE):
            within = node
        ctes = node.args.get("with_")
        if ctes is None:
            continue
        inside = within is not None and within.parent is ctes
        seen = takewhile(lambda cte, end=within: cte is not end, ctes.expressions) if inside else ctes.expressions  # type: ignore[misc]
        if any(cte.alias.casefold() == name for cte in seen):
            return True
    return False
