"""All models of the spec, found by walking their fields. What is generated from them starts here."""

from collections.abc import Iterator
from typing import Any, Final, get_args

from adutora.spec.base import Spec
from adutora.spec.model_service import ModelService
from adutora.spec.pipeline import Pipeline
from adutora.spec.project import Project
from adutora.spec.revision import PipelineRevision

KINDS: Final[dict[str, type[Spec]]] = {
    "Pipeline": Pipeline,
    "Project": Project,
    "PipelineRevision": PipelineRevision,
    "ModelService": ModelService,
}


def models(root: type[Spec]) -> dict[str, type[Spec]]:
    """Return `root` and every model below it, by class name, in the order a reader meets them."""
    found: dict[str, type[Spec]] = {}
    _walk(root, found)
    return found


def _walk(model: type[Spec], found: dict[str, type[Spec]]) -> None:
    known = found.setdefault(model.__name__, model)
    if known is not model:
        raise TypeError(f"two models are named {model.__name__}")
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            if inner.__name__ not in found or found[inner.__name__] is not inner:
                _walk(inner, found)


def _models_in(annotation: Any) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
