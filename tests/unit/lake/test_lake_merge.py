"""`merge`: by example, and against a plain model in Python."""

import datetime as dt
import shutil
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adutora.errors import ConfigError, DataError
from adutora.spec.base import Missing

M = {"mode": "merge", "key": ("k",)}


def figures(result):
    return (result.inserted, result.updated, result.deleted, result.unchanged)


def test_only_rows_that_change_are_written(bench):
    bench.write("SELECT i AS k, 'v' || i AS v FROM range(10) t(i)", **M)
    result = bench.write("SELECT i AS k, 'v' || (i % 9) AS v FROM range(8, 12) t(i)", **M)
    assert figures(result) == (2, 1, 0, 1)
    assert result.total_rows == 12
    changes = bench.lake.register_changes(bench.con, "silver.t", "back.new", 0, 1)
    assert changes is None
    assert bench.rows("SELECT k FROM back.new") == [("10",), ("11",), ("9",)]


def test_nothing_changed_no_commit(bench):
    query = "SELECT i AS k, CASE WHEN i > 2 THEN i END AS v, [i] AS l, now() AS _loaded_at FROM range(5) t(i)"
    bench.write(query, **M)
    result = bench.write(query, run="r2", **M)
    assert (figures(result), result.changed, result.version) == ((0, 0, 0, 5), False, 0)


def test_new_rows_alone_are_appended(bench):
    bench.write("SELECT 1 AS k", **M)
    bench.write("SELECT 2 AS k", **M)
    assert bench.lake.info("silver.t").versions[0].operation == "WRITE"
    assert bench.read() == [("1",), ("2",)]


def test_null_differs_from_a_value_and_equals_null(bench):
    bench.write("SELECT 1 AS k, NULL::BIGINT AS v UNION ALL SELECT 2, 5", **M)
    result = bench.write("SELECT 1 AS k, NULL::BIGINT AS v UNION ALL SELECT 2, NULL", **M)
    assert figures(result) == (0, 1, 0, 1)
    assert bench.read() == [("1", None), ("2", None)]


def test_a_key_twice_is_named(bench):
    with pytest.raises(
        DataError, match=r"2 keys \(k, j\) are there more than once: \(1, a\) 3 times; \(2, a\) 2 times"
    ):
        bench.write("SELECT k, 'a' AS j FROM (VALUES (1), (1), (1), (2), (2), (3)) t(k)", mode="merge", key=("k", "j"))
    with pytest.raises(DataError, match="1 rows have no key"):
        bench.write("SELECT NULL::BIGINT AS k, 1 AS v", **M)
    with pytest.raises(ConfigError, match="needs the table's key"):
        bench.write("SELECT 1 AS k", mode="merge")
    with pytest.raises(ConfigError, match="'k' is no column"):
        bench.write("SELECT 1 AS id", **M)
    assert not bench.lake.exists("silver.t")


def test_latest_by(bench):
    latest = {**M, "latest_by": "ts"}
    bench.write("SELECT * FROM (VALUES (1, 'old', 1), (1, 'new', 3), (1, 'mid', 2), (2, 'x', 5)) t(k, v, ts)", **latest)
    assert bench.read(columns="k, v") == [("1", "new"), ("2", "x")]
    result = bench.write(
        "SELECT * FROM (VALUES (1, 'late', 2), (2, 'same time', 5), (3, 'n', NULL)) t(k, v, ts)", **latest
    )
    assert figures(result) == (1, 1, 0, 1)
    assert bench.read(columns="k, v") == [("1", "new"), ("2", "same time"), ("3", "n")]
    bench.write("SELECT 3 AS k, 'dated' AS v, 1 AS ts", **latest)
    bench.write("SELECT 3 AS k, 'undated' AS v, NULL::INTEGER AS ts", **latest)
    assert bench.read(columns="k, v")[2] == ("3", "dated")


def test_a_tie_in_the_batch_is_decided_the_same_way_each_time(bench):
    rows = "(1, 'a', 7), (1, 'c', 7), (1, 'b', 7)"
    bench.write(f"SELECT * FROM (VALUES {rows}) t(k, v, ts)", **M, latest_by="ts")
    bench.write(f"SELECT * FROM (VALUES {rows}) t(k, v, ts) ORDER BY v DESC", "silver.u", **M, latest_by="ts")
    assert bench.read() == bench.read("silver.u") == [("1", "c", "7")]


