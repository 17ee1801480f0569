"""`clean`: tidy a table in four steps; every row that is dropped goes to the rejected rows with the reason.

NaN is no value: `dropNulls` drops it, `outliers` passes over it as over a null, neither for the bounds nor for the
verdict. Infinity does not count for the bounds, and lies outside of them.

Of rows that are equal by `dropDuplicates` the one with the smallest other values stays, column by column: a table has
no order of its own, and its files may be compacted, but the same rows must always stay.
"""

import math
from dataclasses import dataclass

import duckdb

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.io.casts import family, shown
from adutora.io.duck import literal, quote, quote_table
from adutora.runtime import rows
from adutora.runtime.check_run import column_types, count, one_row
from adutora.runtime.checks import find
from adutora.runtime.context import StageContext
from adutora.runtime.inputs import read_lazily
from adutora.runtime.prepare import PASSED_ON
from adutora.spec.nearest import did_you_mean
from adutora.stages.clean.spec import Clean, DropDuplicates, Outliers

_ALL, _DROPPED, _LEFT, _REJECTED = (f"__adutora_clean_{name}" for name in ("all", "dropped", "left", "rejected"))
_ID = "__adutora_id"
_FACTORS = {"iqr": 1.5, "zscore": 3.0}
_ENDS = literal(r"^[\s\p{Z}]+|[\s\p{Z}]+$")


def run(spec: Clean, ctx: StageContext) -> None:
    """Tidy the stage's one input and write what is left; rows in = rows out + rejected.

    Raises DataError for a column that is not there, or is not text (`trim`) or numbers (`outliers`).
    """
    ctx.load_inputs()
    if len(ctx.inputs) != 1:
        raise ConfigError(f"stage {ctx.name}: clean tidies one table, not {len(ctx.inputs)}", hint="give one `input`")
    name = ctx.inputs[0].table or ctx.inputs[0].name or ""
    with duck.translated(f"cleaning {name}"):
        cleaning = Cleaning(ctx.con, name)
        rows_in = read_lazily(ctx, lambda: cleaning.load(spec.trim or []))
        if spec.dropNulls:
            cleaning.drop_nulls(spec.dropNulls)
        if spec.dropDuplicates:
            cleaning.drop_duplicates(spec.dropDuplicates)
        if spec.outliers:
            ctx.outcome.metrics["clean.clipped"] = cleaning.outliers(spec.outliers)
        rows_in += cleaning.finish(ctx.rejects)
    ctx.write(_LEFT, rejected=_REJECTED, rows_in=rows_in, preserving=True)


