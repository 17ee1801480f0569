"""The short outcome: at most 2,048 bytes, always JSON, and what Airflow acts on is the last to go."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adutora.io.secrets import remember
from adutora.runtime.outcome import Outcome, mask
from adutora.runtime.pod_report import MOST, cut_text, encoded, outcome_path, short, unstored

TEXTS = st.none() | st.text(max_size=5000) | st.text(alphabet='"\\\n\x00é💧', min_size=500, max_size=3000)
TABLES = st.lists(
    st.fixed_dictionaries({"table": st.text(max_size=200), "version": st.integers(0), "changed": st.booleans()}),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(
    error=TEXTS, hint=TEXTS, message=TEXTS, tables=TABLES, reason=st.none() | st.text(max_size=3000),
    outputs=st.dictionaries(st.text(max_size=20), st.text(max_size=2000), max_size=3),
    metrics=st.dictionaries(st.text(max_size=60), st.floats(allow_nan=False), max_size=100),
    uri=st.none() | st.text(max_size=1500),
)  # fmt: skip
def test_it_is_always_json_within_the_limit(uri: str | None, **fields: Any) -> None:
    data = short(Outcome(exit_code=65, rows_out=3, **fields), uri)
    assert len(data) <= MOST
    assert json.loads(data)["exitCode"] == 65


def test_what_fits_is_told_whole() -> None:
    outcome = Outcome(rows_in=2, rows_out=1, rows_rejected=1, outputs={"n": 1}, metrics={"m": 0.5})
    outcome.tables = [{"table": "silver.a", "version": 3, "changed": True, "rows": 1}]
    assert json.loads(short(outcome, "s3://b/x.json")) == {
        "exitCode": 0, "reason": None, "error": None, "hint": None, "message": None, "rowsIn": 2, "rowsOut": 1,
        "rowsRejected": 1, "cached": False, "tables": [{"name": "silver.a", "version": 3, "changed": True}],
        "outputs": {"n": 1}, "metrics": {"m": 0.5}, "truncated": False, "uri": "s3://b/x.json",
    }  # fmt: skip


def test_texts_are_cut_and_outputs_stay_where_they_can() -> None:
    outcome = Outcome(exit_code=65, error="é" * 4000, hint="h" * 3000, outputs={"text": "x" * 500}, metrics={"m": 1.0})
    told = json.loads(short(outcome, "s3://b/x.json"))
    assert told["truncated"] is True
    assert told["error"].endswith("é…")
    assert len(told["error"]) > 150
    assert told["outputs"] == {"text": "x" * 500}
    assert told["metrics"] == {}


def test_tables_that_changed_are_kept_before_others() -> None:
    tables = [{"table": f"silver.{'t' * 60}{n}", "version": n, "changed": n == 49} for n in range(50)]
    told = json.loads(short(Outcome(tables=tables), "s3://b/x.json"))
    assert told["tables"][0]["version"] == 49
    assert 5 < len(told["tables"]) < 50


def test_a_text_is_cut_between_characters() -> None:
    assert cut_text("💧" * 10, 14) == "💧💧…"
    assert len(encoded(cut_text("\x00" * 100, 20))) <= 20
    assert encoded("\udc80") == b'"?"'


def test_outputs_never_carry_a_secret() -> None:
    remember("t0p-s3cret")
    outcome = Outcome(error="t0p-s3cret", outputs={"a": ["x t0p-s3cret"], "b": {"c": 1}})
    mask(outcome)
    assert (outcome.error, outcome.outputs) == ("***", {"a": ["x ***"], "b": {"c": 1}})
    assert "masked" in outcome.warnings[0]


def test_a_lost_outcome_matters_where_outputs_are_lost() -> None:
    fine, lost = Outcome(outputs={"n": 1}), Outcome(outputs={"text": "x" * 2030})
    unstored(fine, "down")
    unstored(lost, "down")
    assert (fine.exit_code, lost.exit_code) == (0, 75)


def test_paths_of_outcomes_stay_in_their_folder() -> None:
    assert outcome_path("t.p", "manual__2026-01-01T00:00:00+00:00", "s[0]", 2) == (
        "outcomes/t.p/manual__2026-01-01T00:00:00+00:00/s[0].2.json"
    )
    assert outcome_path("t.p", "../../x", "s", 1) == "outcomes/t.p/..-..-x/s.1.json"
    assert outcome_path("t.p", "..", "s", 1) == "outcomes/t.p/-/s.1.json"
