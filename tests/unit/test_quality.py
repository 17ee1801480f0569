"""`quality`: checks on a table that stands."""

from collections.abc import Callable
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError
from adutora.runtime.context import StageContext
from adutora.stages.quality.run import run
from adutora.stages.quality.spec import Quality

Maker = Callable[..., StageContext]


@pytest.fixture
def judge(stage_context: Maker) -> Callable[..., StageContext]:
    def judge(*checks: dict[str, Any]) -> StageContext:
        before = stage_context(output={"table": "gold.tidy"})
        before.con.execute(
            "CREATE TEMP TABLE given AS SELECT * FROM (VALUES (1, 'a'), (2, NULL), (2, 'b')) AS v(id, t)"
        )
        before.write("given")
        ctx = stage_context(kind="quality", block={"checks": list(checks)}, inputs=({"table": "gold.tidy"},), run="r-2")
        run(Quality.model_validate({"checks": list(checks)}), ctx)
        return ctx

    return judge


def test_a_good_table_passes_with_metrics(judge: Callable[..., StageContext]) -> None:
    ctx = judge({"rowCount": {"min": 1}}, {"notNull": ["id"]}, {"notNull": ["t"], "onFail": "warn"})
    assert ctx.outcome.metrics == {
        "checks.rowCount.failed": 0,
        "checks.notNull-id.failed": 0,
        "checks.notNull-t.failed": 1,
    }
    assert ctx.outcome.rows_in == 3
    assert ctx.outcome.warnings == [
        'gold.tidy: check notNull-t: 1 of 3 rows are bad: t has no value in {"id":2,"t":null}'
    ]


def test_all_failures_are_told_at_once(judge: Callable[..., StageContext]) -> None:
    with pytest.raises(DataError) as caught:
        judge({"rowCount": {"min": 9}}, {"unique": ["id"]}, {"notNull": ["id"]}, {"sql": "FROM gold.tidy WHERE id = 1"})
    assert caught.value.message.startswith("gold.tidy: 3 of 4 checks failed: check rowCount: it has 3 rows")
    assert "check unique-id: 1 of 3 rows are bad: id=2 stands 2 times" in caught.value.message
    assert 'check sql: 1 of 3 rows are bad: {"id":1,"t":"a"}' in caught.value.message


def test_quarantine_is_refused(judge: Callable[..., StageContext]) -> None:
    with pytest.raises(ConfigError, match="writes nothing, so it cannot quarantine"):
        judge({"notNull": ["id"], "onFail": "quarantine"})


def test_a_reference_to_the_table_itself(judge: Callable[..., StageContext]) -> None:
    judge({"references": {"column": "id", "table": "gold.tidy", "to": "id"}})
    with pytest.raises(DataError, match=r"id is 1, which is not in gold.tidy.t"):
        judge({"references": {"column": "id", "table": "gold.tidy", "to": "t"}})


def test_a_query_opens_no_file(judge: Callable[..., StageContext], tmp_path: Any) -> None:
    (tmp_path / "x.csv").write_text("a\n1\n")
    with pytest.raises(ConfigError, match="declared inputs"):
        judge({"sql": f"SELECT * FROM read_csv('{tmp_path}/x.csv')"})
