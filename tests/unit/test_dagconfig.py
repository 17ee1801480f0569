import json

import pytest

from adutora.dagconfig import DagConfig, StageConfig
from adutora.errors import ConfigError


def config() -> DagConfig:
    first = StageConfig("a", "sql", {"query": "SELECT 1"}, (), 1, 10, 60, {"memory": 1024})
    second = StageConfig("b", "probe", {"connection": "online"}, ("a",), 0, 10, 60, {}, when="$(params.x)")
    return DagConfig("p", "team", (first, second), "UTC", {"root": "lake", "layers": {}}, tags=("x",))


def test_survives_its_json_form() -> None:
    text = json.dumps(config().to_json())
    assert DagConfig.from_json(json.loads(text)) == config()
    assert config().dag_id == "team.p"
    assert list(config().downstream("a")) == ["b"]


def test_a_changed_one_is_refused() -> None:
    data = config().to_json()
    data["stages"][0]["block"]["query"] = "SELECT 2"
    with pytest.raises(ConfigError, match="changed after it was compiled"):
        DagConfig.from_json(data)


def test_another_format_is_refused() -> None:
    with pytest.raises(ConfigError, match="format 2"):
        DagConfig.from_json({**config().to_json(), "format": 2})
