"""CSV files as they come: what is read, what it is, and what is said about what cannot be."""

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adutora.errors import AdutoraError, ConfigError, DataError
from adutora.io import duck
from adutora.io.files import Reading, ReadOptions, read_files, recovering
from adutora.spec.base import Csv
from tests.unit.files import Content, FileBench


class Files(FileBench):
    """CSV files; a lazy relation is mended as a stage mends it."""

    def read(self, *contents: Content, columns: list[str] | None = None, csv: Any = None, **options: Any) -> Reading:
        return self.load("csv", contents, columns, csv=Csv.model_validate(csv or {}), **options)

    def rows(self, reading: Reading, query: str = "SELECT * FROM t") -> list[tuple[Any, ...]]:
        def action() -> list[tuple[Any, ...]]:
            return self.con.execute(query).fetchall()

        return recovering(self.con, [reading], action)

    def texts(self, reading: Reading) -> list[tuple[Any, ...]]:
        return self.rows(reading, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM t")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    con = duck.connect(None, 2, tmp_path)
    yield Files(tmp_path, con)
    con.close()


@pytest.fixture(params=[False, True], ids=["strict", "tolerant"])
def read(request: pytest.FixtureRequest, files: Files) -> Callable[..., list[tuple[Any, ...]]]:
    """Read both ways: what is right is the same in a lazy view and in a checked copy."""

    def go(*contents: Content, **options: Any) -> list[tuple[Any, ...]]:
        reading = files.read(*contents, tolerant=request.param, **options)
        rows = files.rows(reading)
        assert files.bad() == []
        if request.param:
            assert reading.rows_in == len(rows)
        return rows

    return go


Read = Callable[..., list[tuple[Any, ...]]]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("a,b\n1,x\n", {}, [(1, "x")]),
        ("a,b", {}, []),
        ("a,b\n", {}, []),
        ("a;b\n1;x,y\n", {}, [(1, "x,y")]),
        ("a\tb\n1\tx\n", {}, [(1, "x")]),
        ("a|b\n1|x\n", {}, [(1, "x")]),
        (b"\xef\xbb\xbfa,b\n1,x\n", {}, [(1, "x")]),
        ("a,b\r\n1,x\r\n", {}, [(1, "x")]),
        ("a,b\r1,x\r2,y\r", {}, [(1, "x"), (2, "y")]),
        ("a,b\r\n1,x\n2,y\r\n", {}, [(1, "x"), (2, "y")]),
        ('a,b\n1,"x\ny"\n', {}, [(1, "x\ny")]),
        ('a,b\n1,"x ""y"" z"\n', {}, [(1, 'x "y" z')]),
        ('a,b\n1,5" pipe\n2,y\n', {}, [(1, '5" pipe'), (2, "y")]),
        ('a,b\n"x\\"y",2\n', {}, [('x"y', 2)]),
        ('a, "b"\n1, "x,y" \n', {}, [(1, "x,y")]),
        ("a,b\n'x,1',2\n", {"csv": {"quote": "'"}}, [("x,1", 2)]),
        ("junk\nmore\na,b\n1,x\n", {"csv": {"skip": 2}}, [(1, "x")]),
        ("\n\na,b\n1,x\n", {}, [(1, "x")]),
        ("1,2\n3,4\n", {}, [(1, 2), (3, 4)]),
        ("x,y\nz,w\n", {"csv": {"header": False}}, [("x", "y"), ("z", "w")]),
        ("a,b\n1,é\n".encode("latin-1"), {"csv": {"encoding": "latin-1"}}, [(1, "é")]),
        ("a,b\n1,€\n".encode("cp1252"), {"csv": {"encoding": "windows-1252"}}, [(1, "€")]),
        ("a,b\n1,é\n".encode("utf-16"), {"csv": {"encoding": "utf-16"}}, [(1, "é")]),
        ("a,b\n1,é\n".encode("utf-16"), {}, [(1, "é")]),
        (gzip.compress(b"a,b\n1,x\n", mtime=0), {}, [(1, "x")]),
        (gzip.compress("a,b\n1,é\n".encode("latin-1"), mtime=0), {"csv": {"encoding": "latin-1"}}, [(1, "é")]),
        ("a,b\nNULL,1\n,2\n-,3\n", {"csv": {"nullValues": ["NULL", "-"]}}, [(None, 1), (None, 2), (None, 3)]),
        ("a,b\nNA,1\nnull,2\n", {}, [("NA", 1), ("null", 2)]),
        ("# a,b\n#1,x\n", {}, [("#1", "x")]),
        ("a,b\n1," + "x" * 3_000_000 + "\n", {}, [(1, "x" * 3_000_000)]),
    ],
)
def test_layouts(read: Read, content: Content, options: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert read(content, **options) == expected


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20"], "BIGINT"),
        (["00123", "1"], "VARCHAR"),
        (["+55", "1"], "VARCHAR"),
        (["0x10"], "VARCHAR"),
        (["1_000"], "VARCHAR"),
        (["0", "0.5", "-0.5", ".5", "1e3"], "DOUBLE"),
        (["01.5"], "VARCHAR"),
        (["nan", "1.5"], "VARCHAR"),
        (["1.5", "12345678901234567890"], "DOUBLE"),
        (["1", "12345678901234567890"], "DECIMAL(38,0)"),
        (["12345678901234567890", "12345678901234567891"], "VARCHAR"),
        (["1", "35250812345678000190550010000000011000000010"], "VARCHAR"),
        (["true", "FALSE"], "BOOLEAN"),
        (["t", "f"], "VARCHAR"),
        (["yes"], "VARCHAR"),
        (["2025-07-28"], "DATE"),
        (["2025-02-30"], "VARCHAR"),
        (["05/07/2025"], "VARCHAR"),
        (["2025-07-28", "2025-07-28 10:00:00"], "TIMESTAMP"),
        (["2025-07-28T10:00:00"], "TIMESTAMP"),
        (["2025-07-28T09:00:00Z"], "TIMESTAMP WITH TIME ZONE"),
        (["2025-07-28T09:00:00+03:00", ""], "TIMESTAMP WITH TIME ZONE"),
        (["2025-07-28T09:00:00Z", "2025-07-28T09:00:00"], "VARCHAR"),
        (["10:00:00"], "VARCHAR"),
        (["ae7b3174-8be8-4d53-a3a5-9b8240970eea"], "VARCHAR"),
        (["", ""], "VARCHAR"),
    ],
)
@pytest.mark.parametrize("tolerant", [False, True])
def test_types_lose_nothing(files: Files, values: list[str], kind: str, tolerant: bool) -> None:
    reading = files.read("v,w\n" + "".join(f"{value},x\n" for value in values), tolerant=tolerant)
    assert len(files.texts(reading)) == len(values)
    assert files.types()["v"] == kind


