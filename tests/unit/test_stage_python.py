"""The `python` stage: a real module on disk, called with real inputs."""

import datetime as dt
import logging
import sys
import textwrap
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.io.secrets import remember
from adutora.stages.python import rows
from adutora.stages.python.run import run
from adutora.stages.python.spec import Python

Call = Callable[..., Any]


@pytest.fixture
def call(bench: Callable[..., Any], tmp_path: Path) -> Call:
    """Write a module, run its function `go`, and give the bench back."""

    def go(source: str, *, args: dict[str, Any] | None = None, function: str = "own:go", **fields: Any) -> Any:
        (tmp_path / "own.py").write_text(textwrap.dedent(source))
        ctx = bench(inputs=[{"table": "silver.orders"}, {"name": "cities", "file": "c.csv"}], **fields)
        ctx.con.execute(
            "CREATE SCHEMA silver; CREATE TABLE silver.orders AS SELECT i AS id, i / 2 AS half FROM range(3) t(i)"
        )
        ctx.con.execute("CREATE VIEW cities AS SELECT 'São Paulo' AS city")
        run(Python.model_validate({"function": function, "args": args}), ctx)
        return ctx

    return go


def to_table(call: Call, source: str, **fields: Any) -> Any:
    return call(source, output="gold.made", **fields)


def test_inputs_are_arrow_tables_by_their_sql_names(call: Call) -> None:
    ctx = to_table(
        call,
        """
        def go(inputs, *, factor):
            assert list(inputs) == ["silver.orders", "cities"] and len(inputs) == 2
            assert inputs["silver.orders"] is inputs["silver.orders"]
            assert inputs["cities"].to_pylist() == [{"city": "São Paulo"}]
            return ({"id": r["id"], "n": r["half"] * factor} for r in inputs["silver.orders"].to_pylist())
        """,
        args={"factor": 10},
    )
    assert ctx.columns == ["id", "n"]
    assert ctx.written == [(0, 0.0), (1, 5.0), (2, 10.0)]


def test_generator_that_reads_inputs_only_when_it_is_asked(call: Call) -> None:
    """Were it pulled from within DuckDB, the two would wait for each other."""
    ctx = to_table(call, "def go(inputs):\n    yield from inputs['silver.orders'].to_pylist()\n")
    assert len(ctx.written) == 3


def test_inputs_are_read_only(call: Call) -> None:
    with pytest.raises(DataError, match="TypeError: 'Inputs' object does not support item assignment"):
        call("def go(inputs):\n    inputs['cities'] = 1\n")
    with pytest.raises(DataError, match=r"silver.order is no input; the stage declares silver.orders, cities"):
        call("def go(inputs):\n    inputs['silver.order']\n")


@pytest.mark.parametrize(
    "body",
    [
        "return pa.table({'a': [1, 2]})",
        "return pa.record_batch({'a': pa.array([1, 2])})",
        "return pa.table({'a': [1, 2]}).to_reader()",
        "return [{'a': 1}, {'a': 2}]",
        "return iter([{'a': 1}, {'a': 2}])",
        "return Frame(pa.table({'a': [1, 2]}))",
        "return duckdb.sql('SELECT * FROM range(1, 3) t(a)')",
    ],
)
def test_forms_of_a_table(call: Call, body: str) -> None:
    ctx = to_table(
        call,
        f"""
        import duckdb
        import pyarrow as pa

        class Frame:  # what pandas and Polars have
            def __init__(self, table): self.table = table
            def __arrow_c_stream__(self, schema=None): return self.table.__arrow_c_stream__(schema)

        def go(inputs):
            {body}
        """,
    )
    assert (ctx.columns, ctx.written) == (["a"], [(1,), (2,)])


def test_keys_of_every_row_count(call: Call) -> None:
    ctx = to_table(call, "def go(inputs):\n    return [{'a': 1}, {'b': 'x'}, {}]\n")
    assert (ctx.columns, ctx.written) == (["a", "b"], [(1, None), (None, "x"), (None, None)])


