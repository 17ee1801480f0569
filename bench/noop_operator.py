"""The peer of `bench.operator`: a kopf operator that does next to nothing, one annotation for each object."""

from typing import Any

import kopf


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.scanning.disabled = True


@kopf.on.create("adutora.dev", "v1alpha1", "pipelines")
@kopf.on.update("adutora.dev", "v1alpha1", "pipelines")
def note(patch: kopf.Patch, **_: Any) -> None:
    patch.metadata.annotations["bench.adutora.dev/seen"] = "yes"