@pytest.mark.parametrize(
    ("values", "csv", "expected"),
    [
        (["1,5", "2.000,75", "1.234.567"], {"decimal": ",", "delimiter": ";"}, [1.5, 2000.75, 1234567.0]),
        (["31/12/2025", "05/07/2025"], {"dateFormat": "%d/%m/%Y"}, ["2025-12-31", "2025-07-05"]),
        (["31/12/2025 10:00"], {"timestampFormat": "%d/%m/%Y %H:%M"}, ["2025-12-31 10:00:00"]),
    ],
)
def test_numbers_and_dates_in_other_spellings(
    read: Read, values: list[str], csv: dict[str, str], expected: list[Any]
) -> None:
    rows = read("v;w\n" + "".join(f"{value};x\n" for value in values), csv=csv)
    assert [row[0] if isinstance(row[0], float) else str(row[0]) for row in rows] == expected


def test_a_point_is_no_decimal_where_the_comma_is(files: Files) -> None:
    reading = files.read("v;w\n1.5;x\n2,5;y\n", csv={"decimal": ","}, types={"v": "double"})
    assert files.rows(reading) == [(2.5, "y")]
    ((reason, _, row),) = files.bad()
    assert "is no double" in reason
    assert row == '{"v":"1.5","w":"x"}'


