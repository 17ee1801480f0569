"""The grammar of `$(…)` and of `when`."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adutora.spec.template import Ref, TemplateError, When, misfit, parse, parse_when


def test_parts() -> None:
    template = parse("a$(params.x)b$(run.date)")
    assert template.parts == ("a", Ref("params", ("x",), 1, 12), "b", Ref("run", ("date",), 13, 24))
    assert [str(ref) for ref in template.refs] == ["$(params.x)", "$(run.date)"]
    assert template.lone is None


def test_lone() -> None:
    lone = parse("$(stages.a-b.outputs.k)").lone
    assert lone is not None
    assert (lone.root, lone.path) == ("stages", ("a-b", "outputs", "k"))
    assert parse(" $(item)").lone is None


@pytest.mark.parametrize(
    ("text", "plain"), [("", ""), ("$", "$"), ("a)b", "a)b"), ("$$(x)", "$(x)"), ("$$$(x)", "$$(x)"), ("${x}", "${x}")]
)
def test_literals(text: str, plain: str) -> None:
    assert parse(text).parts == (plain,)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("ab$(params.x", "not closed", 2),
        ("$(params.$(x))", "inside another", 9),
        ("$(params. x)", "names nothing", 0),
        ("$()", "names nothing", 0),
        ("$(a..b)", "names nothing", 0),
        ("$(a + 1)", "names nothing", 0),
        ("$(__import__('os'))", "names nothing", 0),
    ],
)
def test_refused(text: str, message: str, offset: int) -> None:
    with pytest.raises(TemplateError, match=message) as caught:
        parse(text)
    assert caught.value.offset == offset


def test_long_texts_are_read_in_no_time() -> None:
    start = time.process_time()
    for text in ("$$(" * 30_000, "$(a)" * 20_000):
        parse(text)
    with pytest.raises(TemplateError):
        parse("$(" * 50_000)
    assert time.process_time() - start < 1


@given(st.text(alphabet="$()ax.\n '", max_size=40))
def test_any_text_is_read_or_refused_with_a_place_in_it(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError as error:
        offset: int | None = error.offset
    else:
        offset = None
        assert [text[ref.start : ref.end] for ref in template.refs] == [str(ref) for ref in template.refs]
    assert offset is None or 0 <= offset < len(text)


@pytest.mark.parametrize("text", ["$(params.x)", "$(run.date)", "$(trigger.type)", "$(stages.s.outputs.k)", "$(item)"])
def test_shapes_that_lead_somewhere(text: str) -> None:
    assert misfit(parse(text).refs[0]) is None


@pytest.mark.parametrize(
    "text", ["$(params)", "$(params.a.b)", "$(env.HOME)", "$(stages.s.k)", "$(stages.s.rows.k)", "$(item.x)"]
)
def test_shapes_that_lead_nowhere(text: str) -> None:
    wrong = misfit(parse(text).refs[0])
    assert wrong is not None
    assert "leads nowhere" in wrong[0]


@pytest.mark.parametrize(
    ("text", "negate", "op", "value"),
    [
        ("$(params.x)", False, None, None),
        ("! $(params.x) ", True, None, None),
        ("$(params.x) == 'y z'", False, "==", "y z"),
        ('$(params.x)!=""', False, "!=", ""),
    ],
)
def test_when(text: str, negate: bool, op: str | None, value: str | None) -> None:
    when = parse_when(text)
    assert isinstance(when, When)
    assert (when.ref.path, when.negate, when.op, when.value) == (("x",), negate, op, value)


@pytest.mark.parametrize(
    "text", ["x", "$(a) and $(b)", "!$(a) == 'b'", "$(a) == b", "$(a) == 'b", "$(a) == 'b' or 'c'", "$(a) > 1", ""]
)
def test_no_when(text: str) -> None:
    with pytest.raises(TemplateError, match="is no condition"):
        parse_when(text)
