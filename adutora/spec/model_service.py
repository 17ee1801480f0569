"""`ModelService`: serve the version of a model that an alias names."""

from typing import Literal

from pydantic import Field

from adutora.spec.base import API_VERSION, Resources, Spec
from adutora.spec.metadata import Metadata
from adutora.spec.scalars import ResourceName


class ModelServiceSpec(Spec):
    """What is served."""

    model: ResourceName = Field(description="Registered name")
    alias: ResourceName = Field("champion", description="Alias that the server follows")
    replicas: int = Field(1, ge=0, le=100, description="Servers at once")
    resources: Resources | None = Field(None, description="CPU and memory of a server")


class ModelService(Spec):
    """A model server that follows an alias. Not served in this version."""

    apiVersion: Literal["adutora.dev/v1alpha1"] = Field(description=f"`{API_VERSION}`")
    kind: Literal["ModelService"] = Field(description="`ModelService`")
    metadata: Metadata = Field(description="Name and namespace")
    spec: ModelServiceSpec = Field(description="What is served")