def test_delete_where(bench):
    bench.write("SELECT i AS k, 'I' AS op FROM range(4) t(i)", **M)
    result = bench.write(
        "SELECT * FROM (VALUES (1, 'D'), (2, 'U'), (9, 'D'), (3, NULL)) t(k, op)", delete_where="op = 'D' -- why", **M
    )
    assert figures(result) == (0, 2, 1, 1)
    assert bench.read() == [("0", "I"), ("2", "U"), ("3", None)]
    bench.write("SELECT 5 AS k, 'D' AS op", "silver.u", delete_where="op = 'D'", **M)
    assert bench.read("silver.u") == []


def test_an_older_row_deletes_nothing(bench):
    latest = {**M, "latest_by": "ts", "delete_where": "op = 'D'"}
    bench.write("SELECT 1 AS k, 'I' AS op, 5 AS ts", **latest)
    bench.write("SELECT 1 AS k, 'D' AS op, 4 AS ts", **latest)
    assert len(bench.read()) == 1
    bench.write("SELECT 1 AS k, 'D' AS op, 5 AS ts UNION ALL SELECT 1, 'U', 3", **latest)
    assert bench.read() == []


FEED = {**M, "latest_by": "ts", "delete_where": "op = 'D'"}


def feed(bench, *rows, **more):
    values = ", ".join(f"({k}, '{op}', {ts})" for k, op, ts in rows)
    return bench.write(f"SELECT * FROM (VALUES {values}) t(k, op, ts)", **{**FEED, **more})


def test_an_older_row_brings_no_deleted_key_back(bench):
    feed(bench, (1, "I", 5), (2, "I", 5))
    assert feed(bench, (1, "D", 7)).deleted == 1
    late = feed(bench, (1, "U", 6), (1, "I", 5))
    assert (figures(late), late.changed) == ((0, 0, 0, 2), False)
    assert bench.read(columns="k") == [("2",)]
    assert bench.lake.tables() == ["silver.t"]
    feed(bench, (1, "I", 8))  # newer than its end
    assert bench.read(columns="k, ts") == [("1", "8"), ("2", "5")]
    feed(bench, (1, "D", 8))
    feed(bench, (1, "I", 8))  # as old as its end: what comes later wins, as everywhere
    assert bench.read(columns="k") == [("1",), ("2",)]


def test_a_deletion_that_comes_before_its_row_holds(bench):
    feed(bench, (1, "D", 7))  # in the very write that makes the table
    feed(bench, (2, "D", 7))
    feed(bench, (1, "I", 6), (2, "I", 6), (3, "I", 6), (4, "I", "NULL"))
    assert bench.read(columns="k") == [("3",), ("4",)]
    feed(bench, (4, "D", 1))
    feed(bench, (4, "I", "NULL"))
    assert bench.read(columns="k") == [("3",)]


def test_a_deletion_is_remembered_once(bench):
    feed(bench, (1, "I", 5))
    for run in ("r1", "r2", "r3"):
        feed(bench, (1, "D", 7), run=run)
        feed(bench, (1, "D", 6), run=run)
    assert bench.read("silver.t__deleted", "k, ts, _run_id") == [("1", "7", "r1")]


