"""Which columns a write has, in which type, and how they are cast from the relation that brings the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

from adutora.errors import DataError
from adutora.io.duck import literal, quote
from adutora.io.lake import sql
from adutora.io.lake.schema import (
    LONG,
    STRING,
    WIDE,
    LakeColumn,
    LakeType,
    fit,
    fits_sql,
    from_duck,
    is_void,
    is_wide,
)
from adutora.spec.nearest import nearest

if TYPE_CHECKING:
    import pyarrow as pa

# Delta and its readers agree on dates from the year 1 to 9999; DuckDB goes further, up to infinity.
_FIRST, _LAST = "0001-01-01", "9999-12-31"


@dataclass(frozen=True)
class Planned:
    """A column of a write: `sql` gives its value from the relation."""

    name: str
    type: LakeType
    sql: str
    comment: str | None = None

    @property
    def system(self) -> bool:
        """Whether it is one of ours, or passed on from one."""
        return self.name.startswith("_")


@dataclass(frozen=True)
class Plan:
    """The columns of a write. `added` are those that the table does not have yet."""

    columns: tuple[Planned, ...]
    added: tuple[str, ...] = ()

    def select(self, relation: str, *, more: str = "") -> str:
        """Return the query that gives the rows as they are written."""
        items = [f"{column.sql} AS {quote(column.name)}" for column in self.columns]
        return f"SELECT {', '.join([*items, more] if more else items)} FROM {quote(relation)}"

    def arrow(self, more: Sequence[tuple[str, LakeType]] = ()) -> "pa.Schema":
        """Return the Arrow schema, with descriptions as Delta keeps them."""
        import pyarrow as pa

        fields = [
            pa.field(c.name, c.type.arrow(), metadata={"comment": c.comment} if c.comment else None)
            for c in self.columns
        ]
        return pa.schema([*fields, *(pa.field(name, kind.arrow()) for name, kind in more)])

    def with_columns(self, extra: Sequence[Planned], there: Mapping[str, LakeColumn]) -> "Plan":
        """Return the plan with the system's columns, which take the place of columns of the same name."""
        taken = {column.name: column for column in extra}
        kept = [taken.pop(column.name, column) for column in self.columns]
        fresh = [name for name in taken if name not in there]
        return Plan((*kept, *taken.values()), (*self.added, *(n for n in fresh if n not in self.added)))


@dataclass(frozen=True)
class Source:
    """A column of the relation."""

    name: str
    type: LakeType
    duck: str
    wide: bool
    void: bool

    @property
    def sql(self) -> str:
        """The bare value."""
        return quote(self.name)

    def cast(self, target: LakeType) -> str:
        """Return SQL that gives the value in another type."""
        return self.sql if self.duck == target.sql else f"CAST({self.sql} AS {target.sql})"


def sources(con: duckdb.DuckDBPyConnection, relation: str) -> list[Source]:
    """Return the columns of a relation."""
    found = sql.relation(con, f"SELECT * FROM {quote(relation)} LIMIT 0")
    return [
        Source(name, from_duck(kind), str(kind), is_wide(kind), is_void(kind))
        for name, kind in zip(found.columns, found.types, strict=True)
        if not name.startswith("__adutora")
    ]


