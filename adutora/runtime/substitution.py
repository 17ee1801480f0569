"""`$(…)` at run time: values from the run, never Jinja, never eval, never a shell."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from adutora.errors import ConfigError, DataError
from adutora.runtime.task import RunInfo, Task
from adutora.spec.template import Ref, parse, parse_when

if TYPE_CHECKING:
    from adutora.spec.base import Spec

S = TypeVar("S", bound="Spec")
MAX_TEXT = 1_000_000


@dataclass(frozen=True)
class Scope:
    """The values that `$(…)` can name."""

    params: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    trigger: Mapping[str, Any] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    item: Any = None

    @classmethod
    def of(cls, task: Task) -> "Scope":
        """Return the scope of a task."""
        return cls.of_run(task.run, task.params, task.outputs, task.item)

    @classmethod
    def of_run(
        cls, run: RunInfo, params: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]], item: Any
    ) -> "Scope":
        """Return the scope of a stage, or of an item of its fan-out, in a run."""
        return cls(
            params=params,
            run={
                "id": run.id,
                "date": dt.date.fromisoformat(run.date),
                "scheduledAt": _time(run.scheduled_at),
                "intervalStart": _time(run.interval_start),
                "intervalEnd": _time(run.interval_end),
            },
            trigger={"type": run.trigger},
            stages=outputs,
            item=item,
        )

    def value(self, ref: Ref) -> Any:
        """Return what a reference names. Raises ConfigError where it leads nowhere."""
        if ref.root == "item":
            return self.item
        if ref.root == "stages":
            stage, _, name = ref.path
            outputs = self.stages.get(stage, {})
            if name not in outputs:
                raise DataError(f"$(stages.{stage}.outputs.{name}): stage {stage!r} left no output {name!r}")
            return outputs[name]
        values: Mapping[str, Any] = getattr(self, ref.root)
        if ref.path[0] not in values:
            raise ConfigError(f"$({ref.root}.{ref.path[0]}) has no value")
        return values[ref.path[0]]


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def as_text(value: Any) -> str:
    """Return a value as it stands inside a longer text."""
    if value is None:
        raise ConfigError("a $(…) inside a text has no value")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"a $(…) inside a text is a {type(value).__name__}; only a lone one may be a list or a map")


def as_json(value: Any) -> Any:
    """Return a value as JSON knows it: dates become text."""
    return value.isoformat() if isinstance(value, dt.date | dt.datetime) else value


def expand(text: str, scope: Scope) -> Any:
    """Substitute one text. A lone `$(…)` keeps the type of its value; `$$(` is a literal `$(`."""
    template = parse(text)
    if template.lone is not None:
        return as_json(scope.value(template.lone))
    out = "".join(part if isinstance(part, str) else as_text(scope.value(part)) for part in template.parts)
    if len(out) > MAX_TEXT:
        raise ConfigError(f"a substituted text has {len(out):,} characters; at most {MAX_TEXT:,} are allowed")
    return out


def expand_json(value: Any, scope: Scope) -> Any:
    """Substitute in every text of a JSON value; keys stay as they are."""
    if isinstance(value, str):
        return expand(value, scope)
    if isinstance(value, dict):
        return {key: expand_json(item, scope) for key, item in value.items()}
    if isinstance(value, list):
        return [expand_json(item, scope) for item in value]
    return value


def substitute(spec: S, scope: Scope) -> S:
    """Return a copy of a model with every marked field substituted; SQL stays, for it is bound later."""
    from adutora.spec.scalars import Bound, Template

    update: dict[str, Any] = {}
    for name, info in type(spec).model_fields.items():
        value = getattr(spec, name)
        if value is None:
            continue
        marks = _marks(info)
        if any(isinstance(mark, Bound) for mark in marks):
            continue
        if any(isinstance(mark, Template) for mark in marks):
            update[name] = _expanded(value, scope, text_only=info.annotation is not Any)
        else:
            update[name] = _nested(value, scope)
    return spec.model_copy(update=update)


def _marks(info: Any) -> list[Any]:
    """Return the annotations of a field, those inside `X | None`, lists and dicts too."""
    found = list(info.metadata)
    stack = [info.annotation]
    while stack:
        annotation = stack.pop()
        found.extend(getattr(annotation, "__metadata__", ()))
        stack.extend(getattr(annotation, "__args__", ()))
    return found


def _expanded(value: Any, scope: Scope, *, text_only: bool) -> Any:
    out = expand_json(value, scope)
    if text_only and isinstance(value, str) and not isinstance(out, str):
        return as_text(out)
    return out


def _nested(value: Any, scope: Scope) -> Any:
    from adutora.spec.base import Spec

    if isinstance(value, Spec):
        return substitute(value, scope)
    if isinstance(value, list):
        return [_nested(item, scope) for item in value]
    return value


def bind(sql: str, scope: Scope) -> tuple[str, dict[str, Any]]:
    """Turn each `$(…)` of a SQL text into a named parameter. Returns the text and the values."""
    values: dict[str, Any] = {}
    names: dict[tuple[str, ...], str] = {}
    parts: list[str] = []
    for part in parse(sql).parts:
        if isinstance(part, str):
            parts.append(part)
            continue
        key = (part.root, *part.path)
        if key not in names:
            names[key] = f"adutora_{len(names)}"
            values[names[key]] = scope.value(part)
        parts.append(f"${names[key]}")
    return "".join(parts), values


def truth(when: str | bool | None, scope: Scope) -> bool:
    """Evaluate `when`: `$(x)`, `!$(x)`, `$(x) == 'y'`, `$(x) != 'y'`."""
    if when is None or isinstance(when, bool):
        return when is not False
    condition = parse_when(when)
    value = scope.value(condition.ref)
    if condition.op is not None:
        equal = _same(value, condition.value)
        return equal if condition.op == "==" else not equal
    if not isinstance(value, bool):
        raise ConfigError(f"when: {when} is {value!r}, not true or false", hint=f"compare it: {when} == 'value'")
    return not value if condition.negate else value


def _same(value: Any, text: Any) -> bool:
    return value is not None and (value == text or as_text(value) == str(text))
