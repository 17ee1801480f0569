"""What Spark computed, as a relation of the stage's DuckDB, from where it is committed as any stage's rows are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adutora.errors import ConfigError
from adutora.io import duck
from adutora.io.lake.schema import LakeType, fit, from_duck

if TYPE_CHECKING:
    import duckdb
    from pyspark.sql import DataFrame

    from adutora.runtime.context import StageContext
    from adutora.runtime.spark.staging import Staging

RELATION = "__adutora_spark"
_RESULT = "result"


@dataclass(frozen=True)
class Shape:
    """Names of a result's columns, and their DuckDB types where another engine has to give the same ones."""

    names: tuple[str, ...]
    types: "tuple[duckdb.sqltypes.DuckDBPyType, ...] | None" = None


def write_result(frame: "DataFrame", staging: "Staging", shape: Shape | None = None) -> None:
    """Compute a DataFrame and write it to staging. Its columns go by number: Parquet does not take every name.

    Raises ConfigError for a column of a type that no table has.
    """
    from pyspark.sql import functions

    numbered = frame.toDF(*(f"c{number}" for number in range(len(frame.columns))))
    columns = []
    for number, (field, name) in enumerate(zip(numbered.schema.fields, frame.columns, strict=True)):
        want = str(shape.types[number]) if shape and shape.types else None
        columns.append(functions.expr(_stored(field.dataType.simpleString(), name, want, field.name)).alias(field.name))
    numbered.select(*columns).write.mode("overwrite").parquet(staging.url(_RESULT))


def _stored(kind: str, name: str, want: str | None, column: str) -> str:
    """Return the expression of a column as Parquet takes it."""
    if kind == "void":
        return f"CAST({column} AS STRING)"
    if kind == "interval day" and want == "BIGINT":  # a date less another one
        return f"CAST({column} AS BIGINT)"
    if kind.startswith("interval") or kind in ("variant", "time", "calendar_interval") or kind.startswith("time("):
        raise ConfigError(
            f"column {name} is of Spark's type {kind}, which no table has", hint="CAST it to another type"
        )
    return column


def show_result(ctx: "StageContext", staging: "Staging", shape: Shape) -> str:
    """Show what Spark wrote as a relation, and return its name.

    Raises ConfigError where a column's values would have to change to be of the type that `shape` wants.
    """
    files = [str(path) for path in staging.pull(_RESULT)]
    ctx.readable.extend(files)
    listed = ", ".join(duck.literal(path) for path in files)
    source = f"read_parquet([{listed}])"
    found = ctx.con.sql(f"SELECT * FROM {source} LIMIT 0")
    wanted = shape.types or tuple(found.types)
    items = []
    for number, (name, have, want) in enumerate(zip(shape.names, found.types, wanted, strict=True)):
        _check(name, from_duck(have), from_duck(want))
        kind = duck_type(want)
        items.append(f"CAST(c{number} AS {kind}) AS {duck.quote(name)}")
    ctx.con.execute(f"CREATE OR REPLACE TEMP VIEW {RELATION} AS SELECT {', '.join(items)} FROM {source}")
    return RELATION


def duck_type(kind: object) -> str:
    """Return a type as SQL spells it."""
    return "VARCHAR" if str(kind) == '"NULL"' else str(kind)


def _check(name: str, have: LakeType, want: LakeType) -> None:
    if not agrees(have, want):
        raise ConfigError(
            f"column {name}: Spark gives {have.text} where DuckDB gives {want.text}",
            hint="write a CAST to the type that you mean, or engine: duckdb",
        )


def agrees(have: LakeType, want: LakeType) -> bool:
    """Say whether values can be cast and stay the same: the engines name some types otherwise."""
    if fit(have, want) != "never" or have.name == "string" == want.name:
        return True
    if have.name in ("date", "timestamp", "timestamp_ntz"):
        return want.name in ("date", "timestamp", "timestamp_ntz")
    if want.name == "string":
        return have.name == "string"
    if have.name == want.name == "decimal":
        return True  # digits past the wanted scale were checked by the translation: only trailing zeros go
    if have.name != want.name or not have.fields or len(have.fields) != len(want.fields):
        return False
    return all(agrees(mine, theirs) for (_, mine), (_, theirs) in zip(have.fields, want.fields, strict=True))


def same_names(left: Sequence[str], right: Sequence[str]) -> bool:
    """Say whether two lists have the same names, in any order, each once."""
    mine, theirs = sorted(name.casefold() for name in left), sorted(name.casefold() for name in right)
    return mine == theirs and len(set(mine)) == len(mine)
