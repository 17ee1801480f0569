"""`quality`: check a table that stands, and stop the pipeline if it is not good."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Check, Spec


class Quality(Spec):
    """Check a table, mostly one that another pipeline writes. Nothing is written; `quarantine` is refused."""

    checks: Annotated[list[Check], Field(min_length=1, max_length=200)] = Field(
        description="The rules, as in a table's `checks`"
    )