def test_names_are_unique_and_never_empty(read: Read, files: Files) -> None:
    read(' a ,"b c",A,,_source,a\n1,2,3,4,5,6\n')
    assert list(files.types()) == ["a", "b c", "A_1", "column3", "_source_1", "a_2"]


def test_files_with_other_headers_are_joined_by_name(read: Read, files: Files) -> None:
    rows = read("a,b\n1,2\n", "b,c\n3.5,x\n", "b;a\n4;5\n")
    assert sorted(rows, key=str) == sorted([(1, 2.0, None), (None, 3.5, "x"), (5, 4.0, None)], key=str)
    assert files.types() == {"a": "BIGINT", "b": "DOUBLE", "c": "VARCHAR"}


def test_a_file_named_twice_is_read_once(files: Files) -> None:
    file = files.put("x.csv", "a\n1\n")
    options = ReadOptions("csv", tolerant=True, source_column=True)
    reading = read_files(files.con, [file, file], options=options, relation="t", rejects="bad", scratch=files.folder)
    assert files.rows(reading) == [(1, "x.csv")]


def test_source_is_the_path_that_users_know(read: Read) -> None:
    assert read("a\n1\n", "a\n2\n", source_column=True) == [(1, "f0.csv"), (2, "f1.csv")]


def test_types_widen_with_later_rows(read: Read, files: Files) -> None:
    many = "1,2025-01-01\n" * 200_000
    rows = read("a,d\n" + many + "1.5,2025-01-01 10:00:00\n" + many)
    assert len(rows) == 400_001
    assert files.types() == {"a": "DOUBLE", "d": "TIMESTAMP"}


@pytest.mark.slow
def test_a_number_that_turns_into_text_late_is_named(files: Files) -> None:
    many = "1,2\n" * 400_000
    content = "a,b\n" + many + "n/a,2\n" + many
    with pytest.raises(DataError, match=r"f0\.csv:400002: column a: 'n/a' is no number"):
        files.rows(files.read(content))
    reading = files.read(content, tolerant=True)
    assert reading.rows_in == 800_001
    assert files.types()["a"] == "VARCHAR"


def test_the_message_survives_a_sealed_connection(files: Files) -> None:
    many = "1,2\n" * 400_000
    reading = files.read("a,b\n" + many + "1.5,2\n" + '3,"x\n')
    duck.seal(files.con, [str(path) for path in reading.readable])
    with pytest.raises(DataError, match=r"f0\.csv: line 400003: a quote is not closed"):
        files.rows(reading, "SELECT sum(a) FROM t")


def test_a_sealed_connection_reads_mended_copies(files: Files) -> None:
    reading = files.read("a,b\n1,x\n" + "2,y\n" * 300_000 + "3.5,z\r\n4,w\n")
    duck.seal(files.con, [str(path) for path in reading.readable])
    assert files.rows(reading, "SELECT sum(a), count(b) FROM t") == [(600_008.5, 300_003)]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, r"f0\.csv: is empty"),
        ("\n\n \n", {}, r"f0\.csv: is empty"),
        (b"\xef\xbb\xbf", {}, "is empty"),
        (gzip.compress(b"", mtime=0), {}, "is empty"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 90_000, mtime=0)[:150], {}, "broken gzip"),
        ("a;b\n1;2\n", {"csv": {"delimiter": ","}}, "';' does"),
        ("x" * 17_000_000, {}, "line 1 is longer"),
        (b"a,\xe9\n1,2\n", {}, "line 1 is not UTF-8.*csv.encoding"),
        (b"\xff" * 10, {"csv": {"encoding": "utf-16"}}, "is not utf-16"),
    ],
)
def test_files_that_cannot_be_read_at_all(
    files: Files, content: Content, options: dict[str, Any], message: str
) -> None:
    for tolerant in (False, True):
        with pytest.raises(DataError, match=message):
            files.rows(files.read(content, tolerant=tolerant, **options))