def test_killed_between_the_two_commits(bench, monkeypatch):
    feed(bench, (1, "I", 5))
    request = bench.request("SELECT 1 AS k, 'D' AS op, 7 AS ts", **FEED)
    with monkeypatch.context() as patch:
        patch.setattr("adutora.io.lake.merge._execute", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bench.lake.write(bench.con, request)
    assert bench.read(columns="k") == [("1",)]
    assert bench.lake.write(bench.con, request).deleted == 1
    assert bench.read() == []
    assert len(bench.read("silver.t__deleted")) == 1
    feed(bench, (1, "I", 6))
    assert bench.read() == []


def test_a_full_refresh_forgets_deletions(bench):
    feed(bench, (1, "I", 5), (2, "I", 5))
    feed(bench, (1, "D", 7), (2, "D", 7))
    feed(bench, (1, "I", 5), (2, "D", 9), full_refresh=True)
    assert bench.read(columns="k") == [("1",)]
    assert bench.read("silver.t__deleted", "k, ts") == [("2", "9")]


def test_a_refused_write_remembers_nothing(bench):
    feed(bench, *((k, "I", 5) for k in range(9)))
    with pytest.raises(DataError, match="maxShare"):
        feed(bench, (1, "D", 7), missing=Missing(action="delete", maxShare=0.2))
    assert not bench.lake.exists("silver.t__deleted")


def test_missing_rows_are_marked_and_come_back(bench):
    mark = {**M, "missing": Missing(action="mark")}
    bench.write("SELECT i AS k, 'v' AS v FROM range(4) t(i)", **mark)
    assert bench.read(columns="DISTINCT _deleted") == [("false",)]
    result = bench.write("SELECT i AS k, 'v' AS v FROM range(2) t(i)", **mark)
    assert (figures(result), result.total_rows) == ((0, 0, 2, 2), 4)
    assert not bench.write("SELECT i AS k, 'v' AS v FROM range(2) t(i)", **mark).changed
    result = bench.write("SELECT i AS k, 'v' AS v FROM range(3) t(i)", **mark)
    assert figures(result) == (0, 1, 0, 2)
    assert bench.read(columns="k, v, _deleted") == [
        ("0", "v", "false"), ("1", "v", "false"), ("2", "v", "false"), ("3", "v", "true"),
    ]  # fmt: skip
    bench.write("SELECT 3 AS k, 'back' AS v", **M)  # without `missing` too
    assert bench.read(columns="k, _deleted")[3] == ("3", "false")


def test_marking_a_table_that_had_no_mark(bench):
    bench.write("SELECT i AS k, timestamp '2024-01-01' AS t FROM range(4) t(i)", **M)
    bench.write("SELECT i AS k, timestamp '2024-01-01' AS t FROM range(3) t(i)", missing=Missing(action="mark"), **M)
    assert bench.read(columns="k, _deleted") == [("0", "false"), ("1", "false"), ("2", "false"), ("3", "true")]


def test_max_share(bench):
    delete = {**M, "missing": Missing(action="delete", maxShare=0.2)}
    bench.write("SELECT i AS k FROM range(10) t(i)", **delete)
    with pytest.raises(DataError, match=r"3 of 10 rows \(30.0%\).*maxShare allows 20.0%"):
        bench.write("SELECT i AS k FROM range(7) t(i)", **delete)
    result = bench.write("SELECT i AS k FROM range(8) t(i)", **delete)
    assert (figures(result), result.total_rows) == ((0, 0, 2, 8), 8)
    assert len(bench.read()) == 8


def test_max_share_counts_no_row_twice(bench):
    bench.write("SELECT i AS k FROM range(10) t(i)", missing=Missing(action="mark"), **M)
    bench.write("SELECT i AS k FROM range(6) t(i)", missing=Missing(action="mark"), **M)
    bench.write("SELECT i AS k FROM range(5) t(i)", missing=Missing(action="delete", maxShare=0.2), **M)
    assert [k for k, _ in bench.read()] == ["0", "1", "2", "3", "4"]


def test_evolve(bench):
    bench.write("SELECT i AS k, 'a' AS a FROM range(3) t(i)", **M)
    bench.write("SELECT 1 AS k, now()::TIMESTAMP AS t, {'x': 1} AS s", **M)
    assert bench.read(columns="k, a, t IS NULL, s") == [
        ("0", "a", "true", None), ("1", None, "false", "{'x': 1}"), ("2", "a", "true", None),
    ]  # fmt: skip


def test_rows_move_between_partitions(bench):
    more = {**M, "partition_by": ("p",)}
    bench.write(
        "SELECT i AS k, CASE WHEN i > 0 THEN date '2024-01-01' + (i // 3)::INTEGER END AS p FROM range(9) t(i)", **more
    )
    result = bench.write("SELECT * FROM (VALUES (0, date '2024-01-02'), (3, NULL), (8, '2030-01-01')) t(k, p)", **more)
    assert figures(result) == (0, 3, 0, 0)
    assert [row for row in bench.read() if row[0] in "038"] == [("0", "2024-01-02"), ("3", None), ("8", "2030-01-01")]
    assert len(bench.read()) == 9


@pytest.mark.parametrize("key", ["i::VARCHAR || '''é'", "i::DECIMAL(12,2)", "i + 0.5::DOUBLE", "date '2024-01-01' + i::INTEGER",
                                 "timestamp '2024-01-01' + interval (i) hour", "timestamptz '2024-01-01 00:00:00+00' + interval (i) hour", "i % 4 = 0"])  # fmt: skip
def test_keys_of_each_type(bench, key):
    take = "range(2)" if "%" in key else "range(6)"
    bench.write(f"SELECT {key} AS k, 1 AS v FROM {take} t(i)", **M)
    result = bench.write(f"SELECT {key} AS k, 2 AS v FROM range(1) t(i)", **M)
    assert figures(result) == (0, 1, 0, 0)
    assert sorted(v for (v,) in bench.read(columns="v"))[-1] == "2"


def test_odd_names(bench):
    query = '''SELECT i AS "Key, é", i * {0} AS "it's ""x""", i % 2 AS "p q" FROM range(4) t(i)'''
    more = {"mode": "merge", "key": ("Key, é",), "partition_by": ("p q",)}
    bench.write(query.format(1), **more)
    assert bench.write(query.format(2), **more).updated == 3
    assert [row[1] for row in bench.read()] == ["0", "2", "4", "6"]


def test_full_refresh(bench):
    bench.write("SELECT i AS k, 'x' AS v FROM range(5) t(i)", **M)
    result = bench.write("SELECT 1 AS k, 5 AS v", full_refresh=True, **M)
    assert (result.deleted, result.total_rows) == (5, 1)
    assert bench.read() == [("1", "5")]


# A model: the table is a dict, and each rule one line.

KEYS = st.integers(0, 6)
ROW = st.tuples(
    KEYS, st.sampled_from([None, "a", "b"]), st.integers(0, 4), st.sampled_from(["p", "q", None]), st.booleans()
)
STEP = st.tuples(st.lists(ROW, max_size=8), st.sampled_from(["keep", "mark", "delete"]))


def order(row):
    """Greatest by `at`, then by all columns with nulls last, then those that delete."""
    k, v, at, p, gone = row
    return (at, k, v is not None, v or "", p is not None, p or "", gone)


def model(table, died, rows, missing):
    batch = {}
    for row in sorted(rows, key=order):
        batch[row[0]] = row
    after = {key: dict(value) for key, value in table.items()}
    for key, (_, v, at, p, gone) in batch.items():
        old = table.get(key)
        if at < died.get(key, 0) or (old is not None and at < old["at"]):
            continue
        if gone:
            died[key] = at
            after.pop(key, None)
        else:
            after[key] = {"v": v, "at": at, "p": p, "deleted": False}
    for key in table.keys() - batch.keys():
        if missing == "mark":
            after[key]["deleted"] = True
        elif missing == "delete":
            del after[key]
    return after


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=4))
def test_against_a_model(bench, steps):
    shutil.rmtree(bench.root, ignore_errors=True)
    table, died = {}, {}
    for rows, action in [([], "mark"), *steps]:
        table = step(bench, table, died, rows, action)


