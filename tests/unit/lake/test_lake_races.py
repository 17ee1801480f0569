"""Another writer commits between reading and committing: as on an object store, where no lock is held."""

import pytest

from adutora.errors import TemporaryError
from adutora.io.lake.attempt import Attempt
from adutora.io.lake.store import Store

MERGE = {"mode": "merge", "key": ("k",)}
MODES = [{"mode": "overwrite"}, {"mode": "append"}, MERGE, {"mode": "overwritePartitions", "partition_by": ("k",)}]


@pytest.fixture
def race(bench, monkeypatch):
    """Let a write of somebody else come before each of the first `times` commits of ours."""
    monkeypatch.setattr(Store, "lock_path", lambda self, table: None)

    def begin(times, query, **more):
        left = [times]

        def before(original):
            def raced(self, *args, **kwargs):
                if left[0] > 0 and self.request.commit.run == "mine":
                    left[0] -= 1
                    con, bench.con = bench.con, bench.con.cursor()
                    bench.write(query, run=f"theirs{left[0]}", **more)
                    bench.con = con
                return original(self, *args, **kwargs)

            return raced

        for name in ("create", "put", "evolve"):
            monkeypatch.setattr(Attempt, name, before(getattr(Attempt, name)))
        return left

    return begin


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("more", MODES, ids=lambda more: more["mode"])
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_lost_or_doubled(bench, race, more, times, exists):
    if exists:
        bench.write("SELECT 1 AS k, 'first' AS v", run="r0", **more)
    left = race(times, "SELECT 5 AS k, 'theirs' AS v", **more)
    result = bench.write("SELECT 5 AS k, 'mine' AS v UNION ALL SELECT 6, 'mine'", run="mine", **more)
    rows = bench.read(columns="k, v")
    assert result.total_rows == len(rows) or more["mode"] == "append"
    expected = [("5", "mine"), ("6", "mine")]
    if more["mode"] != "overwrite" and exists:
        expected = [("1", "first"), *expected]
    if more["mode"] == "append":
        expected = sorted([*expected, *[("5", "theirs")] * (times - left[0])])
    assert rows == expected


def test_columns_that_come_while_we_add_ours(bench, race):
    bench.write("SELECT 1 AS k", run="r0", **MERGE)
    race(1, "SELECT 1 AS k, 'b' AS b", **MERGE)
    bench.write("SELECT 1 AS k, timestamp '2024-01-01' AS a", run="mine", **MERGE)
    assert bench.read(columns="k, b, a") == [("1", None, "2024-01-01 00:00:00")]


def test_who_always_loses_may_try_later(bench, race, monkeypatch):
    from adutora.io.lake import lake as module

    monkeypatch.setattr(module, "_PAUSE", 0.001)
    bench.write("SELECT 1 AS k, 0 AS v", run="r0", **MERGE)
    race(1000, "SELECT 1 AS k, (random() * 1e9)::INTEGER AS v", **MERGE)
    with pytest.raises(TemporaryError, match="other writers were always faster"):
        bench.write("SELECT 1 AS k, -1 AS v", run="mine", **MERGE)
