"""Batches of text as the bytes of Redis commands, packed by Arrow: a million rows cost a second.

One command is a call of the script `WRITE` with a group of keys. The arguments of neighbouring rows lie next
to one another in one Arrow buffer, so a group's bytes are two slices: its keys and its fields.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# Redis serves nobody else while a script runs: 100 small hashes take half a millisecond.
GROUP_KEYS = 100
GROUP_VALUES = 1_000
GROUP_BYTES = 1 << 20
PAYLOAD_BYTES = 8 << 20

_BYTES = pa.large_binary()
_NOTHING = pa.scalar(b"", _BYTES)
_LINE = pa.scalar(b"\r\n", _BYTES)


@dataclass(frozen=True)
class Packer:
    """Packs calls of one script.

    `head_keys` and `head_args` go before each group's keys and arguments; `key_prefix` before each key.
    """

    sha: str
    head_keys: Sequence[bytes]
    head_args: Sequence[bytes]
    key_prefix: bytes

    def payloads(self, batch: pa.RecordBatch) -> Iterator[tuple[bytes, int]]:
        """Yield the bytes of some calls, about `PAYLOAD_BYTES` at most, and the number of calls in them.

        `batch` has the keys as its first column and the fields as the others, all strings. A row's arguments
        are its number of fields that are not null, then each one's name and value.
        """
        names, columns = batch.schema.names, [_binary(column) for column in batch.columns]
        keys = _slices(_bulk(pc.binary_join_element_wise(pa.scalar(self.key_prefix, _BYTES), columns[0], _NOTHING)))
        counts = _counts(columns[1:])
        fields = [_field(name, column) for name, column in zip(names[1:], columns[1:], strict=True)]
        args = _slices(pc.binary_join_element_wise(_bulk(_digits(counts)), *fields, _NOTHING))
        totals = [0, *pc.cumulative_sum(counts).to_pylist()]
        parts: list[Any] = []
        size = calls = 0
        for start, stop in _groups(batch.num_rows, len(fields), args):
            call = self._call(stop - start, totals[stop] - totals[start], keys.of(start, stop), args.of(start, stop))
            parts += call
            size += sum(map(len, call))
            calls += 1
            if size >= PAYLOAD_BYTES:
                yield b"".join(parts), calls
                parts, size, calls = [], 0, 0
        if calls:
            yield b"".join(parts), calls

    def _call(self, keys: int, fields: int, key_bytes: memoryview, arg_bytes: memoryview) -> list[Any]:
        key_count = len(self.head_keys) + keys
        count = 3 + key_count + len(self.head_args) + keys + 2 * fields
        head = [b"EVALSHA", self.sha.encode(), b"%d" % key_count, *self.head_keys]
        packed = b"*%d\r\n" % count + b"".join(map(bulk, head))
        return [packed, key_bytes, b"".join(map(bulk, self.head_args)), arg_bytes]


@dataclass(frozen=True)
class _Slices:
    """The bytes of an Arrow array's values, one after the other, and where each begins."""

    offsets: memoryview
    data: memoryview

    def of(self, start: int, stop: int) -> memoryview:
        return self.data[self.offsets[start] : self.offsets[stop]]


def bulk(value: bytes) -> bytes:
    """Return a value as a bulk string of the protocol."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _groups(rows: int, columns: int, args: _Slices) -> Iterator[tuple[int, int]]:
    """Cut rows into groups by number, values and bytes; one row always fits."""
    most = max(1, min(GROUP_KEYS, GROUP_VALUES // columns))
    start = 0
    while start < rows:
        stop = min(start + most, rows)
        limit = args.offsets[start] + GROUP_BYTES
        if args.offsets[stop] > limit:
            stop = max(start + 1, bisect_right(args.offsets, limit, start, stop) - 1)
        yield start, stop
        start = stop


def _binary(column: pa.Array) -> pa.Array:
    return column.cast(pa.large_string()).cast(_BYTES)


def _digits(numbers: pa.Array) -> pa.Array:
    return _binary(numbers.cast(pa.string()))


def _bulk(values: pa.Array, before: bytes = b"") -> pa.Array:
    """Return each value as a bulk string with `before` in front; null stays null."""
    dollar = pa.scalar(before + b"$", _BYTES)
    return pc.binary_join_element_wise(dollar, _digits(pc.binary_length(values)), _LINE, values, _LINE, _NOTHING)


def _field(name: str, values: pa.Array) -> pa.Array:
    return pc.coalesce(_bulk(values, bulk(name.encode())), _NOTHING)


def _counts(columns: Sequence[pa.Array]) -> pa.Array:
    counts = pc.is_valid(columns[0]).cast(pa.int64())
    for column in columns[1:]:
        counts = pc.add(counts, pc.is_valid(column).cast(pa.int64()))
    return counts


def _slices(array: pa.Array) -> _Slices:
    _, offsets, data = array.buffers()
    places = memoryview(offsets).cast("B").cast("q")[array.offset : array.offset + len(array) + 1]
    return _Slices(places, memoryview(data) if data is not None else memoryview(b""))
