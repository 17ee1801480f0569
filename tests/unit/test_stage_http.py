"""The `http` stage: one request, outputs from its answer."""

from collections.abc import Callable
from typing import Any

import pytest

from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.stages.http.run import run
from adutora.stages.http.spec import Http

Bench = Callable[..., Any]


@pytest.fixture
def ctx(bench: Bench, server: Any) -> Any:
    return bench({"api": {"http": {"baseUrl": server.url, "timeout": "2s"}}, "store": {"sqlite": {}}})


def stage(**fields: Any) -> Http:
    return Http.model_validate({"connection": "api", "path": "/scrape", **fields})


def test_outputs_from_the_answer(ctx: Any, server: Any, answer: Any) -> None:
    server.on("/scrape", answer(202, {"pages": ["a", "b"], "job": {"id": 7}, "none": None}))
    run(
        stage(method="POST", json={"deep": True}, query={"x": 1}, expectStatus=[200, 202],
              outputs={"pages": "$.pages", "id": "$.job.id", "none": "$.none", "each": "$.pages[*]"}),
        ctx,
    )  # fmt: skip
    assert ctx.outcome.outputs == {"pages": ["a", "b"], "id": 7, "none": None, "each": ["a", "b"]}
    assert ctx.outcome.metrics["http_status"] == 202
    assert server.paths() == ["POST /scrape?x=1"]
    assert server.requests[0].json() == {"deep": True}


def test_without_outputs_any_body_will_do(ctx: Any, server: Any, answer: Any) -> None:
    server.on("/scrape", answer(200, b"\xff\xfe no json"))
    run(stage(), ctx)
    assert ctx.outcome.outputs == {}


def test_output_that_is_not_there(ctx: Any, server: Any, answer: Any) -> None:
    server.on("/scrape", answer(200, {"page": 1}))
    with pytest.raises(DataError, match=r"the answer has nothing at \$.pages \(its keys are page\)"):
        run(stage(outputs={"pages": "$.pages"}), ctx)
    assert ctx.outcome.outputs == {}


def test_outputs_of_more_than_2_kib_are_refused(ctx: Any, server: Any, answer: Any) -> None:
    server.on("/scrape", answer(200, {"a": "x" * 2032, "b": 1}))
    run(stage(outputs={"a": "$.a"}), ctx)
    with pytest.raises(DataError, match="outputs take 2049 bytes, and 2048 are allowed; the largest is a"):
        run(stage(outputs={"a": "$.a", "b": "$.b"}), ctx)


def test_head_has_no_outputs(ctx: Any, server: Any) -> None:
    with pytest.raises(ConfigError, match="HEAD"):
        run(stage(method="HEAD", outputs={"a": "$.a"}), ctx)
    assert server.requests == []


def test_errors_keep_their_meaning(ctx: Any, server: Any, answer: Any) -> None:
    server.on("/scrape", answer(503), answer(422, {"detail": "bad page"}), answer(404))
    for error, text in ((TemporaryError, "503"), (DataError, "bad page"), (ConfigError, "404")):
        with pytest.raises(error, match=text):
            run(stage(), ctx)


def test_connection_of_another_type(ctx: Any) -> None:
    with pytest.raises(ConfigError, match="connection store is of type sqlite; http is needed"):
        run(stage(connection="store"), ctx)
