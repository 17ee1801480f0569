import pytest

from adutora.dagconfig import DagConfig, StageConfig
from adutora.errors import ConfigError
from adutora.local.graph import decide, select, to_resume


def stage(name: str, *needs: str, run_if: str = "succeeded") -> StageConfig:
    return StageConfig(name, "probe", {}, needs, 0, 0, 60, {}, run_if=run_if)


def config(*stages: StageConfig) -> DagConfig:
    return DagConfig("p", "default", stages, "UTC", {})


CHAIN = config(stage("a"), stage("b", "a"), stage("c", "b"), stage("d"))


@pytest.mark.parametrize(
    ("run_if", "upstream", "decision"),
    [
        ("succeeded", {}, "start"),
        ("succeeded", {"a": "succeeded"}, "start"),
        ("succeeded", {"a": "running"}, "wait"),
        ("succeeded", {"a": "succeeded", "b": "waiting"}, "wait"),
        ("succeeded", {"a": "failed"}, "skip"),
        ("succeeded", {"a": "stopped"}, "skip"),
        ("succeeded", {"a": "skipped"}, "skip"),
        ("failed", {"a": "failed", "b": "succeeded"}, "start"),
        ("failed", {"a": "succeeded"}, "skip"),
        ("failed", {"a": "failed", "b": "running"}, "wait"),
        ("always", {"a": "failed", "b": "skipped"}, "start"),
        ("always", {"a": "running"}, "wait"),
    ],
)
def test_decides_by_what_it_depends_on(run_if: str, upstream: dict[str, str], decision: str) -> None:
    assert decide(stage("x", *upstream, run_if=run_if), upstream)[0] == decision  # type: ignore[arg-type]


def test_a_skipped_stage_says_why() -> None:
    assert decide(stage("x", "a", "b"), {"a": "succeeded", "b": "failed"}) == ("skip", "b failed")


def test_selects_all_one_or_what_follows() -> None:
    assert select(CHAIN, [], []) == ["a", "b", "c", "d"]
    assert select(CHAIN, ["c"], []) == ["c"]
    assert select(CHAIN, [], ["b"]) == ["b", "c"]


def test_an_unknown_stage_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as error:
        select(config(stage("aggregate")), ["agregate"], [])
    assert "aggregate" in str(error.value.hint)


def test_resuming_does_what_failed_and_what_follows() -> None:
    done = {"a": "succeeded", "b": "failed", "c": "skipped", "d": "succeeded"}
    assert to_resume(CHAIN, done) == ["b", "c"]  # type: ignore[arg-type]


def test_resuming_does_what_follows_a_new_stage() -> None:
    assert to_resume(CHAIN, {"b": "succeeded", "c": "succeeded", "d": "succeeded"}) == ["a", "b", "c"]