def step(bench, table, died, rows, action):
    values = ", ".join(sql(row) for row in rows) or "(0, NULL, 0, NULL, false)"
    where = "" if rows else " WHERE false"
    result = bench.write(
        f"SELECT k::BIGINT AS k, v::VARCHAR AS v, ts::INTEGER AS ts, p::VARCHAR AS p, gone FROM (VALUES {values}) t(k, v, ts, p, gone){where}",
        mode="merge", key=("k",), partition_by=("p",), latest_by="ts", delete_where="gone", missing=Missing(action=action),
    )  # fmt: skip
    after = model(table, died, rows, action)
    found = {
        int(k): {"v": v, "at": int(at), "p": p, "deleted": deleted == "true"}
        for k, v, at, p, deleted in bench.read(columns="k, v, ts, p, _deleted")
    }
    stale = {key for key in found if found[key] != after.get(key)}
    assert found == after, stale
    assert result.total_rows == len(after)
    assert result.inserted == len(after.keys() - table.keys())
    assert result.changed == (after != table) or result.version == 0
    return after


def sql(row):
    k, v, at, p, gone = row
    text = ", ".join("NULL" if value is None else f"'{value}'" for value in (v, p)).split(", ")
    return f"({k}, {text[0]}, {at}, {text[1]}, {str(gone).lower()})"


def test_the_clock_is_no_part_of_it(bench):
    noon = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)
    bench.write("SELECT 1 AS k, 'a' AS v", at=noon, **M)
    bench.write("SELECT 1 AS k, 'b' AS v", at=noon - dt.timedelta(days=9), **M)
    assert bench.read() == [("1", "b")]


def test_a_condition_that_does_not_hold_water(bench):
    with pytest.raises(ConfigError, match="oops"):
        bench.write("SELECT 1 AS k", delete_where="oops = 1", **M)
    with pytest.raises(DataError, match="abc"):
        bench.write("SELECT 1 AS k, 'abc' AS v", delete_where="v::INTEGER = 1", **M)


def test_nothing_stays_in_duckdb(bench):
    for more in (M, {"mode": "overwritePartitions", "partition_by": ("k",)}, {"mode": "append"}):
        for v in (1, 2):
            bench.write(
                f"SELECT 1 AS k, {v} AS v",
                f"silver.{more['mode'].lower()}",
                rejected="SELECT '' _reason, '' _source, '' _row",
                **more,
            )
    assert bench.rows(
        "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
    ) == [("given",), ("refused",)]
