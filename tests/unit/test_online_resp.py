"""Packed Redis commands, read back by a small parser of the protocol."""

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adutora.io.online import resp
from adutora.io.online.resp import Packer

PACKER = Packer(sha="f" * 40, head_keys=[b"index", b"state"], head_args=[b"7", b"0", b"5"], key_prefix="são:".encode())


def batch(rows: list[tuple[str | None, ...]], columns: int) -> pa.RecordBatch:
    arrays = [pa.array([row[i] for row in rows], pa.string()) for i in range(columns + 1)]
    return pa.RecordBatch.from_arrays(arrays, ["key", *(f"c{i}" for i in range(columns))])


def commands(payload: bytes) -> Iterator[list[bytes]]:
    at = 0
    while at < len(payload):
        end = payload.index(b"\r\n", at)
        assert payload[at : at + 1] == b"*"
        count, at = int(payload[at + 1 : end]), end + 2
        items = []
        for _ in range(count):
            end = payload.index(b"\r\n", at)
            assert payload[at : at + 1] == b"$"
            size = int(payload[at + 1 : end])
            items.append(payload[end + 2 : end + 2 + size])
            assert payload[end + 2 + size : end + 4 + size] == b"\r\n"
            at = end + 4 + size
        yield items


def unpack(packed: pa.RecordBatch) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Return the hashes that the script would write."""
    found = []
    for payload, calls in PACKER.payloads(packed):
        each = list(commands(payload))
        assert len(each) == calls
        for command in each:
            assert command[:2] == [b"EVALSHA", b"f" * 40]
            keys = command[3 : 3 + int(command[2])]
            args = command[3 + len(keys) :]
            assert keys[:2] == [b"index", b"state"]
            assert args[:3] == [b"7", b"0", b"5"]
            at = 3
            for key in keys[2:]:
                size = 2 * int(args[at])
                flat = args[at + 1 : at + 1 + size]
                found.append((key, dict(zip(flat[::2], flat[1::2], strict=True))))
                at += 1 + size
            assert at == len(args)
    return found


TEXT = st.text(max_size=8)


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(TEXT, *[TEXT | st.none()] * n), min_size=1, max_size=250))
)
def test_what_goes_in_comes_out(rows: list[tuple[str | None, ...]]) -> None:
    expected = [
        (f"são:{key}".encode(), {f"c{i}".encode(): v.encode() for i, v in enumerate(values) if v is not None})
        for key, *values in rows
    ]
    assert unpack(batch(rows, len(rows[0]) - 1)) == expected
    whole = batch([rows[0], *rows, rows[0]], len(rows[0]) - 1)
    assert unpack(whole.slice(1, len(rows))) == expected  # a view with an offset


def test_calls_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = next(PACKER.payloads(batch([(str(i), *["x"] * 500) for i in range(20)], 500)))
    assert wide[1] == 10
    heavy = next(PACKER.payloads(batch([(str(i), "x" * 400_000) for i in range(9)], 1)))
    assert heavy[1] == 5
    many = next(PACKER.payloads(batch([(str(i), "x") for i in range(1000)], 1)))
    assert many[1] == 10
    monkeypatch.setattr(resp, "PAYLOAD_BYTES", 1_000_000)
    assert [n for _, n in PACKER.payloads(batch([(str(i), "x" * 400_000) for i in range(9)], 1))] == [2, 2, 1]
