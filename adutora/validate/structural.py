"""Structure: a document against its model. What is wrong is said, cut out, and the rest goes on.

A part that was cut out leaves a gap, not an error: whatever refers to it is not blamed. So that names and edges
survive, a stage without a usable type keeps its place as a `container`, and is listed as damaged.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from adutora.spec.base import API_VERSION, Spec
from adutora.spec.diagnostics import Diagnostic, Severity
from adutora.spec.pipeline import STAGE_TYPES, Stage
from adutora.spec.yamlfile import MAX_FINDINGS, Document, Json, Where
from adutora.validate.fields import choices, description, model_at, type_at, unknown_field_hint
from adutora.validate.wording import words

Kind = TypeVar("Kind", bound=Spec)
# Each round cuts something out, so a document ends after few; this bounds what a hostile one may cost.
MAX_ROUNDS = 50
_ANY_VALUE = ("damaged", "damaged:damaged", "/damaged")
_ANY_STAGE = {"container": {"image": "damaged"}}


@dataclass
class Checked(Generic[Kind]):
    """A document, what could be made of it (None: nothing), and what is wrong."""

    document: Document
    value: Kind | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    # Paths as in the document: what was cut out, what something else stands in for, stages that are not whole.
    cut: set[Where] = field(default_factory=set)
    stand_ins: dict[Where, Json] = field(default_factory=dict)
    damaged: set[Where] = field(default_factory=set)
    # Fields that an unknown field was probably meant to be, and maps of which not every field is known.
    misspelt: set[Where] = field(default_factory=set)
    kept: dict[Where, list[int]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Nothing was cut out or replaced."""
        return self.value is not None and not self.cut and not self.stand_ins

    def original(self, path: Where) -> Where:
        """Path in the document of a path in `value`, whose lists may be shorter."""
        out: Where = ()
        for step in path:
            kept = self.kept.get(out)
            out = (*out, kept[step] if kept is not None and isinstance(step, int) and step < len(kept) else step)
        return out


def check_structure(document: Document, kind: type[Kind]) -> Checked[Kind]:
    """Make `kind` of the document, as far as it goes."""
    return _Pruner(document, kind).run()


