"""Results of tests as people and programs read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from adutora.dagconfig import Json
from adutora.spec.diagnostics import printable
from adutora.testing.compare import Difference, same, text
from adutora.testing.running import Result

SHOWN = 10  # rows of each sort


def result_text(result: Result) -> str:
    """Return a line for a test that passed, and what is wrong below it for one that did not."""
    if result.passed:
        return f"ok    {result.name}\n"
    lines = [f"FAIL  {result.name}  (stage {result.stage}, {result.place})", *result.problems]
    lines += _difference(result.difference)
    lines += [f"set aside: {reason}" for reason in result.reasons]
    return printable_lines(lines)


def printable_lines(lines: Sequence[str]) -> str:
    """Return lines, the first as it is and the others below it."""
    first, *rest = (printable(line) for line in lines)
    return "".join(f"{line}\n" for line in (first, *(f"      {line}" for line in rest)))


def _difference(found: Difference) -> list[str]:
    if found.order is not None:
        return [f"the rows are right, but not their order: row {found.order} is another"]
    lines = [f"~ {_changed(want, have)}" for want, have in found.changed[:SHOWN]]
    lines += [f"- expected, did not come:  {_row(row)}" for row in found.missing[:SHOWN]]
    lines += [f"+ came, was not expected:  {_row(row)}" for row in found.unexpected[:SHOWN]]
    groups = (found.changed, found.missing, found.unexpected)
    more = sum(max(0, len(group) - SHOWN) for group in groups)
    return [*lines, *([f"… {more} more rows differ"] if more else [])]


def _changed(want: Mapping[str, Any], have: Mapping[str, Any]) -> str:
    bad = [name for name in want if not same(want[name], have[name])]
    cells = [f"{name}: expected {text(want[name])}, came {text(have[name])}" for name in bad]
    rest = {name: value for name, value in have.items() if name not in bad}
    return f"{_row(rest)}: {'; '.join(cells)}" if rest else "; ".join(cells)


def _row(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={text(value)}" for name, value in row.items())


def summary(results: Sequence[Result]) -> str:
    """Return the last line."""
    bad = sum(not result.passed for result in results)
    noun = "test" if len(results) == 1 else "tests"
    return f"{len(results)} {noun}, {bad or 'none'} failed\n"


def as_json(results: Sequence[Result]) -> Json:
    """Return the results for programs; values of rows are text as the report shows them."""
    return {
        "tests": len(results),
        "failed": sum(not result.passed for result in results),
        "results": [_json(result) for result in results],
    }


def _json(result: Result) -> Json:
    found = result.difference
    return {
        "name": result.name,
        "stage": result.stage,
        "place": result.place,
        "passed": result.passed,
        "problems": result.problems,
        "missing": [_texts(row) for row in found.missing],
        "unexpected": [_texts(row) for row in found.unexpected],
        "changed": [{"expected": _texts(want), "actual": _texts(have)} for want, have in found.changed],
        "order": found.order,
        "rejectedReasons": result.reasons,
    }


def _texts(row: Mapping[str, Any]) -> Json:
    return {name: text(value) for name, value in row.items()}