def test_an_unknown_encoding_is_a_mistake_in_the_pipeline(files: Files) -> None:
    for encoding in ("utf-99", "base64"):
        with pytest.raises(ConfigError, match="encoding"):
            files.read("a\n1\n", csv={"encoding": encoding})


UGLY = {
    "too few": ("a,b\n1,2\n3\n4,5\n", "line 3: 1 value where 2 are expected"),
    "too many": ("a,b\n1,2\n3,4,5\n4,5\n", "line 3: 3 values where 2 are expected"),
    "unclosed": ('a,b\n1,2\n3,"x\n4,5\n', "line 3: a quote is not closed"),
    "junk": ('a,b\n1,2\n3,"x"y\n4,5\n', "line 3: text follows a closing quote"),
    "encoding": (b"a,b\n1,2\n3,\xff\n4,5\n", "line 3: is not UTF-8"),
    "long": ("a,b\n1,2\n3," + "x" * 20_000_000 + "\n4,5\n", "line 3: 20,000,003 bytes are more than 16,777,216"),
}


@pytest.mark.parametrize("name", UGLY)
@pytest.mark.slow
def test_a_broken_line_stops_a_strict_reading_and_is_set_aside_by_a_tolerant_one(files: Files, name: str) -> None:
    content, reason = UGLY[name]
    with pytest.raises(DataError, match=f"f0.csv: {reason}"):
        files.rows(files.read(content))
    reading = files.read(content, tolerant=True)
    assert files.rows(reading) == [(1, 2), (4, 5)]
    assert reading.rows_in == 3
    ((why, source, _),) = files.bad()
    assert (why, source) == (reason, "f0.csv")


def test_only_the_broken_file_of_several_is_read_twice(files: Files) -> None:
    reading = files.read("a,b\n1,2\n", "a,b\n3,4\n5\n", tolerant=True, source_column=True)
    assert files.rows(reading) == [(1, 2, "f0.csv"), (3, 4, "f1.csv")]
    assert reading.rows_in == 3


def test_declared_columns_are_cast_and_rows_rejected_with_the_reason(files: Files) -> None:
    content = "a,b,c\n1,abc,x\n2,1.50,y\n3,,z\n4,1.005,w\n1.5,x,v\n"
    reading = files.read(content, columns=["b:decimal(12,2)", "A:long"])
    assert [(str(b), a) for b, a in files.rows(reading)] == [("1.50", 2), ("None", 3)]
    assert files.types() == {"b": "DECIMAL(12,2)", "A": "BIGINT"}
    assert [reason for reason, _, _ in files.bad()] == [
        "column b: 'abc' is no decimal(12,2)",
        "column b: '1.005' is no decimal(12,2)",
        "column b: 'x' is no decimal(12,2); column A: '1.5' is no long",
    ]
    assert files.bad()[0][2] == '{"a":"1","b":"abc","c":"x"}'
    assert reading.rows_in == 5


@pytest.mark.parametrize("content", ["id,t\n", "id,t", "t\r\n", "T,f\n"])
def test_a_header_alone_has_no_rows_whatever_its_names(read: Read, files: Files, content: str) -> None:
    assert read(content) == []
    assert [name for name in files.types() if name != "_source"] == content.strip().split(",")


@pytest.mark.parametrize("columns", [["city:string", "2023:long"], ["City:string", "t:string"]])
def test_a_first_line_with_the_declared_names_is_the_header(files: Files, columns: list[str]) -> None:
    header = ",".join(each.partition(":")[0] for each in columns)
    files.read(f"{header}\n", columns=columns)
    assert (files.con.execute("SELECT * FROM t").fetchall(), files.bad()) == ([], [])
    files.read(f"{header}\nx,5\n", columns=columns)
    assert [str(value) for value in files.con.execute("SELECT * FROM t").fetchall()[0]] == ["x", "5"]
    assert files.bad() == []