def test_types_that_widen_and_columns_that_come_later(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BATCH_ROWS", 2)
    ctx = to_table(
        call,
        """
        def go(inputs):
            yield {"n": 1, "t": None}
            yield {"n": 2, "t": None}
            yield {"n": 1.5, "t": "x"}
            yield {"n": None, "late": True}
            yield {"n": 3}
        """,
    )
    assert ctx.columns == ["n", "t", "late"]
    assert ctx.written == [
        (1.0, None, None),
        (2.0, None, None),
        (1.5, "x", None),
        (None, None, True),
        (3.0, None, None),
    ]
    assert not list(ctx.scratch.glob("*.arrows"))


def test_mixed_types_name_the_row(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="column n cannot be typed: int before, str in row 2"):
        to_table(call, "def go(inputs):\n    return [{'n': 1}, {'n': 'x'}]\n")
    monkeypatch.setattr(rows, "BATCH_ROWS", 1)
    with pytest.raises(DataError, match="column n is int64 in some rows and string in others"):
        to_table(call, "def go(inputs):\n    return [{'n': 1}, {'n': 'x'}]\n")


@pytest.mark.parametrize("batch", [1, 1000])
def test_mixed_types_in_a_declared_column_are_left_to_the_cast(
    call: Call, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(rows, "BATCH_ROWS", batch)
    table = {"name": "gold.made", "columns": [{"name": "n", "type": "decimal(12,2)"}]}
    ctx = to_table(call, "def go(inputs):\n    return [{'n': 1}, {'n': 'x'}, {'n': None}]\n", table=table)
    assert ctx.written == [("1",), ("x",), (None,)]


def test_values_keep_their_types(call: Call) -> None:
    ctx = to_table(
        call,
        """
        import datetime as dt
        from decimal import Decimal
        def go(inputs):
            return [{"d": dt.date(2026, 1, 2), "m": Decimal("1.10"), "l": [1, 2], "s": {"x": 1}, "b": b"z"}]
        """,
    )
    assert ctx.written == [(dt.date(2026, 1, 2), Decimal("1.10"), [1, 2], {"x": 1}, b"z")]


def test_column_without_any_value_is_text(call: Call) -> None:
    ctx = to_table(call, "import pyarrow as pa\ndef go(inputs):\n    return pa.table({'a': pa.nulls(2)})\n")
    assert ctx.con.execute("SELECT DISTINCT typeof(a) FROM __adutora_python").fetchall() == [("VARCHAR",)]


def test_no_rows_need_columns_from_somewhere(call: Call) -> None:
    with pytest.raises(DataError, match=r"nothing says which columns gold[.]made has"):
        to_table(call, "def go(inputs):\n    return []\n")
    table = {"name": "gold.made", "columns": [{"name": "n", "type": "long"}]}
    ctx = to_table(call, "def go(inputs):\n    yield from ()\n", table=table)
    assert (ctx.columns, ctx.written) == (["n"], [])
    ctx = to_table(
        call, "import pyarrow as pa\ndef go(inputs):\n    return pa.table({'a': pa.array([], pa.int64())})\n"
    )
    assert (ctx.columns, ctx.written) == (["a"], [])


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("return None", "returned nothing"),
        ("return 7", "returned a int"),
        ("return 'text'", "returned a str"),
        ("return {'a': [1]}", "returned a dict, and the stage writes a table"),
        ("return [1, 2]", "row 1 is a int, no dict"),
        ("return [{1: 2}]", "1 is no name of a column"),
        ("return [{}]", "rows are empty"),
    ],
)
def test_what_is_no_table(call: Call, body: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        to_table(call, f"def go(inputs):\n    {body}\n")


def test_outputs_where_there_is_no_table(call: Call) -> None:
    ctx = call(
        """
        import datetime as dt
        from decimal import Decimal
        import pyarrow as pa
        def go(inputs):
            return {"n": 1, "day": dt.date(2026, 1, 2), "sum": Decimal("1.10"), "list": (1, None), "scalar": Scalar()}
        class Scalar:  # as of numpy
            def item(self): return 2.5
        """
    )
    assert ctx.outcome.outputs == {"n": 1, "day": "2026-01-02", "sum": "1.10", "list": [1, None], "scalar": 2.5}
    assert call("def go(inputs):\n    pass\n").outcome.outputs == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("{'a b': 1}", "'a b' is no name of an output"),
        ("{'a': float('nan')}", "output a is nan"),
        ("{'a': object()}", "output a is a object"),
        ("{'a': 'x' * 3000}", "2048 are allowed"),
    ],
)
def test_outputs_that_are_none(call: Call, value: str, text: str) -> None:
    with pytest.raises(DataError, match=text):
        call(f"def go(inputs):\n    return {value}\n")


def test_table_without_an_output(call: Call) -> None:
    with pytest.raises(ConfigError, match="the stage has no `output`"):
        call("def go(inputs):\n    return [{'a': 1}]\n")


def test_nothing_is_left_behind(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = list(sys.path)
    call("import helper\ndef go(inputs):\n    import late\n", **_with(tmp_path, helper="x = 1", late="y = 2"))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "scratch") == ["helper.py", "late.py", "own.py"]
    assert sys.path == path
    assert not {"own", "helper", "late"} & set(sys.modules)
    assert sys.dont_write_bytecode is False


