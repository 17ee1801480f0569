"""JSON lines, log lines and Parquet as relations."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adutora.errors import ConfigError, DataError
from adutora.io import duck
from adutora.io.files import Reading, ReadOptions, format_of, read_files
from adutora.io.files.logs import group_names
from adutora.io.objects import local_file
from adutora.spec.base import Column, Log
from tests.unit.files import Content, FileBench


class Files(FileBench):
    """Files of any format; every record is a row or was set aside."""

    def read(self, fmt: str, *contents: Content, columns: list[str] | None = None, **options: Any) -> Reading:
        reading = self.load(fmt, contents, columns, **options)
        assert reading.rows_in == len(self.rows()) + len(self.bad())
        return reading

    def rows(self) -> list[tuple[Any, ...]]:
        return self.con.execute("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM t").fetchall()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    con = duck.connect(None, 1, tmp_path)
    yield Files(tmp_path, con)
    con.close()


def test_the_format_follows_the_suffix() -> None:
    names = ["a.csv", "a.TSV", "a.jsonl.gz", "a.ndjson", "a.parquet", "a.log.gz"]
    assert [format_of(name) for name in names] == ["csv", "csv", "jsonl", "jsonl", "parquet", "log"]
    assert format_of("a.xyz", "csv") == "csv"
    with pytest.raises(ConfigError, match="not clear"):
        format_of("a.xlsx")


LINES = (
    '{"a": 1, "b": {"x": 1}, "c": [1, "z"], "d": "2025-01-01", "big": 12345678901234567890123, "f": 1.5, "n": null}\n'
    '\n{"a": 2, "e": "x", "t": true, "Id": 1, "id": 2, "m": 1, "/w~": "odd"}\r\n{"m": "text", "f": 2, "zip": "00123"}'
)


def test_jsonl_columns_are_the_union_and_nested_values_stay_json(files: Files) -> None:
    files.read("jsonl", LINES)
    assert files.types() == {
        "a": "BIGINT", "b": "VARCHAR", "c": "VARCHAR", "d": "VARCHAR", "big": "DECIMAL(38,0)", "f": "DOUBLE",
        "n": "VARCHAR", "e": "VARCHAR", "t": "BOOLEAN", "Id": "BIGINT", "id_1": "BIGINT", "m": "VARCHAR",
        "/w~": "VARCHAR", "zip": "VARCHAR",
    }  # fmt: skip
    first, second, third = (dict(zip(files.types(), row, strict=True)) for row in files.rows())
    assert first["b"] == '{"x":1}'
    assert first["c"] == '[1,"z"]'
    assert first["big"] == "12345678901234567890123"
    assert (second["id_1"], second["/w~"], second["m"]) == ("2", "odd", "1")
    assert (third["m"], third["f"], third["zip"], third["a"]) == ("text", "2.0", "00123", None)


BAD_LINES = [("{a:1}", "is no JSON"), ("[1]", "is no object"), ("null", "is no object"), ('{"a":1', "is no JSON"), ('"x"', "is no object")]  # fmt: skip


@pytest.mark.parametrize(("line", "why"), BAD_LINES)
def test_a_line_that_is_no_object(files: Files, line: str, why: str) -> None:
    content = f'{{"a":1}}\n{line}\n{{"a":2}}\n'
    files.read("jsonl", content, tolerant=True)
    assert files.rows() == [("1",), ("2",)]
    assert files.bad() == [(f"line 2: {why}", "f0.jsonl", json.dumps(line))]
    with pytest.raises(DataError, match=rf"f0\.jsonl: line 2: {why}"):
        files.read("jsonl", content)


def test_jsonl_in_odd_bytes(files: Files) -> None:
    files.read("jsonl", gzip.compress(b'{"a":1}\n', mtime=0))
    assert files.rows() == [("1",)]
    files.read("jsonl", b'{"a":1}\n{"a":"\xff"}\n{"a":"x\x00\x1f"}\n' + b"x" * 17_000_000 + b'\n{"a":3}', tolerant=True)
    assert files.rows() == [("1",), ("3",)]
    assert (
        sorted(reason for reason, _, _ in files.bad())
        == [
            "line 2: is not UTF-8",
            "line 4: 17,000,001 bytes are more than 16,777,216",
            "line 3: is no JSON",
        ]
        or len(files.bad()) == 3
    )


def test_jsonl_with_declared_columns(files: Files) -> None:
    files.read("jsonl", '{"a":"1","b":2}\n{"a":"x","b":3}\n{"b":4}\n', columns=["a:long"])
    assert files.rows() == [("1",), (None,)]
    assert files.bad() == [("column a: 'x' is no long", "f0.jsonl", '{"a":"x"}')]
    with pytest.raises(DataError, match="has no column 'c'"):
        files.read("jsonl", '{"a":"1","b":2}\n', columns=["c:long"])
    files.read("jsonl", "", columns=["a:long"])
    assert files.rows() == []


scalars = st.none() | st.booleans() | st.integers(-(10**25), 10**25) | st.text(max_size=5) | st.floats(allow_nan=False, allow_infinity=False, width=32)  # fmt: skip
objects = st.dictionaries(st.sampled_from(["a", "b", "c.d", "$", 'q"', "A"]), scalars | st.lists(scalars, max_size=2))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(objects, max_size=6))
def test_json_that_python_writes_is_read(files: Files, values: list[dict[str, Any]]) -> None:
    reading = files.read("jsonl", "".join(json.dumps(value) + "\n" for value in values), tolerant=True)
    assert reading.rows_in == len(values)
    assert files.bad() == []
    names = list(files.types())
    texts = [row[names.index("a")] for row in files.rows()] if "a" in names else []
    for text, value in zip(texts, values, strict=False):
        if isinstance(value.get("a"), str) and all(isinstance(each.get("a", ""), str) for each in values):
            assert text == value["a"]


CLF = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /x HTTP/1.0" 200 2326'


def test_clf_and_combined(files: Files) -> None:
    odd = '::1 - - [10/Oct/2000:13:55:36 +0000] "\\"q" 404 -'
    late = CLF.replace("10/Oct", "99/Oct")
    files.read("log", f"{CLF}\n{odd}\nnoise\n\n{late}\n", log=Log(pattern="clf"), tolerant=True)
    zoned = "TIMESTAMP WITH TIME ZONE"
    assert list(files.types().values()) == ["VARCHAR", "VARCHAR", "VARCHAR", zoned, "VARCHAR", "INTEGER", "BIGINT"]
    assert files.rows() == [
        ("127.0.0.1", None, "frank", "2000-10-10 20:55:36+00", "GET /x HTTP/1.0", "200", "2326"),
        ("::1", None, None, "2000-10-10 13:55:36+00", '\\"q', "404", None),
    ]
    assert [reason for reason, _, _ in files.bad()] == [
        "line 3: does not match clf",
        "column time: '99/Oct/2000:13:55:36 -0700' is no time like %d/%b/%Y:%H:%M:%S %z",
    ]
    files.read("log", f'{CLF} "http://a" "Moz \\"x\\""\n', log=Log(pattern="combined"))
    assert files.rows()[0][-2:] == ("http://a", 'Moz \\"x\\"')


def test_syslog_keeps_a_time_that_has_no_year(files: Files) -> None:
    content = "<34>Oct 11 22:14:15 box su[12]: 'su' failed: x\nOct  1 22:14:15 h app: y\nbad\n"
    files.read("log", content, log=Log(pattern="syslog"), tolerant=True)
    assert files.rows() == [
        ("34", "Oct 11 22:14:15", "box", "su", "12", "'su' failed: x"),
        (None, "Oct  1 22:14:15", "h", "app", None, "y"),
    ]
    assert files.bad() == [("line 3: does not match syslog", "f0.log", '"bad"')]


def test_logfmt(files: Files) -> None:
    content = 'level=info msg="hello \\"w\\" x" n=1 e= n=2\nother=2 level=warn\nnothing\n'
    files.read("log", content, log=Log(pattern="logfmt"), tolerant=True)
    assert [dict(zip(files.types(), row, strict=True)) for row in files.rows()] == [
        {"level": "info", "other": None, "msg": 'hello "w" x', "n": "1", "e": None},
        {"level": "warn", "other": "2", "msg": None, "n": None, "e": None},
    ]
    assert [reason for reason, _, _ in files.bad()] == ["line 3: does not match logfmt"]


def test_own_expressions(files: Files) -> None:
    log = Log(regex=r"(?P<l>[^ ]+) (x|(?P<n>\d))")
    files.read("log", "a\x1fb 1\nb x\nc\nd 1 \n", log=log, tolerant=True)
    assert files.rows() == [("a\x1fb", "1"), ("b", None)]
    assert len(files.bad()) == 2
    files.read("log", "a 1\n", log=Log(regex=r"(?P<l>\w) (?P<n>\d)"), columns=["n:long"])
    assert files.types() == {"n": "BIGINT"}
    for regex, message in [(r"(?P<l>\w", "is no RE2"), (r"\w+", "names no group"), (r"(?P<l>a)(?=b)", "is no RE2")]:
        with pytest.raises(ConfigError, match=message):
            files.read("log", "a\n", log=Log(regex=regex))
    with pytest.raises(ConfigError, match="how to be read"):
        files.read("log", "a\n")


def test_group_names_count_every_group() -> None:
    assert group_names(r"(?P<a>x)(y)(?:z)[(](?<b>[])(]+)\((?i:q)") == ["a", "__adutora_group1", "b"]


def parquet(folder: Path, name: str, table: pa.Table) -> Path:
    path = folder / name
    pq.write_table(table, path)
    return path


def test_parquet_is_joined_by_name_and_keeps_its_types(files: Files, tmp_path: Path) -> None:
    one = parquet(tmp_path, "a.parquet", pa.table({"a": pa.array([1, 2], pa.int32()), "_source": ["x", "y"]}))
    two = parquet(tmp_path, "b.parquet", pa.table({"b": ["z"], "a": pa.array([3], pa.int32())}))
    found = [local_file(path, path.name) for path in (one, two)]
    options = ReadOptions("parquet", source_column=True)
    reading = read_files(files.con, found, options=options, relation="t", rejects="bad", scratch=tmp_path)
    assert reading.rows_in == 3
    assert files.rows() == [("1", None, "a.parquet"), ("2", None, "a.parquet"), ("3", "z", "b.parquet")]
    assert files.types()["a"] == "INTEGER"


def test_parquet_with_declared_columns(files: Files, tmp_path: Path) -> None:
    path = parquet(tmp_path, "a.parquet", pa.table({"a": [1.0, 1.5, None], "b": ["x", "y", "z"]}))
    options = ReadOptions("parquet", columns=[Column(name="a", type="long")])
    file = local_file(path, path.name)
    read_files(files.con, [file], options=options, relation="t", rejects="bad", scratch=tmp_path)
    assert files.rows() == [("1",), (None,)]
    ((reason, source, row),) = files.bad()
    assert (reason, source, json.loads(row)) == ("column a: '1.5' is no long", "a.parquet", {"a": 1.5, "b": "y"})


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all", b"a,b\n1,2\n"])
def test_what_is_no_parquet(files: Files, content: bytes) -> None:
    with pytest.raises(DataError, match=r"f0\.parquet: is no Parquet"):
        files.read("parquet", content)