class _Pruner(Generic[Kind]):
    def __init__(self, document: Document, kind: type[Kind]) -> None:
        self.kind = kind
        self.document = document
        self.out: Checked[Kind] = Checked(document)
        # Places that were complained about already.
        self.told = set(document.refused)
        self.unknown: set[Where] = set()
        self.several: set[Where] = set()
        # How many values were tried in place of a required field.
        self.tries: Counter[Where] = Counter()
        # Items of lists that give several blocks, with the names of these.
        self.split: dict[Where, list[str]] = {}

    def run(self) -> Checked[Kind]:
        """Validate, cut, and validate again until what is left is right."""
        self._surprises()
        self._lost()
        self._several((), self.document.value)
        for _ in range(MAX_ROUNDS):
            try:
                value = self._build(self.document.value, ())
                self.out.value = self.kind.model_validate(value, by_alias=True, by_name=False)
                break
            except ValidationError as error:
                self._round(error.errors(include_url=False))
            if () in self.out.cut:
                break
        return self.out

    def _build(self, value: Json, path: Where) -> Json:
        """Copy of the value without what was cut out, and with the stand-ins."""
        cut, stand_ins = self.out.cut, self.out.stand_ins
        if path in stand_ins:
            return stand_ins[path]
        if isinstance(value, dict):
            out = {k: self._build(v, (*path, k)) for k, v in value.items() if (*path, k) not in cut}
            return out | {str(p[-1]): v for p, v in stand_ins.items() if p[:-1] == path and p[-1] not in value}
        if isinstance(value, list):
            parts = [
                (n, part)
                for n in range(len(value))
                if (*path, n) not in cut
                for part in self._parts((*path, n), value[n])
            ]
            self.out.kept[path] = [index for index, _ in parts]
            return [self._build(part, (*path, index)) for index, part in parts]
        return value

    def _parts(self, path: Where, item: Json) -> list[Json]:
        """An item of a list; where it gives several blocks, one item for each, so that each is checked."""
        given = [name for name in self.split.get(path, ()) if (*path, name) not in self.out.cut]
        if len(given) < 2:
            return [item]
        first = {name: value for name, value in item.items() if name not in given[1:]}
        return [first, *({name: item[name]} for name in given[1:])]

    def _round(self, found: Iterable[ErrorDetails]) -> None:
        """Report the errors of one round and cut what they are about."""
        groups: dict[Where, list[ErrorDetails]] = defaultdict(list)
        for error in found:
            groups[self._place(error)].append(error)
        # Unknown fields first: one of them may be a missing field, misspelt.
        for path, group in sorted(groups.items(), key=lambda item: item[1][0]["type"] != "extra_forbidden"):
            self._one(path, group)

    def _place(self, error: ErrorDetails) -> Where:
        """Path in the document: pydantic adds the branch of a union and `[key]` to it."""
        path = self.out.original(error["loc"])
        if error["type"] == "missing":
            return path
        out: Where = ()
        value = self.document.value
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                break
            out = (*out, step)
        return out

    def _one(self, path: Where, group: list[ErrorDetails]) -> None:
        if len(self.out.diagnostics) >= MAX_FINDINGS:
            self._give_up(path)
            return
        kind, message = group[0]["type"], group[0]["msg"]
        if kind == "missing":
            self._missing(path)
        elif kind == "extra_forbidden":
            self._unknown_field(path, group[0]["input"])
        elif kind == "value_error" and "keep one of them" in message:
            self._keep_one(path)
        elif kind == "value_error" and "needs exactly one of" in message:
            self._none_of(path)
        else:
            emptied = kind == "too_short" and any(cut[:-1] == path for cut in self.out.cut)
            if path not in self.told and not emptied:
                at_key = any(error["loc"][-1:] == ("[key]",) for error in group)
                self._report(path, *words(group, self.document.written(path)), at_key=at_key)
            self._give_up(path)

    def _unknown_field(self, path: Where, value: Json) -> None:
        hint = unknown_field_hint(self.kind, path, value)
        for surprise in self.document.surprises.get(path, ()):
            if surprise.is_key:
                hint = f"{hint or 'no such field'}; YAML 1.1 reads this key as {surprise.reads}"
        self._report(path, f"unknown field `{path[-1]}`", hint, at_key=True)
        meant = re.match(r"did you mean `(.+?)`", hint or "")
        if meant:
            self.out.misspelt.add((*path[:-1], meant[1]))
        self.unknown.add(path)
        self.out.cut.add(path)

    def _missing(self, path: Where) -> None:
        home, name = path[:-1], str(path[-1])
        model = model_at(self.kind, home)
        if path not in self.told and not {path, home} & (self.out.cut | self.out.misspelt):
            self._report(home, f"`{name}` is missing", description(model, name) if model else None)
        self._give_up(path)

    def _several(self, path: Where, value: Json) -> None:
        """Report wherever more than one of the blocks is given. Errors inside each of them are told as well."""
        items: Any = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
        for step, item in items:
            if isinstance(item, dict | list):
                self._several((*path, step), item)
        model = model_at(self.kind, path) if isinstance(value, dict) else None
        given = [name for name in getattr(model, "ONE_OF", ()) if value.get(name) is not None]
        if len(given) > 1 and len(self.out.diagnostics) < MAX_FINDINGS:
            what = ", ".join(f"`{name}`" for name in given[:-1]) + f" and `{given[-1]}`"
            last = max(given, key=lambda name: self.document.places[(*path, name)].index)
            self._report((*path, last), f"gives {what}", "keep one of them", at_key=True)
            self.several.add(path)
            if model is not None and isinstance(path[-1], int) and not _required(model):
                self.split[path] = given

    def _keep_one(self, path: Where) -> None:
        """Keep the first of several blocks, which was told before the first round."""
        given = [name for name in self._choice(path) if (*path, name) in self.document.places]
        given = [name for name in given if (*path, name) not in self.out.cut]
        self.out.cut.update((*path, name) for name in given if name != given[0])

    def _none_of(self, path: Where) -> None:
        choice = self._choice(path)
        gap = any(cut[:-1] == path and (cut[-1] in choice or cut in self.unknown) for cut in self.out.cut)
        gap = gap or path in self.out.misspelt
        if not gap:
            names = ", ".join(f"`{name}`" for name in choice)
            message = "the stage has no type" if model_at(self.kind, path) is Stage else "something is missing"
            self._report(path, message, f"give exactly one of {names}")
        self._give_up(path)

    def _choice(self, path: Where) -> tuple[str, ...]:
        names: tuple[str, ...] = getattr(model_at(self.kind, path), "ONE_OF", ())
        return names

    def _give_up(self, path: Where) -> None:
        """Cut the part at `path` out, or what is around it if it cannot be spared; names and edges are kept."""
        out = self.out
        if len(path) == 3 and path[:2] == ("spec", "stages"):
            self._damage(path)
        elif path == ("spec", "stages"):
            out.stand_ins[path] = [{"name": "unnamed", **_ANY_STAGE}]
            out.damaged.add((*path, 0))
        elif path in _SPARE:
            out.stand_ins[path] = _SPARE[path] or self.kind.__name__
        elif path[:2] == ("spec", "stages") and len(path) == 4 and path[-1] == "name":
            out.stand_ins[path] = f"unnamed-{path[-2]}"
            out.damaged.add(path[:-1])
        else:
            out.cut.add(path)
            if path[:-1] in self.several and path[-1] in STAGE_TYPES:
                # What the stage reads and writes may be right for this block.
                out.misspelt.update((*path[:-1], name) for name in ("input", "inputs", "output"))
            home = model_at(self.kind, path[:-1]) if path else None
            if home is not None and path[-1] in _required(home) and not self._stand_in(path):
                self._give_up(path[:-1])

    def _stand_in(self, path: Where) -> bool:
        """Let a value that may fit stand in for a required field of a stage's block, so that the others are checked.

        Returns whether there is one that was not tried yet.
        """
        if path[:2] != ("spec", "stages") or len(path) < 5:
            return False
        tried = self.tries[path]
        if tried == len(_ANY_VALUE):
            self.out.stand_ins.pop(path, None)
            return False
        self.out.cut.discard(path)
        self.told.add(path)
        self.out.stand_ins[path] = _ANY_VALUE[tried]
        self.tries[path] += 1
        return True

    def _damage(self, path: Where) -> None:
        """Keep a stage's name, inputs and output, but not its type."""
        out = self.out
        stage = self.document.value["spec"]["stages"][path[-1]]
        if (path in out.damaged and (*path, "container") in out.stand_ins) or not isinstance(stage, dict):
            out.stand_ins[path] = {"name": f"unnamed-{path[-1]}", **_ANY_STAGE}
        else:
            out.cut.update((*path, name) for name in STAGE_TYPES if name in stage)
            out.stand_ins[(*path, "container")] = _ANY_STAGE["container"]
            out.cut.discard((*path, "container"))
        out.damaged.add(path)

    def _lost(self) -> None:
        """Cut out what could not be read, which is told already, such as an alias."""
        self.out.misspelt |= self.document.partial
        for path in sorted(self.document.lost, key=len):
            if type_at(self.kind, path) is None:
                self.out.cut.add(path)
            else:
                self._give_up(path)

    def _surprises(self) -> None:
        """Refuse what YAML 1.1 reads differently, wherever it means something."""
        for path, found in self.document.surprises.items():
            expected = type_at(self.kind, path)
            if expected is None:
                continue
            for surprise in found:
                hint = f'write "{surprise.text}"'
                if not surprise.is_key and choices(expected) == (bool,):
                    hint = f"write {surprise.reads}"
                what = f"the key {surprise.text}" if surprise.is_key else surprise.text
                # A lone letter is read so by some readers of 1.1 only.
                severity: Severity = "warning" if len(surprise.text) == 1 else "error"
                message = f"YAML 1.1 reads {what} as {surprise.reads}"
                self._report(path, message, hint, at_key=surprise.is_key, severity=severity)
                if severity == "error":
                    self.told.add(path)

    def _report(
        self, path: Where, message: str, hint: str | None, *, at_key: bool = False, severity: Severity = "error"
    ) -> None:
        self.out.diagnostics.append(self.document.diagnostic(path, message, hint, at_key=at_key, severity=severity))


# What stands in for parts of the envelope; None: the kind's own name.
_SPARE: dict[Where, Any] = {
    ("apiVersion",): API_VERSION,
    ("kind",): None,
    ("metadata",): {"name": "unnamed"},
    ("metadata", "name"): "unnamed",
}


def _required(model: type[Any]) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items() if info.is_required()}