def _with(root: Path, **modules: str) -> dict[str, Any]:
    for name, source in modules.items():
        (root / f"{name}.py").write_text(source)
    return {}


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ("owm:go", r"there is no module owm in .*did you mean own\?"),
        ("own.sub:go", "there is no module own.sub"),
        ("a..b:go", "there is no module a..b"),
        ("own:goo", r"has no function goo \(did you mean go\?\)"),
        ("own:value", "is a int, no function"),
    ],
)
def test_function_that_is_not_there(call: Call, function: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        call("value = 3\ndef go(inputs):\n    pass\n", function=function)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import not_installed_anywhere\n", "module own imports not_installed_anywhere, which is not installed"),
        ("def go(inputs)\n", r"own.py:1: expected ':'"),
        ("def go():\n    pass\n", r"cannot be called with \(inputs\): too many positional arguments \(it is go\(\)\)"),
        ("def go(inputs, day):\n    pass\n", "missing a required argument: 'day'"),
        ("async def go(inputs):\n    pass\n", "is async"),
    ],
)
def test_function_that_cannot_be_called(call: Call, source: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        call(source)


def test_unknown_argument(call: Call) -> None:
    with pytest.raises(ConfigError, match=r"\(inputs, day=…\): got an unexpected keyword argument 'day'"):
        call("def go(inputs):\n    pass\n", args={"day": "2026-01-01"})


def test_module_that_hides_a_loaded_one(call: Call, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def go(inputs): pass")
    with pytest.raises(ConfigError, match="has the name of the module json"):
        call("", function="json:go")


@pytest.mark.parametrize(
    ("raised", "error", "code"),
    [
        ("ValueError('bad')", DataError, 65),
        ("KeyError('amount')", DataError, 65),
        ("SystemExit(0)", DataError, 65),
        ("FileNotFoundError(2, 'No such file')", DataError, 65),
        ("PermissionError(13, 'no')", DataError, 65),
        ("ConnectionResetError('gone')", TemporaryError, 75),
        ("TimeoutError('late')", TemporaryError, 75),
        ("OSError(28, 'No space left')", TemporaryError, 75),
        ("httpx.ConnectTimeout('late')", TemporaryError, 75),
        ("errors.TemporaryError('wait')", TemporaryError, 75),
        ("errors.ConfigError('never')", ConfigError, 78),
    ],
)
def test_what_an_exception_means(call: Call, raised: str, error: Any, code: int) -> None:
    with pytest.raises(error) as caught:
        call(f"import httpx\nfrom adutora import errors\ndef go(inputs):\n    raise {raised}\n")
    assert caught.value.exit_code == code


def test_memory_error_is_passed_on(call: Call) -> None:
    with pytest.raises(MemoryError):
        call("def go(inputs):\n    raise MemoryError\n")


def test_short_message_and_whole_traceback(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    remember("s3cret-in-exception")
    source = """
    def go(inputs):
        return inner()
    def inner():
        raise ValueError("s3cret-in-exception " + "x" * 5000)
    """
    with pytest.raises(DataError) as caught:
        call(source)
    assert caught.value.reason == "UserCode"
    assert caught.value.message.startswith("own:go failed at own.py:5: ValueError: *** xxx")
    assert len(caught.value.message) < 400
    assert "in go\n    return inner()" in caplog.text
    assert "stages/python" not in caplog.text.partition("Traceback")[2]


def test_exception_in_a_generator_names_its_line(call: Call) -> None:
    with pytest.raises(DataError, match=r"own:go failed at own.py:3: ZeroDivisionError"):
        to_table(call, "def go(inputs):\n    yield {'a': 1}\n    yield {'a': 1 / 0}\n")


def test_prints_are_log_lines(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    call(
        "import sys\ndef go(inputs):\n    print('one\\ntwo'); print('three', end=''); print(' err', file=sys.stderr)\n"
    )
    assert [record.message for record in caplog.records] == ["one", "two", "three err"]


def test_arrow_of_many_rows(call: Call) -> None:
    ctx = to_table(call, "def go(inputs):\n    return ({'i': i} for i in range(50_001))\n")
    assert len(ctx.written) == 50_001
    assert ctx.written[-1] == (50_000,)
    assert pa.total_allocated_bytes() < 50_000_000


def test_rows_reach_a_real_table(stage_context: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "def go(inputs, day):\n"
        "    for n in (1, 'x', None, 2.5):\n"
        "        yield {'id': str(n), 'amount': n, 'day': day}\n"
    )
    table = {"name": "gold.made", "columns": [{"name": "amount", "type": "decimal(12,2)"}], "schema": "evolve"}
    ctx = stage_context(table, kind="python", output={"table": "gold.made"})
    run(Python(function="own:go", args={"day": "2026-01-02"}), ctx)
    assert (ctx.outcome.rows_out, ctx.outcome.rows_rejected) == (3, 1)
    ctx.lake.register(ctx.con, "gold.made", "gold.made")
    found = ctx.con.sql('SELECT id, amount, day FROM "gold"."made" ORDER BY id').fetchall()
    assert found == [
        ("1", Decimal("1.00"), "2026-01-02"),
        ("2.5", Decimal("2.50"), "2026-01-02"),
        ("None", None, "2026-01-02"),
    ]


def test_no_rows_keep_the_columns_of_the_table_that_stands(stage_context: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def go(inputs, rows):\n    return rows\n")
    for number, rows_given in enumerate(([{"a": 1}], [])):
        ctx = stage_context(kind="python", output={"table": "gold.made", "mode": "append"}, run=f"r-{number}")
        run(Python(function="own:go", args={"rows": rows_given}), ctx)
    assert ctx.outcome.rows_out == 0
    assert ctx.lake.info("gold.made").rows == 1
