"""`PipelineRevision`: one compiled state of a pipeline. The operator alone writes it, and it never changes."""

from typing import Annotated, Literal

from pydantic import Field

from adutora.spec.base import API_VERSION, Spec
from adutora.spec.metadata import Metadata
from adutora.spec.scalars import ResourceName


class PipelineRevisionSpec(Spec):
    """What was compiled."""

    pipeline: ResourceName = Field(description="Pipeline in this namespace that it was compiled from")
    sequence: int = Field(ge=1, description="Counts up with each revision of the pipeline")
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", min_length=64, max_length=64)] = Field(
        description="SHA-256 of `config`, as hex"
    )
    config: Annotated[str, Field(min_length=2, max_length=1_048_576)] = Field(
        description="DagConfig, as canonical JSON"
    )


class PipelineRevision(Spec):
    """A compiled pipeline; a run keeps the revision that it began with."""

    apiVersion: Literal["adutora.dev/v1alpha1"] = Field(description=f"`{API_VERSION}`")
    kind: Literal["PipelineRevision"] = Field(description="`PipelineRevision`")
    metadata: Metadata = Field(description="Name and namespace")
    spec: PipelineRevisionSpec = Field(description="What was compiled")
