"""What is wrong in one field hides nothing in the others, and blames none of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from adutora.spec.pipeline import STAGE_TYPES, Stage
from adutora.validate import validate_files
from adutora.validate.fields import model_at
from adutora.validate.structural import _required

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/pipeline.yaml"))


def required(stages: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """Where a stage's block gives a field that it must give."""
    found = []
    for number, stage in enumerate(stages):
        for block in set(stage) & set(STAGE_TYPES):
            names = _required(model_at(Stage, (block,)) or Stage)
            found += [(number, block, name) for name in stage[block] if name in names]
    return sorted(found)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.parent.name)
def test_a_required_field_of_a_wrong_form_is_the_one_thing_told(example: Path, tmp_path: Path) -> None:
    given = yaml.safe_load(example.read_text())
    places = required(given["spec"]["stages"])
    assert places
    for number, block, name in places:
        damaged = yaml.safe_load(example.read_text())
        damaged["spec"]["stages"][number][block][name] = {"no": "such"}
        file = tmp_path / "pipeline.yaml"
        file.write_text(yaml.safe_dump(damaged, allow_unicode=True))
        told = [each for each in validate_files([file]).diagnostics if each.severity == "error"]
        assert all(f"{block}.{name}" in each.path for each in told), [str(each) for each in told]
        assert told


def test_the_other_fields_of_its_block_are_checked(findings: Callable[..., list[str]]) -> None:
    found = findings("""
        stages:
          - {name: s, python: {function: a.b, args: {d: $(run.dat)}}}
          - {name: p, input: {table: gold.x, external: true}, publish: {key: cidade, ttl: 7d}}
    """)
    assert [each.partition(" (")[0] for each in found] == [
        'error spec.stages[0].python.function: "a.b" does not fit',
        "error spec.stages[0].python.args.d: a run has no `dat`",
        "error spec.stages[1].publish: `prefix` is missing",
        'error spec.stages[1].publish.key: must be a list, not "cidade"',
    ]
