"""SQL: it parses, it only reads, and `$(…)` stands where a value can be bound."""

import re
from dataclasses import dataclass
from typing import Final

from adutora.spec.template import Ref, scan
from adutora.spec.yamlfile import Where
from adutora.validate.engine import Engine, SqlError, Statement
from adutora.validate.scope import STAGES, TABLES, Scope

PREFIX: Final = "adutora_"
_TEMPORARY: Final = re.compile(
    r"CREATE\s+(OR\s+REPLACE\s+)?TEMP(ORARY)?\s+(TABLE|VIEW|MACRO|FUNCTION)\b", re.IGNORECASE
)
_VARIABLE: Final = re.compile(r"(RE)?SET\s+VARIABLE\b", re.IGNORECASE)
_COMMENT: Final = re.compile(r"\A(\s+|--[^\n]*(\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_CHANGES_MEMORY: Final = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True)
class Bound:
    """SQL with a parameter in place of each `$(…)`."""

    text: str
    refs: dict[str, Ref]
    # Parameters in place of what cannot be read.
    spoilt: frozenset[str]
    # Start in the bound text, and in the text as written, of every part.
    starts: tuple[tuple[int, int], ...]

    def written(self, offset: int) -> int:
        """Offset in the text as written."""
        bound, original = max((start for start in self.starts if start[0] <= offset), default=(0, 0))
        return original + offset - bound


def bind(text: str) -> Bound:
    """Put a parameter in place of each `$(…)`, those too that cannot be read, which is told elsewhere."""
    out, position, starts = "", 0, [(0, 0)]
    refs: dict[str, Ref] = {}
    spoilt: set[str] = set()
    for number, part in enumerate(each for each in scan(text).parts if not isinstance(each, str)):
        out += text[position : part.start].replace("$$(", "$(")
        starts.append((len(out), part.start))
        name = f"{PREFIX}{number}"
        if isinstance(part, Ref):
            refs[name] = part
        else:
            spoilt.add(name)
        out += f"${name}"
        starts.append((len(out), part.end))
        position = part.end
    return Bound(out + text[position:].replace("$$(", "$("), refs, frozenset(spoilt), tuple(starts))


def check_sql(scope: Scope) -> None:
    """Report SQL that does not parse or does what a stage may not do, wherever it stands."""
    for path, block in scope.blocks("sql"):
        _query(scope, (*path, "query"), block.query, block.engine)
    for index, stage in enumerate(scope.spec.stages):
        if stage.output and stage.output.deleteWhere is not None:
            _condition(scope, (*STAGES, index, "output", "deleteWhere"), stage.output.deleteWhere)
    for path, check, about in scope.checks():
        if check.where is not None:
            _condition(scope, (*path, "where"), check.where)
        if check.sql is not None:
            _check_query(scope, (*path, "sql"), check.sql, about)


def _query(scope: Scope, path: Where, text: str, engine: str) -> None:
    bound = bind(text)
    found = Engine.shared().statements(bound.text)
    if isinstance(found, SqlError):
        _syntax(scope, path, found, bound.written(found.offset))
        return
    if not found:
        scope.error(path, "has no statement", "write a SELECT")
        return
    offset, sound = 0, True
    for number, statement in enumerate(found):
        offset = max(offset, bound.text.find(statement.text.strip(), offset))
        wrong = _last(statement) if number == len(found) - 1 else _before(statement)
        sound = sound and not wrong
        if wrong:
            begin = len(statement.text) - len(_bare(statement.text))
            scope.error(path, *wrong, offset=bound.written(offset + max(0, begin)))
        offset += len(statement.text.strip())
    _parameters(scope, path, bound, found)
    if engine == "spark" and sound:
        _on_spark(scope, path, bound)


def _on_spark(scope: Scope, path: Where, bound: Bound) -> None:
    """Report what cannot be translated to Spark."""
    from adutora.sparksql import Refused, translate

    try:
        translate(bound.text)
    except Refused as error:
        offset = bound.written(error.offset) if error.offset is not None else None
        scope.error(path, f"cannot run on Spark: {error.message}", error.hint, offset=offset)


def _syntax(scope: Scope, path: Where, error: SqlError, offset: int) -> None:
    scope.error(path, f"the SQL does not parse: {error.message}", offset=offset)


def _bare(text: str) -> str:
    """Statement without what stands before it: white space and comments."""
    return _COMMENT.sub("", text)


def _last(statement: Statement) -> tuple[str, str] | None:
    if statement.kind == "SELECT" or (
        statement.kind == "MULTI" and re.match(r"PIVOT|FROM|WITH|SELECT", _bare(statement.text).upper())
    ):
        return None
    return f"the last statement gives no rows: it is {_words(statement)}", "end with a SELECT"


def _before(statement: Statement) -> tuple[str, str] | None:
    text = _bare(statement.text)
    if statement.kind in ("CREATE", "MULTI") and _TEMPORARY.match(text):
        if statement.parameters and re.match(r".*?\b(VIEW|MACRO|FUNCTION)\b", text[:60], re.IGNORECASE | re.DOTALL):
            return "`$(…)` cannot be bound in a view or macro", "make a TEMP TABLE"
        return None
    if statement.kind in ("SET", "VARIABLE_SET") and _VARIABLE.match(text):
        return None
    if statement.kind in _CHANGES_MEMORY:
        return None
    hint = "before the last statement only CREATE TEMP TABLE, VIEW or MACRO, SET VARIABLE and changes to them may stand"
    return f"{_words(statement)} may not stand here", hint


def _words(statement: Statement) -> str:
    words = re.match(r"[A-Za-z]+(\s+[A-Za-z]+\b)?", _bare(statement.text))
    if words is None or statement.kind in ("SELECT", "MULTI"):
        return "a second query" if statement.kind == "SELECT" else statement.kind
    return " ".join(words[0].upper().split())[:40]


def _parameters(scope: Scope, path: Where, bound: Bound, found: list[Statement]) -> None:
    """Report `$(…)` that is no value to SQL because it stands in quotes or a comment, and foreign parameters."""
    used = {name for statement in found for name in statement.parameters}
    for name, ref in bound.refs.items():
        if name not in used:
            message = f"{ref} stands in quotes or in a comment, where no value is bound"
            scope.error(path, message, f"write {ref} without quotes: it is a value already", offset=ref.start)
    for name in sorted(used - set(bound.refs) - bound.spoilt):
        shown = "?" if name.isdigit() else f"${name}"
        at = re.search(re.escape(shown) + r"(?![A-Za-z0-9_])", bound.text)
        offset = bound.written(at.start()) if at else None
        scope.error(path, f"the parameter {shown} has no value", "write $(params.name)", offset=offset)


def _condition(scope: Scope, path: Where, text: str) -> None:
    """Report a text that is no condition. Tried alone and in brackets, so that it cannot reach beyond them."""
    if "$(" in text:
        return  # told elsewhere: no value is bound here
    for before, after in (("SELECT 1 WHERE ", "\n"), ("SELECT 1 WHERE (", "\n)")):
        found = Engine.shared().statements(before + text + after)
        if isinstance(found, SqlError):
            offset = min(max(0, found.offset - len(before)), max(0, len(text) - 1))
            _syntax(scope, path, found, offset)
            return
        if len(found) != 1 or found[0].kind != "SELECT" or found[0].parameters:
            scope.error(path, "is no condition", "write for example status <> 'test'")
            return


def _check_query(scope: Scope, path: Where, text: str, own: str | None) -> None:
    if "$(" in text:
        return  # told elsewhere
    found = Engine.shared().statements(text)
    if isinstance(found, SqlError):
        _syntax(scope, path, found, found.offset)
    elif len(found) != 1 or found[0].kind != "SELECT" or found[0].parameters:
        scope.error(path, "must be one SELECT", "each row that it returns is a bad one")
    elif own is not None:
        writers = [stage for stage in scope.spec.stages if stage.output and stage.output.table == own]
        # What the writing stage reads is there as well.
        read = [item.table or item.name or "" for stage in writers for item in stage.all_inputs]
        seen = {each.casefold() for each in (own, *read)}
        for name in sorted(Engine.shared().tables(text)):
            if name.casefold() not in seen:
                hint = f"a check sees {own} alone; `references` looks into another table"
                scope.error(path, f"reads {name}, which is not there in a check", hint, offset=max(0, text.find(name)))


__all__ = ["TABLES", "bind", "check_sql"]
