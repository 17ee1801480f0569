"""`python -m adutora_operator`: runs until SIGTERM, or until it cannot go on; Kubernetes starts it again.

All state is in the API server, so the operator may end at any moment: what is left of it after `GRACE` is dropped.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Final

import kopf

from adutora.errors import AdutoraError
from adutora_operator import handlers, metrics
from adutora_operator.airflow import Airflow
from adutora_operator.api import Api
from adutora_operator.login import login
from adutora_operator.operator import Operator
from adutora_operator.probe import serve
from adutora_operator.settings import Settings, from_environment

GRACE: Final = 3.0  # seconds between SIGTERM and the end


def main() -> int:
    """Run the operator. Return an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    try:
        asyncio.run(_until_told(from_environment(os.environ)))
    except AdutoraError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


async def _until_told(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Process 1 of a container gets no signal that it has no handler for."""
    told = asyncio.Event()
    _listen(told)
    running, waiting = asyncio.create_task(run(settings, told)), asyncio.create_task(told.wait())
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        return running.result()
    running.cancel()
    done, _ = await asyncio.wait([running], timeout=GRACE)
    if not done:
        sys.stderr.write(f"ended, though not all of it was after {GRACE:.0f} s\n")
        sys.stderr.flush()
        os._exit(0)
    return None


def _listen(told: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)


async def run(settings: Settings, told: asyncio.Event) -> None:
    """Watch and reconcile, until kopf ends. `told` is set by signals."""
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
        await _first_end(settings, operator, options, tasks, told)
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
    settings: Settings,
    operator: Operator,
    options: kopf.OperatorSettings,
    tasks: list[asyncio.Task[None]],
    told: asyncio.Event,
) -> None:
    """Run kopf. Where one of our own loops ends, which none should, everything ends."""
    ready = asyncio.Event()
    watching = kopf.operator(
        registry=handlers.register(operator, options),
        settings=options,
        standalone=True,
        ready_flag=ready,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
    )
    kopf_task = asyncio.create_task(watching, name="kopf")
    listening = asyncio.create_task(_listen_again(ready, told))
    try:
        done, _ = await asyncio.wait([kopf_task, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        listening.cancel()
        kopf_task.cancel()
        await asyncio.gather(kopf_task, return_exceptions=True)


async def _listen_again(ready: asyncio.Event, told: asyncio.Event) -> None:
    """Take the signals back: kopf takes them when it starts, and its end may take longer than a pod is given."""
    await ready.wait()
    _listen(told)


if __name__ == "__main__":
    sys.exit(main())
