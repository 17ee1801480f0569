"""YAML to JSON values with positions, and what is refused on the way."""

import time
from pathlib import Path

import pytest

from adutora.spec.yamlfile import MAX_BYTES, YamlFile, dotted, load, loads
from adutora.spec.yamlscalars import resolve, surprise


def only(file: YamlFile) -> str:
    assert len(file.diagnostics) == 1, file.diagnostics
    return str(file.diagnostics[0])


def test_values_and_positions() -> None:
    document = loads("a: 1\nb:\n  - {c: x, d: [1.5, true, ~]}\n").documents[0]
    assert document.value == {"a": 1, "b": [{"c": "x", "d": [1.5, True, None]}]}
    place = document.places["b", 0, "d", 0]
    assert (place.line, place.column) == (2, 15)
    key = document.places["b", 0, "d"]
    assert (key.key_line, key.key_column) == (2, 11)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-3", -3), ("012", 12), ("0o14", 12), ("0x1F", 31), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0),
        ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("yes", "yes"), ("NO", "NO"),
        ("1_000", "1_000"), ("12:30", "12:30"), ("2026-01-01", "2026-01-01"), ("0b11", "0b11"), ("1.2.3", "1.2.3"),
        ("9223372036854775807", 2**63 - 1), ("-", "-"), ("+", "+"), ("0", 0), ("00", 0),
    ],
)  # fmt: skip
def test_core_schema(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text", [".inf", "-.INF", ".nan", "1e999", "9223372036854775808", "9" * 100_000, "0x" + "f" * 50]
)
def test_numbers_that_json_does_not_have(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|digits|bits"):
        resolve(text)


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("yes", "true"), ("On", "true"), ("Y", "true"), ("NO", "false"), ("off", "false"), ("n", "false"),
        ("012", "an octal number"), ("1_000", "a number"), ("12:30", "a base-60 number"), ("0b11", "a binary"),
        ("2026-01-01", "a date"), ("2026-01-01T10:00:00Z", "a date"), ("1_0.5", "a number"),
    ],
)  # fmt: skip
def test_yaml_1_1_surprises(text: str, reads: str) -> None:
    assert surprise(text) == reads


@pytest.mark.parametrize(
    "text", ["yEs", "oN", "12", "0", "1.5", "true", "null", "a:b", "1:75", "2026-1", "x_y", "_", "0o12", "5/s", "v1.2"]
)
def test_no_surprise(text: str) -> None:
    assert surprise(text) is None


def test_surprises_are_kept_for_plain_scalars_and_keys_only() -> None:
    document = loads('a: NO\nb: "NO"\non: 1\n').documents[0]
    assert [(path, each[0].is_key) for path, each in document.surprises.items()] == [(("a",), False), (("on",), True)]
    assert document.value == {"a": "NO", "b": "NO", "on": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: error: the key `a` stands twice: here and in line 1"),
        ("a: &x 1\n", "1:4: error: &x is an anchor"),
        ("a: *x\n", "1:4: error: *x is an alias"),
        ("a: !!python/object/apply:os.system [x]\n", "1:4: error: tag:yaml.org,2002:python/object/apply:os.system is a tag"),
        ("a: !x 1\n", "1:4: error: !x is a tag"),
        ("<<: {a: 1}\n", "1:1: error: << merges maps"),
        ("*x : 1\n", "1:1: error: *x is an alias"),
        ("&k a: 1\n", "1:1: error: &k is an anchor"),
        ("? [1]\n: 2\n", "1:3: error: a key must be a text"),
        ("a:\n\tb: 1\n", "2:1: error: is indented with a tab (indent with spaces)"),
        ("a: b: c\n", "1:5: error: is no YAML: mapping values"),
        ("a: 'x\n", "1:4: error: a quote is opened and not closed"),
        ("a: @x\n", "put a text that begins with @ in quotes"),
        ("a: {where: x in (1, 2)}\n", "1:21: error: `2)` has no value: a comma inside { }"),
        ("a: [1, 2\nb: 3\n", "close the bracket opened in line 1"),
        ("a: x\x00y\n", "1:5: error: has the control character U+0000"),
        ("a: x\u2028y\n", "1:5: error: has the character U+2028, which YAML 1.1 reads as the end of a line"),
        ("\ufeffa: 1\n", "1:1: error: begins with a byte order mark"),
        ("a: 1e999\n", "1:4: error: 1e999 is too large"),
        ("", "1:1: error: is empty"),
        ("# only a comment\n---\n", "1:1: error: is empty"),
        ("a: " + "[" * 190_000, "1:44: error: is nested more than 40 levels deep"),
        ("- " * 60 + "a", "is nested more than 40 levels deep"),
    ],
)  # fmt: skip
def test_refused(text: str, expected: str) -> None:
    start = time.process_time()
    assert expected in only(loads(text))
    assert time.process_time() - start < 1