@dataclass
class Cleaning:
    """The steps on one connection. Rows have an id; dropped ones are listed with the reason."""

    con: duckdb.DuckDBPyConnection
    table: str

    def load(self, trim: list[str]) -> int:
        """Take the rows in, with the text columns `trim` trimmed; return how many there are."""
        relation = quote_table(self.table)
        self.columns = column_types(self.con, relation)
        trimmed = {self._column(name, "trim", {"text"}, "text") for name in trim}
        values = ", ".join(
            f"nullif(regexp_replace({quote(name)}, {_ENDS}, '', 'g'), '') AS {quote(name)}"
            if name in trimmed
            else quote(name)
            for name in self.columns
        )
        self.con.execute(
            f"CREATE OR REPLACE TEMP TABLE {_ALL} AS SELECT {values}, row_number() OVER () AS {_ID} FROM {relation}"
        )
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE {_DROPPED} (rid BIGINT, reason VARCHAR)")
        self.con.execute(
            f"CREATE OR REPLACE TEMP VIEW {_LEFT} AS SELECT a.* EXCLUDE ({_ID}) "
            f"FROM {_ALL} a ANTI JOIN {_DROPPED} d ON a.{_ID} = d.rid"
        )
        return count(self.con, f"SELECT count(*) FROM {_ALL}")

    def drop_nulls(self, names: list[str]) -> None:
        """Drop rows in which one of the columns has no value."""
        empty = {name: self._no_value(name) for name in (self._column(each, "dropNulls") for each in names)}
        named = ", ".join(f"CASE WHEN {bad} THEN {literal(name)} END" for name, bad in empty.items())
        self._drop(f"'clean: ' || concat_ws(', ', {named}) || ' has no value'", " OR ".join(empty.values()))

    def drop_duplicates(self, spec: DropDuplicates) -> None:
        """Drop all but one row of each group of equal rows. Columns of the system do not count for the whole row."""
        names = [self._column(name, "dropDuplicates") for name in spec.by or ()]
        names = names or [name for name in self.columns if name not in PASSED_ON]
        by = ", ".join(quote(name) for name in names)
        order = ", ".join([*(quote(name) for name in self.columns if name not in names), _ID])
        why = literal(
            f"clean: another row has the same {', '.join(names)}" if spec.by else "clean: same as another row"
        )
        same = " AND ".join(f"l.{quote(name)} IS NOT DISTINCT FROM g.{quote(name)}" for name in names)
        groups = f"SELECT {by} FROM {self._left()} GROUP BY {by} HAVING count(*) > 1"
        self.con.execute(  # only groups with more than one row are sorted
            f"INSERT INTO {_DROPPED} SELECT {_ID}, {why} FROM {self._left()} l SEMI JOIN ({groups}) g ON {same} "
            f"QUALIFY row_number() OVER (PARTITION BY {by} ORDER BY {order}) > 1"
        )

    def outliers(self, spec: Outliers) -> int:
        """Drop rows that lie far out, or pull their values to the bound; return how many values were pulled."""
        names = [self._column(name, "outliers", {"number", "float"}, "number") for name in spec.columns]
        bounds = {name: found for name in names if (found := self._bounds(name, spec)) is not None}
        if spec.action == "clip":
            return sum(self._clip(name, *bound) for name, bound in bounds.items())
        bad, reasons = [], []
        for name, (low, high) in bounds.items():
            x = quote(name)
            outside = f"coalesce(NOT {self._no_value(name)} AND ({x} < {low} OR {x} > {high}), false)"
            bad.append(outside)
            text = f"{literal(f'{name} is ')} || {shown(x)} || {literal(f', an outlier: not between {low} and {high}')}"
            reasons.append(f"CASE WHEN {outside} THEN {text} END")
        if bad:
            self._drop(f"'clean: ' || concat_ws('; ', {', '.join(reasons)})", " OR ".join(bad))
        return 0

    def finish(self, refused: list[str]) -> int:
        """Make the relation of dropped rows, with those that the input refused; return how many it refused."""
        before = "".join(f"SELECT _reason, _source, _row FROM {quote(name)} UNION ALL " for name in refused)
        dropped = f"SELECT rid AS __adutora_rid, reason AS __adutora_why FROM {_DROPPED}"
        row = rows.to_json({name: kind for name, kind in self.columns.items() if name != "_source"})
        source = "CAST(_source AS VARCHAR)" if "_source" in self.columns else "CAST(NULL AS VARCHAR)"
        self.con.execute(
            f"CREATE OR REPLACE TEMP VIEW {_REJECTED} AS {before}SELECT __adutora_why AS _reason, {source} AS _source, "
            f"CAST({row} AS VARCHAR) AS _row FROM {_ALL} a JOIN ({dropped}) d ON a.{_ID} = d.__adutora_rid"
        )
        return sum(count(self.con, f"SELECT count(*) FROM {quote(name)}") for name in refused)

    def _left(self) -> str:
        return f"(SELECT a.* FROM {_ALL} a ANTI JOIN {_DROPPED} d ON a.{_ID} = d.rid)"

    def _drop(self, reason: str, bad: str) -> None:
        self.con.execute(f"INSERT INTO {_DROPPED} SELECT {_ID}, {reason} FROM {self._left()} WHERE {bad}")

    def _no_value(self, name: str) -> str:
        x = quote(name)
        return f"({x} IS NULL OR isnan({x}))" if family(self.columns[name]) == "float" else f"({x} IS NULL)"

    def _column(self, name: str, step: str, families: set[str] | None = None, wanted: str = "") -> str:
        found = find(name, self.columns)
        if found is None:
            raise DataError(
                f"{self.table}: {step} names column {name!r}, which is not there",
                hint=did_you_mean(name, self.columns),
            )
        if families and family(self.columns[found]) not in families:
            raise DataError(
                f"{self.table}: {step} needs {wanted}s, but column {found} is {self.columns[found]}",
                hint="cast it in the stage before",
            )
        return found

    def _bounds(self, name: str, spec: Outliers) -> tuple[float, float] | None:
        x, factor = f"CAST({quote(name)} AS DOUBLE)", spec.factor or _FACTORS[spec.method]
        middle = (
            f"quantile_cont({x}, 0.25), quantile_cont({x}, 0.75)"
            if spec.method == "iqr"
            else f"avg({x}), stddev_pop({x})"
        )
        found = one_row(self.con, f"SELECT {middle} FROM {self._left()} WHERE isfinite({x})")
        if found[0] is None or found[1] is None:
            return None  # no values
        if not math.isfinite(found[0]) or not math.isfinite(found[1]):
            raise DataError(
                f"{self.table}: outliers of column {name}: its values are too large to reckon with {spec.method}",
                hint="reject absurd values first, with a range check on the table before",
            )
        if spec.method == "iqr":
            spread = factor * (found[1] - found[0])
            return found[0] - spread, found[1] + spread
        # Equal values have no outliers, though their mean may differ from them in the last digit.
        return (found[0] - factor * found[1], found[0] + factor * found[1]) if found[1] else None

    def _clip(self, name: str, low: float, high: float) -> int:
        kind, x = self.columns[name], quote(name)
        inside = low, high
        if family(kind) == "number":  # the nearest value within the bounds that the type can hold
            scale = int(kind.split(",")[1].rstrip(")")) if kind.startswith("DECIMAL") else 0
            inside = f"ceil({low} * 1e{scale}) / 1e{scale}", f"floor({high} * 1e{scale}) / 1e{scale}"  # type: ignore[assignment]
        return count(
            self.con,
            f"UPDATE {_ALL} SET {x} = CAST(CASE WHEN {x} < {low} THEN {inside[0]} ELSE {inside[1]} END AS {kind}) "
            f"WHERE NOT {self._no_value(name)} AND ({x} < {low} OR {x} > {high}) "
            f"AND {_ID} NOT IN (SELECT rid FROM {_DROPPED})",
        )