def test_declared_columns_name_those_of_a_file_without_header(files: Files) -> None:
    reading = files.read("1,x\n2,y\n", columns=["id:long", "name:string"])
    assert files.rows(reading) == [(1, "x"), (2, "y")]
    with pytest.raises(DataError, match="has 2 columns and no header, but 1"):
        files.read("1,2\n2,3\n", columns=["id:long"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("identifier,amount\n1,2\n", "has no column 'amonut'.*did you mean `amount`"),
        ("text\nfoo\n", "only one column, 'text', was found where 2"),
    ],
)
def test_a_declared_column_that_is_not_there(files: Files, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        files.read(content, columns=["amonut:long", "identifier:long"])


def test_a_declared_column_missing_in_one_of_several_files(files: Files) -> None:
    with pytest.raises(DataError, match=r"f1\.csv: has no column 'b'"):
        files.read("a,b\n1,2\n", "a,c\n1,2\n", columns=["a:long", "b:long"])


def test_hints_keep_the_type_and_other_columns(files: Files) -> None:
    reading = files.read("a,b\n1.5,x\n2,y\n", types={"a": "long", "zzz": "long"})
    assert files.rows(reading) == [(2, "y")]
    assert [reason for reason, _, _ in files.bad()] == ["column a: '1.5' is no long"]


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6) | st.sampled_from(
    ["a\nb", '"', ",", ";", "|", "00", "1", "1.5", "2025-01-01", "x\r\ny", "NA", "true", "'", "#", " "]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(texts, texts), max_size=8), st.sampled_from([",", ";", "\t"]), st.booleans())
@pytest.mark.slow
def test_what_python_writes_comes_back(
    files: Files, rows: list[tuple[str, str]], delimiter: str, tolerant: bool
) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerows([("one", "two"), *rows])
    dialect = {"delimiter": delimiter, "quote": '"', "escape": '"', "header": True}
    reading = files.read(out.getvalue(), csv=dialect, types={"one": "string", "two": "string"} if tolerant else {})
    got = files.rows(reading, "SELECT coalesce(one::VARCHAR, ''), coalesce(two::VARCHAR, '') FROM t")
    assert len(got) == len(rows)
    if tolerant:
        assert sorted(got) == sorted(rows)
        assert reading.rows_in == len(rows)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(['"', ",", "\n", "\r\n", "\r", "a", "1", " ", "é"]), min_size=1, max_size=40))
@example([",", " ", " ", '"', "\r", '"'])
@example([",", " ", " ", '"', '"', "\r", '"'])
@example([",", " ", '"', "\r", '"'])
@pytest.mark.slow
def test_every_record_of_garbage_is_a_row_or_set_aside(files: Files, parts: list[str]) -> None:
    try:
        reading = files.read("x,y\n" + "".join(parts), tolerant=True)
    except AdutoraError as error:
        pytest.fail(str(error))
    rows = files.rows(reading)
    assert reading.rows_in == len(rows) + len(files.bad())
    assert "".join(parts).count("a") <= str([rows, files.bad()]).count("a")


@pytest.mark.parametrize("columns", [None, ["a:long"]])
def test_a_name_that_stands_twice_in_the_header_is_told_with_its_line(files: Files, columns: list[str] | None) -> None:
    reading = files.read("\n\na,b, A ,,\n1,2,3,4,5\n", "x,y\n1,2\n" if columns is None else "a\n1\n", columns=columns)
    assert reading.warnings == ["f0.csv:3: column 3 is named 'A', which is taken: it is read as 'A_1'"]
    assert files.read("a,b\n1,2\n").warnings == []


def test_types_of_more_columns_than_are_asked_about_at_once(files: Files) -> None:
    files.read(",".join(f"c{n}" for n in range(250)) + "\n" + ",".join(["1", "x"] * 125) + "\n", tolerant=True)
    assert list(files.types().values()) == ["BIGINT", "VARCHAR"] * 125