def test_a_flow_map_may_have_an_empty_value_that_is_written() -> None:
    file = loads("a: {b: , c: null}\n")
    assert (file.diagnostics, file.documents[0].value) == ([], {"a": {"b": None, "c": None}})


def test_several_documents_and_those_before_an_error() -> None:
    file = loads("a: 1\n---\n# nothing\n---\nb: 2\n---\nc: *x\n")
    assert [document.value for document in file.documents] == [{"a": 1}, {"b": 2}, {"c": None}]
    assert file.diagnostics[0].line == 7
    file = loads("a: 1\n---\nb: [\n")
    assert [document.value for document in file.documents] == [{"a": 1}]
    assert file.diagnostics[0].line == 4


def test_what_only_yaml_has_hides_nothing() -> None:
    file = loads("a: &x {b: 1}\nc: *x\nd: [*x, 2]\ne: {<<: *x, f: !!int 3}\na: 4\n")
    assert [each.message.split(",")[0] for each in file.diagnostics] == [
        "&x is an anchor",
        "*x is an alias",
        "*x is an alias",
        "<< merges maps in YAML 1.1 only",
        "*x is an alias",
        "tag:yaml.org",
        "the key `a` stands twice: here and in line 1",
    ]
    document = file.documents[0]
    assert document.value == {"a": 4, "c": None, "d": [None, 2], "e": {"f": "3"}}
    assert (document.lost, document.partial) == ({("c",), ("d", 0), ("e", "<<")}, {("e",)})


def test_a_bomb_ends() -> None:
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 2000)]
    start = time.process_time()
    assert len(loads("\n".join(lines)).diagnostics) == 201
    assert time.process_time() - start < 1


def test_many_findings_end() -> None:
    assert len(loads("a: 1\n" * 30_000).diagnostics) == 201


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a: 1\nb: caf\xe9\n", ":2:7: error: is not UTF-8: byte 0xe9"),
        ("a: 1".encode("utf-16"), ":1:1: error: is not UTF-8: byte 0xff"),
        (b"x" * (MAX_BYTES + 1), "is larger than 200 KiB"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(raw)
    assert expected in only(load(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in only(load(tmp_path / "x.yaml"))
    assert "cannot be read" in only(load(tmp_path))


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("q: |\n    é😀 x\n    FROM here\n", 3, 10),
        ("q: |2-  # comment\n     x\n    FROM here\n", 3, 10),
        ("q: >\n  é😀 x\n  FROM\n  here\n", 4, 3),
        ("q: 'it''s 😀 FROM here'\n", 1, 18),
        ('q: "a\\t\\x41\\"\\\\\\u00e9 FROM here"\n', 1, 28),
        ("q: a FROM\n  here\n", 2, 3),
    ],
)
def test_a_place_inside_a_text(text: str, line: int, column: int, ends: str) -> None:
    document = loads(text.replace("\n", ends)).documents[0]
    found = document.diagnostic(("q",), "x", offset=document.value["q"].index("here"))
    assert (found.line, found.column) == (line, column)


def test_a_place_that_is_not_there_is_shown_at_the_nearest_above() -> None:
    document = loads("a:\n  b: {c: 1}\n").documents[0]
    found = document.diagnostic(("a", "b", "x"), "is missing")
    assert (found.line, found.column, found.path) == (2, 3, "a.b.x")


def test_dotted() -> None:
    assert dotted(("spec", "stages", 2, "sql", "query")) == "spec.stages[2].sql.query"
