"""Which pipelines speak of a table or prefix: they are judged again when another one begins or ends to write it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from adutora_operator.objects import Json, Key

Name = tuple[str, str]  # namespace, and the table or prefix


@dataclass
class Mentions:
    """An index of names. What cannot be read in an object is passed over."""

    _by_name: dict[Name, set[Key]] = field(default_factory=dict)
    _names: dict[Key, frozenset[Name]] = field(default_factory=dict)
    _written: dict[Key, frozenset[Name]] = field(default_factory=dict)

    def put(self, key: Key, spec: Json | None) -> set[Key]:
        """Note what a pipeline speaks of, or with None nothing more. Return the others that this concerns."""
        self._forget(key)
        before = self._written.pop(key, frozenset())
        if spec is not None:
            names = frozenset((key.namespace, name) for name in _names(spec))
            self._names[key] = names
            for name in names:
                self._by_name.setdefault(name, set()).add(key)
            self._written[key] = frozenset((key.namespace, name) for name in _written(spec))
        changed = before | self._written.get(key, frozenset())
        return {other for name in changed for other in self._by_name.get(name, ())} - {key}

    def _forget(self, key: Key) -> None:
        for name in self._names.pop(key, ()):
            self._by_name[name].discard(key)
            if not self._by_name[name]:
                del self._by_name[name]


def _names(value: Any) -> Iterator[str]:
    """Yield the texts in fields that name a table or prefix, wherever they stand."""
    if isinstance(value, dict):
        for field_name, inner in value.items():
            if isinstance(inner, str):
                if field_name in {"table", "prefix"}:
                    yield inner
            elif field_name in {"all", "any"} and isinstance(inner, list):
                yield from (each for each in inner if isinstance(each, str))
            else:
                yield from _names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _names(inner)


def _written(spec: Json) -> Iterator[str]:
    stages = spec.get("stages")
    for stage in stages if isinstance(stages, list) else []:
        for block in (stage.get("output"), stage.get("publish")) if isinstance(stage, dict) else ():
            yield from _names(block)
