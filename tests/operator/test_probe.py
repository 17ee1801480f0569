"""The probe answers by the age of the last loop."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from adutora_operator import metrics
from adutora_operator.api import Api
from adutora_operator.operator import Operator
from adutora_operator.probe import MAX_AGE, Pulse, serve
from adutora_operator.settings import Settings
from tests.apiserver.server import free_port


async def status(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text()


def test_healthy_while_something_is_done() -> None:
    async def main() -> None:
        pulse, health, numbers = Pulse(), free_port(), free_port()
        runners = await serve(pulse, health, numbers)
        pulse.last = time.monotonic() - MAX_AGE - 1
        assert (await status(health, "/healthz"))[0] == 503
        pulse.beat()
        assert (await status(health, "/healthz"))[0] == 200
        text = (await status(numbers, "/metrics"))[1]
        assert "adutora_operator_last_loop_seconds" in text
        for runner in runners:
            await runner.cleanup()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def beating() -> AsyncIterator[Operator]:
    """An operator that has nothing to do, and has never beaten."""
    operator = Operator(Settings(), Api(lambda: pytest.fail("no request is due"), lambda _: None), None)
    operator.pulse.last = 0
    tasks = [asyncio.create_task(each()) for each in (operator.work, operator.beat)]
    try:
        async with asyncio.timeout(20):
            yield operator
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        operator.close()


def test_workers_without_work_have_a_pulse() -> None:
    async def main() -> None:
        async with beating() as operator, asyncio.timeout(5):
            while operator.pulse.last == 0:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_judge_that_stands_still_is_no_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else is done meanwhile."""
    monkeypatch.setattr("adutora_operator.operator.BEAT_EVERY", 0.01)
    stands, going = threading.Event(), threading.Event()

    async def main() -> None:
        async with beating() as operator:
            operator._judge._thread.submit(lambda: (stands.set(), going.wait(30)))  # type: ignore[func-returns-value]
            await asyncio.to_thread(stands.wait, 5)
            await asyncio.sleep(0.5)
            operator.pulse.beat()
            assert operator.pulse.age > 0.3
            going.set()
            async with asyncio.timeout(5):
                while operator.pulse.age > 0.2:
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_pipelines_are_counted_by_whether_they_are_ready() -> None:
    count = metrics.ReadyCount()
    count.note("a", "True")
    count.note("b", "True")
    count.note("a", "False")
    value = metrics.REGISTRY.get_sample_value
    assert value("adutora_operator_pipelines", {"ready": "True"}) == 1
    count.note("a", None)
    count.note("b", None)
    assert value("adutora_operator_pipelines", {"ready": "False"}) == 0
