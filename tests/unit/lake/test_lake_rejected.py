"""Rejected rows and their reasons."""

import pytest

BAD = "SELECT 'no price' AS _reason, 'a.csv' AS _source, '{{\"id\": {0}}}' AS _row"


def rejected(bench, table="silver.t"):
    assert bench.lake.rejected(bench.con, table, "back.rejected") is not None
    return bench.rows("SELECT _run_id, _stage, _row FROM back.rejected")


def test_they_are_kept_beside_the_table(bench):
    result = bench.write("SELECT 1 AS a", rejected=BAD.format(1))
    assert result.rejected == 1
    bench.lake.rejected(bench.con, "silver.t", "back.rejected")
    assert bench.rows("SELECT * FROM back.rejected") == [
        ("r1", "s", "no price", "2026-05-10 12:00:00+00", "a.csv", '{"id": 1}')
    ]
    assert bench.lake.tables() == ["silver.t"]


def test_none_ever(bench):
    bench.write("SELECT 1 AS a")
    assert bench.lake.rejected(bench.con, "silver.t", "back.rejected") is None


def test_overwrite_replaces_what_the_stage_rejected_before(bench):
    bench.write("SELECT 1 AS a", rejected=BAD.format(1))
    bench.write("SELECT 1 AS a", stage="other", rejected=BAD.format(5))
    bench.write("SELECT 2 AS a", run="r2", rejected=BAD.format(2))
    assert rejected(bench) == [("r1", "other", '{"id": 5}'), ("r2", "s", '{"id": 2}')]
    bench.write("SELECT 3 AS a", run="r3")
    assert rejected(bench) == [("r1", "other", '{"id": 5}')]


def test_the_same_rejected_rows_are_not_written_again(bench):
    bench.write("SELECT 1 AS a", rejected=BAD.format(1))
    bench.write("SELECT 1 AS a", run="r2", rejected=BAD.format(1))
    assert bench.lake.version("silver.t__rejected") == 0


@pytest.mark.parametrize("more", [{"mode": "append"}, {"mode": "merge", "key": ("a",)}])
def test_other_modes_replace_those_of_the_same_run(bench, more):
    bench.write("SELECT 1 AS a", rejected=BAD.format(1), **more)
    bench.write("SELECT 2 AS a", run="r2", rejected=BAD.format(2), **more)
    bench.write("SELECT 3 AS a", run="r2", rejected=BAD.format(3), **more)
    assert rejected(bench) == [("r1", "s", '{"id": 1}'), ("r2", "s", '{"id": 3}')]


def test_batches_of_a_ledger_add_up(bench):
    for number in (1, 2, 2):
        bench.write("SELECT 1 AS a", mode="append", ledger={"L": number}, rejected=BAD.format(number))
    assert rejected(bench) == [("r1", "s", '{"id": 1}'), ("r1", "s", '{"id": 2}')]


def test_a_try_that_died_between_the_two_commits(bench, monkeypatch):
    from adutora.io.lake import lake as module

    def die(attempt):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(module._MODES, "append", die)
        with pytest.raises(KeyboardInterrupt):
            bench.write("SELECT 1 AS a", mode="append", same="x", rejected=BAD.format(1))
    assert not bench.lake.exists("silver.t")
    result = bench.write("SELECT 1 AS a", mode="append", same="x", rejected=BAD.format(1))
    assert (result.rejected, rejected(bench)) == (1, [("r1", "s", '{"id": 1}')])
