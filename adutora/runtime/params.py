"""Values of a run's parameters, checked once more where the stage runs: who started the run may not have.

Airflow judges them by a form, whose patterns are Python's and are left out where they could take forever; the laptop's
command line has judged them by these very rules.
"""

from adutora.dagconfig import DagConfig, Json
from adutora.errors import ConfigError
from adutora.spec.values import check_values


def check_params(config: DagConfig, values: Json) -> None:
    """Check the values of all parameters. Raises ConfigError that names every one that is missing or does not fit."""
    check_values(config.params, values, matches)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches, by RE2 as DuckDB has it: linear in the text, so that no pattern can hang it."""
    import duckdb

    with duckdb.connect(config={"threads": 1, "memory_limit": "64MB", "enable_external_access": False}) as con:
        try:
            row = con.execute(
                "SELECT regexp_full_match($text, $pattern)", {"text": text, "pattern": pattern}
            ).fetchone()
        except duckdb.Error as error:
            raise ConfigError(f"{pattern!r} is no regular expression (RE2)", hint="mend the parameter") from error
    return bool(row and row[0])