class Planner:
    """Matches the columns of a relation with those of a table.

    With `replace` the table's columns are replaced, but a column keeps its type where the new values fit it: a sum
    that is a long today and would fit an integer tomorrow stays a long. Else a column that the table does not have is
    added, one that the relation does not have is null. With `freeze` either is an error. Names that begin with `_` are
    the system's and may come and go.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        relation: str,
        there: Mapping[str, LakeColumn],
        *,
        freeze: bool,
        replace: bool,
        comments: Mapping[str, str],
    ) -> None:
        self._con, self._table, self._relation = con, table, relation
        self._there, self._freeze, self._replace = there, freeze, replace
        self._comments = {name.casefold(): text for name, text in comments.items()}
        self._sources = sources(con, relation)
        self._spelled = {name.casefold(): name for name in there}

    def plan(self) -> Plan:
        """Return the plan. Raises DataError that names the columns which do not fit, and the types."""
        given = {self._own(source): source for source in self._sources}
        self._check_names(given)
        counts = self._probe(given)
        self._check_dates(given, counts)
        types = {name: self._type(name, source, counts) for name, source in given.items()}
        fresh = [name for name in given if name not in self._there]
        order = list(given) if self._replace else [*self._there, *fresh]
        columns = tuple(self._planned(name, given.get(name), types.get(name)) for name in order)
        return Plan(columns, tuple(fresh))

    def _own(self, source: Source) -> str:
        """Return the table's spelling of a name: SQL does not tell upper case from lower."""
        return source.name if source.name in self._there else self._spelled.get(source.name.casefold(), source.name)

    def _check_names(self, given: Mapping[str, Source]) -> None:
        if not self._freeze or not self._there:
            return
        extra = [name for name in given if name not in self._there and not name.startswith("_")]
        lacking = [name for name in self._there if name not in given and not name.startswith("_")]
        if not extra and not lacking:
            return
        parts = []
        for name in extra:
            near = nearest(name, lacking or self._there)
            parts.append(f"{name!r} is no column of it" + (f", did you mean {near!r}?" if near else ""))
        parts.extend(f"column {name!r} is lacking" for name in lacking)
        raise DataError(
            f"{self._table}: the schema is frozen: {'; '.join(parts)}",
            hint="mend the columns, or set schema: evolve",
        )

    def _probe(self, given: Mapping[str, Source]) -> dict[str, int]:
        """Count, in one pass, what decides: values, values that do not fit, values that Delta has no place for."""
        questions: dict[str, str] = {}
        for name, source in given.items():
            there = self._there.get(name)
            x = source.sql
            if there and fit(source.type, there.type) != "always" and not source.void:
                questions[f"some {name}"] = f"count({x})"
            if there and (source.wide or fit(source.type, there.type) == "checked"):
                questions[f"there {name}"] = f"count(*) FILTER (NOT {fits_sql(x, there.type)})"
            if source.wide:
                questions[f"long {name}"] = f"count(*) FILTER (NOT {fits_sql(x, LONG)})"
                questions[f"wide {name}"] = f"count(*) FILTER (NOT {fits_sql(x, WIDE)})"
            if source.type.name in ("date", "timestamp", "timestamp_ntz"):
                questions[f"dates {name}"] = f"count(*) FILTER ({source.cast(source.type)} NOT {_between(source.type)})"
        if not questions:
            return {}
        row = sql.first(self._con, f"SELECT {', '.join(questions.values())} FROM {quote(self._relation)}")
        return dict(zip(questions, row, strict=True))

    def _check_dates(self, given: Mapping[str, Source], counts: Mapping[str, int]) -> None:
        bad = [f"{name!r} ({counts[f'dates {name}']})" for name in given if counts.get(f"dates {name}")]
        if bad:
            raise DataError(
                f"{self._table}: dates before the year 1 or after 9999 in column {', '.join(bad)}",
                hint="a check of rule range with onFail: quarantine sets such rows aside",
            )

    def _type(self, name: str, source: Source, counts: Mapping[str, int]) -> LakeType:
        there = self._there.get(name)
        if there is not None:
            if self._fits(name, source, there.type, counts):
                return there.type
            if not self._replace or self._freeze:
                raise self._misfit(name, source, there.type)
        if not source.wide:
            return STRING if source.void else source.type
        if counts[f"wide {name}"]:
            raise self._misfit(name, source, WIDE)
        return WIDE if counts[f"long {name}"] else LONG

    def _fits(self, name: str, source: Source, target: LakeType, counts: Mapping[str, int]) -> bool:
        if source.void:
            return True
        how = fit(source.type, target)
        if source.wide and f"there {name}" in counts and (how == "checked" or target == WIDE):
            return not counts[f"there {name}"]
        if how == "always":
            return True
        return not counts[f"some {name}"] or (how == "checked" and not counts[f"there {name}"])

    def _misfit(self, name: str, source: Source, target: LakeType) -> DataError:
        if source.wide or fit(source.type, target) == "checked":
            column = source.sql
            bad = sql.rows(
                self._con,
                f"SELECT CAST({column} AS VARCHAR) FROM {quote(self._relation)} "
                f"WHERE NOT {fits_sql(column, target)} LIMIT 1",
            )
            shown = f", for example {bad[0][0]}" if bad else ""
            message = f"{self._table}: column {name!r} has values that are no {target.text}{shown}"
        else:
            message = f"{self._table}: column {name!r} is {target.text} in the table, but {source.type.text} came"
        return DataError(message, hint="cast it in the query, or declare the column's type")

    def _planned(self, name: str, source: Source | None, kind: LakeType | None) -> Planned:
        there = self._there.get(name)
        comment = self._comments.get(name.casefold()) or (there.comment if there else None)
        if source is None or kind is None:
            assert there is not None  # noqa: S101  (the order has names of the two alone)
            return Planned(name, there.type, f"CAST(NULL AS {there.type.sql})", comment)
        return Planned(name, kind, source.cast(kind), comment)


def _between(kind: LakeType) -> str:
    last = _LAST if kind.name == "date" else f"{_LAST} 23:59:59.999999"
    zone = "+00" if kind.name == "timestamp" else ""
    first = _FIRST if kind.name == "date" else f"{_FIRST} 00:00:00"
    return f"BETWEEN CAST({literal(first + zone)} AS {kind.sql}) AND CAST({literal(last + zone)} AS {kind.sql})"
