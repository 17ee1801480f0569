"""Expected rows against those that came: values by meaning, rows in any order, and the difference in few words."""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

Row = Mapping[str, Any]
TOLERANCE = 1e-9  # relative; for binary floats only


@dataclass(frozen=True)
class Difference:
    """What differs: expected rows that did not come, rows that were not expected, and pairs that differ in part.

    `order` is the number, from 1, of the first row that stands in another place; None where order is right or does
    not count.
    """

    missing: tuple[Row, ...] = ()
    unexpected: tuple[Row, ...] = ()
    changed: tuple[tuple[Row, Row], ...] = ()
    order: int | None = None

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.changed or self.order)


def difference(
    expected: Sequence[Row], actual: Sequence[Row], key: Sequence[str] = (), *, order: bool = False
) -> Difference:
    """Compare rows. Each expected row takes one equal row; of the rest, rows of one `key`, or much alike, are paired.

    With `order`, equal rows in another order differ too. Both lists have the same columns.
    """
    if order and len(expected) == len(actual):
        wrong = [i for i, (want, have) in enumerate(zip(expected, actual, strict=True)) if not _equal(want, have)]
        if not wrong:
            return Difference()
    left = list(actual)
    missing: list[Row] = []
    for want in expected:
        position = next((index for index, have in enumerate(left) if _equal(want, have)), None)
        if position is None:
            missing.append(want)
        else:
            del left[position]
    if order and not missing and not left:
        return Difference(order=wrong[0] + 1)
    changed: list[tuple[Row, Row]] = []
    for want in list(missing):
        have = _partner(want, left, key)
        if have is not None:
            changed.append((want, have))
            missing = [row for row in missing if row is not want]
            left = [row for row in left if row is not have]
    return Difference(tuple(missing), tuple(left), tuple(changed))


def _equal(want: Row, have: Row) -> bool:
    return all(same(value, have[name]) for name, value in want.items())


def _partner(want: Row, rows: Sequence[Row], key: Sequence[str]) -> Row | None:
    """Return the row that was probably meant: that of the same key, else one that is equal in more than half."""
    if key and all(name in want for name in key):
        return next((row for row in rows if all(same(want[name], row[name]) for name in key)), None)
    alike = [(sum(same(value, row[name]) for name, value in want.items()), row) for row in rows]
    best = max(alike, key=lambda each: each[0], default=(0, None))
    return best[1] if best[0] * 2 > len(want) else None


def same(expected: Any, actual: Any) -> bool:
    """Say whether a value as YAML has it means a value of DuckDB's: 10.5 is decimal 10.50, text a date."""
    if expected is None or actual is None:
        return expected is None and actual is None
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(actual, int | float | Decimal):
        return _same_number(expected, actual)
    if isinstance(actual, dt.datetime):
        return _same_time(str(expected), actual)
    if isinstance(actual, list | tuple | dict):
        return _same_nested(expected, actual)
    return str(expected) == (actual.decode(errors="replace") if isinstance(actual, bytes) else _plain(actual))


def _plain(actual: Any) -> str:
    return actual.isoformat() if isinstance(actual, dt.date | dt.time) else str(actual)


def _same_nested(expected: Any, actual: Any) -> bool:
    if isinstance(actual, dict):
        alike = isinstance(expected, dict) and expected.keys() == actual.keys()
        return alike and all(same(value, actual[name]) for name, value in expected.items())
    alike = isinstance(expected, list) and len(expected) == len(actual)
    return alike and all(same(a, b) for a, b in zip(expected, actual, strict=True))


def _same_number(expected: Any, actual: float | Decimal) -> bool:
    if not isinstance(expected, int | float | str):
        return False
    if isinstance(expected, float) or isinstance(actual, float):
        try:
            want, have = float(expected), float(actual)
        except ValueError:
            return False
        return (math.isnan(want) and math.isnan(have)) or math.isclose(want, have, rel_tol=TOLERANCE, abs_tol=1e-12)
    try:
        return Decimal(str(expected)) == Decimal(actual)
    except InvalidOperation:
        return False


def _same_time(expected: str, actual: dt.datetime) -> bool:
    try:
        want = dt.datetime.fromisoformat(expected)
    except ValueError:
        return False
    utc = dt.UTC
    return (want if want.tzinfo else want.replace(tzinfo=utc)) == (
        actual if actual.tzinfo else actual.replace(tzinfo=utc)
    )


def text(value: Any) -> str:
    """Return a value as the report shows it: much as YAML would write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return repr(value) if isinstance(value, str) else str(value)
