"""Meaning: the table of checks, one file per theme. Each gets a `Scope` and reports into it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from adutora.validate.columns import check_columns
from adutora.validate.connections import check_connections
from adutora.validate.graph import check_graph
from adutora.validate.inputs import check_inputs
from adutora.validate.limits import check_limits
from adutora.validate.names import check_names
from adutora.validate.outputs import check_outputs
from adutora.validate.params import check_params
from adutora.validate.paths import check_paths
from adutora.validate.references import check_references
from adutora.validate.rules import check_rules
from adutora.validate.schedule import check_schedule
from adutora.validate.scope import Scope, TooManyError
from adutora.validate.sql import check_sql
from adutora.validate.tables import check_tables
from adutora.validate.types import check_types

CHECKS: Final[tuple[Callable[[Scope], None], ...]] = (
    check_names,
    check_types,
    check_inputs,
    check_outputs,
    check_tables,
    check_columns,
    check_rules,
    check_graph,
    check_references,
    check_sql,
    check_schedule,
    check_params,
    check_paths,
    check_connections,
    check_limits,
)


def check_meaning(scope: Scope) -> None:
    """Run every check."""
    with suppress(TooManyError):
        for check in CHECKS:
            check(scope)
