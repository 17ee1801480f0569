"""Findings, rendered."""

import json

from adutora.spec.diagnostics import Diagnostic, arranged, render_github, render_json, render_text

ONE = Diagnostic("a.yaml", 2, 8, "spec.x", "is wrong", "be right")
TWO = Diagnostic("a.yaml", 1, 1, "spec", "is odd", severity="warning")


def test_arranged_by_position_and_each_once() -> None:
    other = Diagnostic("0.yaml", 1, 1, "", "x")
    assert arranged([ONE, TWO, ONE, other]) == (TWO, ONE, other)


def test_text_with_an_excerpt() -> None:
    text = render_text([ONE], {"a.yaml": ["x: 1", "\té😀: {bad}"]})
    assert text == "a.yaml:2:8: error: is wrong\n      right: be right\n     2 |  é😀: {bad}\n       |         ^\n"


def test_a_long_line_is_cut_around_the_place() -> None:
    found = Diagnostic("a.yaml", 1, 5001, "", "x")
    _, line, caret = render_text([found], {"a.yaml": ["a" * 5000 + "b" + "c" * 5000]}).splitlines()
    assert line[caret.index("^")] == "b"
    assert len(line) < 200


def test_nothing_can_steer_the_terminal() -> None:
    found = Diagnostic("a\x1b.yaml", 1, 1, "", "evil \x1b[2J\u202e \n::error::x", "\x07")
    text = render_text([found], {"a\x1b.yaml": ["\x1b[31m"]})
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 4


def test_json() -> None:
    document = json.loads(render_json([ONE, TWO]))
    assert (document["errors"], document["warnings"]) == (1, 1)
    assert document["diagnostics"][0] == {
        "file": "a.yaml", "line": 2, "column": 8, "path": "spec.x", "message": "is wrong", "hint": "be right",
        "severity": "error",
        "code": None,
    }  # fmt: skip


def test_github_escapes() -> None:
    found = Diagnostic("a,b:c.yaml", 1, 2, "", "50% wrong")
    assert render_github([found]) == "::error file=a%2Cb%3Ac.yaml,line=1,col=2::50%25 wrong\n"
    assert render_github([ONE, TWO]).splitlines()[1].startswith("::warning file=a.yaml,line=1,col=1::is odd")
