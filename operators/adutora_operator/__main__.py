"""`python -m adutora_operator`: runs until SIGTERM, or until it cannot go on; Kubernetes starts it again."""

import asyncio
import contextlib
import logging
import os
import sys

import kopf

from adutora.errors import AdutoraError
from adutora_operator import handlers, metrics
from adutora_operator.airflow import Airflow
from adutora_operator.api import Api
from adutora_operator.login import login
from adutora_operator.operator import Operator
from adutora_operator.probe import serve
from adutora_operator.settings import Settings, from_environment


def main() -> int:
    """Run the operator. Return an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    try:
        asyncio.run(run(from_environment(os.environ)))
    except AdutoraError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


async def run(settings: Settings) -> None:
    """Watch and reconcile, until kopf ends."""
    options = handlers.settings()
    api = Api(lambda: login(options), lambda verb: metrics.WRITES.labels(verb).inc())
    airflow = Airflow(settings.airflow) if settings.airflow else None
    operator = Operator(settings, api, airflow)
    runners = await serve(operator.pulse, settings.health_port, settings.metrics_port)
    await operator.begin()
    # Begun before kopf, which would end them with its own tasks.
    loops = [operator.beat, operator.resync, *[operator.work] * settings.workers]
    loops += [operator.poll] if airflow else []
    tasks = [asyncio.create_task(loop(), name=loop.__name__) for loop in loops]
    try:
        await _first_end(settings, operator, options, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        operator.close()
        clients = [api.close, airflow.close] if airflow else [api.close]
        for close in (*clients, *(runner.cleanup for runner in runners)):
            with contextlib.suppress(OSError):
                await close()


async def _first_end(
    settings: Settings, operator: Operator, options: kopf.OperatorSettings, tasks: list[asyncio.Task[None]]
) -> None:
    """Run kopf. Where one of our own loops ends, which none should, everything ends."""
    watching = kopf.operator(
        registry=handlers.register(operator, options),
        settings=options,
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )
    kopf_task = asyncio.create_task(watching, name="kopf")
    try:
        done, _ = await asyncio.wait([kopf_task, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        kopf_task.cancel()
        await asyncio.gather(kopf_task, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main())
