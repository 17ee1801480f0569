"""Run an `http` stage: send one request, take outputs from the answer."""

from typing import TYPE_CHECKING, Any

from adutora.errors import ConfigError
from adutora.io.http import HttpClient, Response
from adutora.io.jsonpath import find_one
from adutora.runtime.outputs import checked_outputs
from adutora.stages.http.spec import Http

if TYPE_CHECKING:
    from adutora.runtime.context import StageContext


def run(spec: Http, ctx: "StageContext") -> None:
    """Send the request. Raises TemporaryError, DataError or ConfigError as `HttpClient.request` does."""
    if spec.outputs and spec.method == "HEAD":
        raise ConfigError("the answer to HEAD has no body to take outputs from", hint="use method GET")
    with HttpClient(ctx.connection(spec.connection)) as client:
        answer = client.request(
            spec.method,
            spec.path,
            query=spec.query,
            headers=spec.headers,
            json_body=spec.json_,
            expect=spec.expectStatus,
        )
    ctx.log.info("%s answered %d with %d bytes", answer.what, answer.status, len(answer.body))
    ctx.outcome.metrics["http_status"] = float(answer.status)
    ctx.outcome.metrics["http_body_bytes"] = float(len(answer.body))
    if spec.outputs:
        ctx.outcome.outputs.update(read_outputs(answer, spec.outputs))


def read_outputs(answer: Response, paths: dict[str, str]) -> dict[str, Any]:
    """Return what each JSONPath finds. Raises DataError where one finds nothing, or all are more than 2 KiB."""
    document = answer.json()
    return checked_outputs({name: find_one(document, path) for name, path in paths.items()})
