"""`python`: a function of your own, `function(inputs) -> table or rows`."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import Identifier, SubJson


class Python(Spec):
    """Call a function from a module beside the pipeline file, or one that the image has."""

    function: Annotated[
        str,
        Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_]*$", min_length=3, max_length=255),
    ] = Field(
        description="`module:function`, called as `function(inputs, **args)`: `inputs` maps names of inputs to Arrow "
        "tables, and is empty where there are none. It returns the rows of `output`; without `output` a dict of small "
        "values, which are the stage's outputs: `$(stages.name.outputs.key)`"
    )
    args: dict[Identifier, SubJson] | None = Field(None, max_length=100, description="Keyword arguments")
