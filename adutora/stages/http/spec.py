"""`http`: one request to an API, whose answer can give outputs."""

from typing import Annotated, Literal

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import Identifier, ResourceName, SubJson, SubText


class Http(Spec):
    """Send one request. 408, 425, 429 and 5xx are temporary; other answers that are not expected are errors."""

    connection: ResourceName = Field(description="Connection of type http")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="HTTP method")
    path: SubText = Field(description="Path under the connection's base URL")
    query: dict[Annotated[str, Field(max_length=255)], SubJson] | None = Field(
        None, max_length=50, description="Query parameters"
    )
    headers: dict[Annotated[str, Field(max_length=255)], SubText] | None = Field(
        None, max_length=50, description="Headers; never a secret, which belongs to the connection"
    )
    json_: SubJson | None = Field(None, alias="json", description="JSON body")
    expectStatus: Annotated[list[Annotated[int, Field(ge=100, le=599)]], Field(min_length=1, max_length=50)] | None = (
        Field(None, description="Status codes that are a success; default: any 2xx")
    )
    outputs: dict[Identifier, Annotated[str, Field(min_length=1, max_length=1024)]] | None = Field(
        None,
        max_length=50,
        description="Name and JSONPath of values for later stages; small and never secret",
    )
