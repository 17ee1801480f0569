"""Scalar types of the spec: durations, quantities and names, each with one canonical spelling.

A scalar is parsed from what a user wrote and serialized canonically, so that `60s` and `1m` mean, and
compile to, the same bytes.
"""

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = r"^([0-9]{1,9}(w|d|h|m|s))+$"
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES = r"^[0-9]{1,15}([.][0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?$"
_CPU = r"^[0-9]{1,9}([.][0-9]{1,3}|m)?$"


class _Scalar(int):
    """An integer amount with a canonical text; subclasses say how to read and write it."""

    json_schema: ClassVar[dict[str, Any]] = {}

    @classmethod
    def parse(cls, value: object) -> "_Scalar":
        raise NotImplementedError

    def text(self) -> str:
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(value),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.text()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(cls.json_schema)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__


class Duration(_Scalar):
    """A length of time in whole seconds, written as `90s`, `1h30m`, `7d` or `2w`."""

    json_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": _DURATION, "maxLength": 40}

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Read a duration. Raises ValueError that says what would be right."""
        if not isinstance(value, str) or len(value) > 40 or not re.fullmatch(_DURATION, value):
            unit = " has no unit" if isinstance(value, int) else " is no duration"
            raise ValueError(f"{value!r}{unit}; write a number and s, m, h, d or w, for example 30s or 1h30m")
        return cls(sum(int(n) * _SECONDS[u] for n, u in re.findall(r"([0-9]+)([wdhms])", value)))

    def text(self) -> str:
        """Canonical text: the largest units first, `90m` as `1h30m`."""
        rest, parts = int(self), []
        for unit in ("d", "h", "m", "s"):
            count, rest = divmod(rest, _SECONDS[unit])
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts) or "0s"


class Memory(_Scalar):
    """Bytes, written as a Kubernetes quantity: `512Mi`, `2Gi`, `1G`."""

    json_schema: ClassVar[dict[str, Any]] = {"x-kubernetes-int-or-string": True, "pattern": _BYTES, "maxLength": 24}

    @classmethod
    def parse(cls, value: object) -> "Memory":
        """Read a quantity of bytes. Raises ValueError that says what would be right."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or len(text) > 24 or not re.fullmatch(_BYTES, text):
            raise ValueError(f"{value!r} is no amount of bytes; write for example 512Mi or 2Gi")
        match = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
        assert match is not None  # noqa: S101 - the pattern above is stricter
        amount = round(float(match[1]) * (_BINARY | _DECIMAL).get(match[2], 1))
        if amount < 1:
            raise ValueError("must be more than 0")
        return cls(amount)

    def text(self) -> str:
        """Canonical text: the largest binary unit that divides the amount."""
        for unit in ("Ti", "Gi", "Mi", "Ki"):
            if self % _BINARY[unit] == 0:
                return f"{self // _BINARY[unit]}{unit}"
        return str(int(self))


class Cpu(_Scalar):
    """Thousandths of a core, written as a Kubernetes quantity: `500m`, `2`, `"1.5"`."""

    json_schema: ClassVar[dict[str, Any]] = {"x-kubernetes-int-or-string": True, "pattern": _CPU, "maxLength": 16}

    @classmethod
    def parse(cls, value: object) -> "Cpu":
        """Read a quantity of cores. Raises ValueError that says what would be right."""
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or len(text) > 16 or not re.fullmatch(_CPU, text):
            raise ValueError(f'{value!r} is no amount of CPU; write for example 500m or "2"')
        amount = int(text[:-1]) if text.endswith("m") else round(float(text) * 1000)
        if amount < 1:
            raise ValueError("must be more than 0")
        return cls(amount)

    def text(self) -> str:
        """Canonical text: whole cores where they are whole, else thousandths."""
        return str(self // 1000) if self % 1000 == 0 else f"{int(self)}m"


def _pattern(regex: str, length: int, description: str) -> Any:
    return Field(pattern=regex, min_length=1, max_length=length, description=description)


# Kubernetes names: DNS labels, so that a stage can name its pod.
ResourceName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
# Names that SQL, templates and Python can all spell.
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", min_length=1, max_length=63)]
LayerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", min_length=1, max_length=63)]
TableName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*[.][a-z][a-z0-9_]*$", min_length=3, max_length=127)]
# A column as data brings it: any script, but no control characters.
ColumnName = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", min_length=1, max_length=255)]
Text = Annotated[str, Field(max_length=1024)]
LongText = Annotated[str, Field(max_length=16_384)]
Uri = Annotated[str, Field(min_length=1, max_length=1024)]
Rate = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,6}/(s|m|h)$", max_length=10, description="So many requests in a unit of time"),
]


class Template:
    """Marks a text field in which `$(…)` is substituted; the JSON Schema carries `x-adutora-substitute`."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        out = dict(handler(schema))
        out["x-adutora-substitute"] = True
        return out


class Bound(Template):
    """Marks SQL, in which `$(…)` becomes a bound value and never text."""


# JSON as a user wrote it, passed on as it is.
JsonValue = Annotated[Any, WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True}, mode="validation")]
SubText = Annotated[str, Field(max_length=4096), Template()]
SubJson = Annotated[
    Any,
    WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True, "x-adutora-substitute": True}, mode="validation"),
    Template(),
]
