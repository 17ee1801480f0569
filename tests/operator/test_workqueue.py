"""The queue: each key once, in one hand, again after a failure."""

import asyncio

import pytest

from adutora_operator.workqueue import LONGEST_DELAY, WorkQueue


async def drained(queue: WorkQueue[str]) -> list[str]:
    out = []
    while len(queue):
        out.append(await queue.get())
        queue.done(out[-1])
    return out


def test_a_key_is_there_once() -> None:
    async def main() -> list[str]:
        queue: WorkQueue[str] = WorkQueue()
        for key in "abab":
            queue.add(key)
        return await drained(queue)

    assert asyncio.run(main()) == ["a", "b"]


def test_a_key_in_hand_comes_again_afterwards() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        queue.add("b")
        assert await queue.get() == "b"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 0.02)
        queue.done("a")
        assert await asyncio.wait_for(queue.get(), 1) == "a"

    asyncio.run(main())


def test_many_workers_share_it() -> None:
    async def main() -> list[str]:
        queue: WorkQueue[str] = WorkQueue()
        seen: list[str] = []

        async def work() -> None:
            while True:
                key = await queue.get()
                await asyncio.sleep(0)
                seen.append(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        await asyncio.sleep(0)
        workers[0].cancel()  # one that waits and is gone takes nobody's turn
        for number in range(100):
            queue.add(str(number))
        while len(seen) < 100:
            await asyncio.sleep(0)
        for worker in workers:
            worker.cancel()
        return seen

    assert sorted(asyncio.run(main()), key=int) == [str(number) for number in range(100)]


def test_each_failure_waits_longer() -> None:
    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue()
        delays = [queue.retry("a") for _ in range(30)]
        assert 0.1 <= delays[0] <= 0.2
        assert delays[3] > delays[0]
        assert max(delays) <= LONGEST_DELAY
        assert queue.delayed == 1  # the shortest of the waits counts
        queue.forget("a")
        assert queue.retry("a") <= 0.2
        assert await asyncio.wait_for(queue.get(), 2) == "a"
        assert queue.delayed == 0

    asyncio.run(main())
