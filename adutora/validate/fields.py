"""What the models say about a place in a document: which model, which field, where else a field belongs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from adutora.spec.nearest import nearest
from adutora.spec.scalars import Bound, Template
from adutora.spec.yamlfile import Where

Model = type[BaseModel]


def written_name(name: str, info: FieldInfo) -> str:
    """Name of a field as users write it."""
    return info.alias or name


@cache
def fields_of(model: Model) -> dict[str, Any]:
    """Field names as written, with their annotations (metadata put back)."""
    return {written_name(name, info): _annotation(info) for name, info in model.model_fields.items()}


def _annotation(info: FieldInfo) -> Any:
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def description(model: Model, name: str) -> str | None:
    """The field's own words."""
    for attribute, info in model.model_fields.items():
        if written_name(attribute, info) == name:
            return info.description
    return None


@cache
def is_template(annotation: Any, mark: Any = Template) -> bool:
    """Whether `$(…)` is substituted (bound, with `mark=Bound`) in a value of this type, or of a union's part."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return any(isinstance(each, mark) for each in metadata) or is_template(inner, mark)
    if get_origin(annotation) in (Union, UnionType):
        return any(is_template(each, mark) for each in get_args(annotation))
    return False


@cache
def choices(annotation: Any) -> tuple[Any, ...]:
    """Members of a union without None, or the type itself; annotations taken off."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return tuple(each for part in get_args(annotation) for each in choices(part) if each is not type(None))
    return (annotation,)


def _step(annotation: Any, step: str | int) -> Any:
    """Type of the part `step` of a value, or None."""
    items, values, model = _parts(annotation)
    if isinstance(step, int):
        return items
    return fields_of(model).get(step) if model is not None else values


@cache
def _parts(annotation: Any) -> tuple[Any, Any, Model | None]:
    """Types of the items of a list and of the values of a map, and the model, that a value of this type may be."""
    items = values = model = None
    for each in choices(annotation):
        origin, args = get_origin(each), get_args(each)
        if each is Any:
            items = values = Any
        elif origin is list:
            items = items or args[0]
        elif origin is dict:
            values = values or args[1]
        elif isinstance(each, type) and issubclass(each, BaseModel):
            model = model or each
    return items, values, model


@cache
def model_of(annotation: Any) -> Model | None:
    """The model that a value of this type is, or that its items are."""
    for each in choices(annotation):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def type_at(kind: Model, path: Where) -> Any:
    """Type of the value at `path`, or None where the models know nothing."""
    annotation: Any = kind
    for step in path:
        annotation = _step(annotation, step)
        if annotation is None:
            return None
    return annotation


def model_at(kind: Model, path: Where) -> Model | None:
    """The model at `path`, or None if something else stands there."""
    annotation = type_at(kind, path)
    return None if annotation is None else model_of(annotation)


def unknown_field_hint(kind: Model, path: Where, value: Any) -> str | None:
    """What would be right in place of the unknown field at `path`."""
    name, home = str(path[-1]), model_at(kind, path[:-1])
    if home is None:
        return None
    near = nearest(name, fields_of(home))
    if near is not None and near.casefold() == name.casefold().replace("_", "").replace("-", ""):
        return f"did you mean `{near}`?"
    return (
        _belongs_below(home, name)
        or _belongs_above(kind, path, name)
        or (f"did you mean `{near}`?" if near else None)
        or _belongs_anywhere(kind, name)
        or _known_fields(home, value)
    )


def _belongs_below(home: Model, name: str) -> str | None:
    for field, annotation in fields_of(home).items():
        below = model_of(annotation)
        if below is not None and name in fields_of(below):
            return f"`{name}` belongs in `{field}`"
    return None


def _belongs_above(kind: Model, path: Where, name: str) -> str | None:
    """Find the nearest model above that has the field."""
    for length in range(len(path) - 2, 0, -1):
        above = model_at(kind, path[:length])
        if above is None or isinstance(path[length], int) or name not in fields_of(above):
            continue
        return f"`{name}` belongs beside `{path[length]}`"
    return None


def _belongs_anywhere(kind: Model, name: str) -> str | None:
    places = [place for place, model in _places(kind) if name in fields_of(model) and place]
    return f"`{name}` belongs in `{min(places, key=lambda each: each.count('.'))}`" if places else None


def _places(model: Model, place: str = "", depth: int = 0) -> Iterator[tuple[str, Model]]:
    yield place, model
    if depth > 6:
        return
    for name, annotation in fields_of(model).items():
        below, items = model_of(annotation), ""
        if below is None:
            for each in choices(annotation):
                if get_origin(each) is list:
                    below, items = model_of(get_args(each)[0]), "[]"
        if below is not None:
            yield from _places(below, f"{place}.{name}{items}".lstrip("."), depth + 1)


def _known_fields(home: Model, value: Any) -> str:
    one_of: tuple[str, ...] = getattr(home, "ONE_OF", ())
    if one_of and isinstance(value, dict):
        return "one of " + ", ".join(f"`{each}`" for each in one_of)
    known = list(fields_of(home))
    if not known:
        return f"a {home.__name__.removesuffix('Connection').lower()} block has no fields"
    return "the fields here are " + ", ".join(f"`{each}`" for each in known)


@dataclass(frozen=True)
class Text:
    """A text somewhere in a model. `substituted`: `$(…)` may stand in it; `bound`: it is SQL, which binds values."""

    path: Where
    text: str
    substituted: bool
    bound: bool = False


def texts(value: Any, path: Where, annotation: Any = None) -> Iterator[Text]:
    """Yield every text of a model with its path as written; keys of maps too."""
    template, binds = is_template(annotation), is_template(annotation, Bound)
    yield from _texts(value, path, annotation, substituted=template, bound=binds)


def _texts(value: Any, path: Where, annotation: Any, *, substituted: bool, bound: bool) -> Iterator[Text]:
    if isinstance(value, BaseModel):
        for name, written, kind, template, binds in _fields(type(value)):
            item = getattr(value, name)
            if item is not None:
                yield from _texts(item, (*path, written), kind, substituted=template, bound=binds)
    elif isinstance(value, str):
        yield Text(path, value, substituted, bound)
    elif isinstance(value, dict | list):
        items: Any = value.items() if isinstance(value, dict) else enumerate(value)
        for step, item in items:
            if isinstance(step, str) and "$(" in step:
                yield Text((*path, step), step, substituted=False)
            kind = None if annotation is None else _step(annotation, step)
            template, binds = substituted or is_template(kind), bound or is_template(kind, Bound)
            yield from _texts(item, (*path, step), kind, substituted=template, bound=binds)


@cache
def _fields(model: Model) -> tuple[tuple[str, str, Any, bool, bool], ...]:
    """Return each field: its name here and as written, its type, and whether it is substituted and binds."""
    names = ((name, written_name(name, info)) for name, info in model.model_fields.items())
    types = fields_of(model)
    return tuple(
        (name, written, types[written], is_template(types[written]), is_template(types[written], Bound))
        for name, written in names
    )
