"""Records of text files: every one is good or set aside, and never lost."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adutora.io.files.plain import Plain, prepare
from adutora.io.files.records import Scan, Shape, count_records, scan
from adutora.io.objects import local_file


def plain(folder: Path, content: bytes) -> Plain:
    path = folder / "x.csv"
    path.write_bytes(content)
    found = prepare(local_file(path, "x.csv"), folder)
    assert found is not None
    return found


def run(folder: Path, content: bytes | str, columns: int = 2, limit: int = 1 << 20, **options: object) -> Scan:
    raw = content if isinstance(content, bytes) else content.encode()
    return scan(plain(folder, raw), Shape(columns, **options), folder / "x.clean", limit)  # type: ignore[arg-type]


def bad(result: Scan) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in result.bad_path.read_text().splitlines()]
    return [(row["reason"], json.loads(row["raw"])) for row in rows]


@pytest.mark.parametrize(
    ("content", "clean", "set_aside"),
    [
        ("a,b\n1,2\n3,4", "1,2\n3,4\n", []),
        ("a,b\r\n1,2\r\n", "1,2\n", []),
        ("a,b\n1,2\n\n\r\n3,4\n\n", "1,2\n3,4\n", []),
        ("a,b\n1,2\n3\n4,5,6\n", "1,2\n", [("line 3: 1 value where 2 are expected", "3"), ("line 4: 3 values where 2 are expected", "4,5,6")]),
        ("a,b\n7,8,\n", "7,8\n", []),
        ("a,b\n1,\"x\ny\"\n2\n", '1,"x\ny"\n', [("line 4: 1 value where 2 are expected", "2")]),
        ("a,b\n1,5\" pipe\n", '1,5" pipe\n', []),
        ("a,b\n3,\"abc\n4,5\n6,7\n", "4,5\n6,7\n", [("line 2: a quote is not closed", '3,"abc')]),
        ("a,b\n1,\"abc\"def\n4,5\n", "4,5\n", [("line 2: text follows a closing quote", '1,"abc"def')]),
        ("a,b\n1,\"a\nb\"c\n4,5\n", "4,5\n", [("line 2: text follows a closing quote", '1,"a\nb"c')]),
        (b"a,b\n1,\xff\n4,5\n", "4,5\n", [("line 2: is not UTF-8", "1,\\xff")]),
        ('a,b\n1, "x,y" \n2,  "z"\n3, "w\n', '1, "x,y" \n2,  "z"\n', [("line 4: a quote is not closed", '3, "w')]),
        ("a,b\n1,x\ry\n", '1,"x\ry"\n', []),
        ("a,b\n1,2\n  \n", "1,2\n", [("line 3: 1 value where 2 are expected", "  ")]),
    ],
)  # fmt: skip
def test_good_records_are_copied_and_others_set_aside(
    tmp_path: Path, content: str | bytes, clean: str, set_aside: list[tuple[str, str]]
) -> None:
    result = run(tmp_path, content)
    assert result.clean.read_bytes().decode() == clean
    assert bad(result) == set_aside
    assert result.bad == len(set_aside)


def test_old_line_ends_escapes_and_single_columns(tmp_path: Path) -> None:
    assert run(tmp_path, "a,b\r1,2\r3,4\r", newline="\r").good == 2
    assert run(tmp_path, "a,b\r1,2\r3,4", newline="\r").clean.read_text() == "1,2\n3,4\n"
    assert run(tmp_path, 'a,b\n"x\\"y",2\n', escape="\\").good == 1
    assert run(tmp_path, "a\n1\n\n2\n", 1).clean.read_text() == "1\n\n2\n"  # a blank line is a value here
    assert run(tmp_path, "a||b\n1||2\n1|2\n", delimiter="||").good == 1


def test_a_quote_that_never_closes_takes_one_line_with_it(tmp_path: Path) -> None:
    """DuckDB, told to ignore errors, loses good rows here; this is why the scanner exists."""
    rows = "".join(f"{i},t\n" for i in range(20_000))
    result = run(tmp_path, 'a,b\n1,"x\n' + rows + '9,y"z"\n' + rows, limit=1 << 22)
    assert (result.good, result.bad) == (40_001, 1)


@pytest.mark.parametrize("newline", ["\n", ""])
def test_a_line_past_the_limit_is_not_held(tmp_path: Path, newline: str) -> None:
    content = "a,b\n1,2\n3," + "x" * 12_000_000 + newline + ("5,6\n" if newline else "")
    result = run(tmp_path, content, limit=1 << 20)
    assert (result.good, result.bad) == (2 if newline else 1, 1)
    ((reason, raw),) = bad(result)
    assert reason == f"line 3: {12_000_002 + 1:,} bytes are more than 1,048,576" if newline else reason
    assert len(raw) < 70_000


@pytest.mark.parametrize("at", range(4 * 1024 * 1024 - 6, 4 * 1024 * 1024 + 3))
def test_nothing_depends_on_where_a_chunk_ends(tmp_path: Path, at: int) -> None:
    filler = b"a,b\n" + b"x" * (at - 10) + b",1\n"
    content = filler + b'2,"q\r\n""q"\r\n3,4\r\n'
    result = run(tmp_path, content, limit=1 << 23)
    assert (result.good, result.bad) == (3, 0)
    assert result.clean.read_bytes().endswith(b'2,"q\r\n""q"\n3,4\n')


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ['"', '""', "a\nb", "x\r\ny", ",", ";", " ", "", "\n", "\r"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(values, values, values), max_size=20), st.sampled_from(["\n", "\r\n"]))
def test_what_python_writes_is_read_record_by_record(
    tmp_path: Path, rows: list[tuple[str, ...]], line_end: str
) -> None:
    out = io.StringIO()
    # Python does not quote a lone \r by itself where lines end in \n.
    writer = csv.writer(
        out,
        lineterminator=line_end,
        quoting=csv.QUOTE_ALL if any("\r" in value for row in rows for value in row) else csv.QUOTE_MINIMAL,
    )
    writer.writerows([("a", "b", "c"), *rows])
    content = out.getvalue().encode()
    result = run(tmp_path, content, 3)
    assert (result.good, result.bad) == (len(rows), 0)
    assert count_records(plain(tmp_path, content), Shape(3)) == len(rows) + 1
    with result.clean.open(newline="", encoding="utf-8") as file:
        assert [tuple(row) for row in csv.reader(file)] == [tuple(row) for row in rows]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"\r", b"a", b"\xff", b" "]), max_size=40))
def test_garbage_ends_and_every_byte_is_somewhere(tmp_path: Path, parts: list[bytes]) -> None:
    content = b"".join(parts)
    result = run(tmp_path, b"a,b\n" + content, 2)
    kept = result.clean.read_bytes() + "".join(raw for _, raw in bad(result)).encode()
    for byte in (b"a", b" "):
        assert kept.count(byte) >= content.count(byte)
