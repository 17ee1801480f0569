"""`container`: an image of your own."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import Identifier, ResourceName, SubText


class EnvVar(Spec):
    """An environment variable."""

    name: Identifier = Field(description="Name")
    value: SubText = Field(description="Value; never a secret, which belongs to a connection")


class Container(Spec):
    """Run an image. Command and arguments are passed on verbatim; values come in by `env`.

    A JSON object of small values that it leaves in `/var/run/adutora/outputs.json` gives the stage's outputs.
    """

    image: Annotated[str, Field(min_length=1, max_length=512)] = Field(description="Image, with tag or digest")
    command: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=100)] | None = Field(
        None, description="Replaces the image's entry point"
    )
    args: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=200)] | None = Field(
        None, description="Arguments, verbatim"
    )
    env: Annotated[list[EnvVar], Field(max_length=100)] | None = Field(
        None, description="Environment variables, in which `$(…)` is substituted"
    )
    connections: Annotated[list[ResourceName], Field(max_length=20)] | None = Field(
        None,
        description="Connections whose settings and secrets arrive as files under /var/run/adutora/connections",
    )
