"""The nearest name for a typo."""

import pytest

from adutora.spec.nearest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("depends_on", "dependsOn"),
        ("dependson", "dependsOn"),
        ("sqll", "sql"),
        ("apend", "append"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest(name: str, found: str | None) -> None:
    assert nearest(name, ["dependsOn", "sql", "append"]) == found


def test_hints() -> None:
    assert did_you_mean("sqll", ["sql"]) == "did you mean `sql`?"
    assert did_you_mean("zzz", ["a", "b"]) == "one of `a`, `b`"
    assert did_you_mean("zzz", []) is None
    assert did_you_mean("zzz", [str(n) for n in range(50)], most=2) == "one of `0`, `1`, …"
