"""`metadata`, the same in every kind."""

from typing import Annotated

from pydantic import Field

from adutora.spec.base import Spec
from adutora.spec.scalars import LongText, ResourceName


class Metadata(Spec):
    """Kubernetes metadata. On a laptop only `name` and `namespace` matter."""

    name: ResourceName = Field(description="Name, unique in its namespace")
    namespace: ResourceName | None = Field(None, description="Namespace; on a laptop `default`")
    labels: dict[Annotated[str, Field(max_length=317)], Annotated[str, Field(max_length=63)]] | None = Field(
        None, max_length=100, description="Labels, for Kubernetes"
    )
    annotations: dict[Annotated[str, Field(max_length=317)], LongText] | None = Field(
        None, max_length=100, description="Annotations, for Kubernetes"
    )
