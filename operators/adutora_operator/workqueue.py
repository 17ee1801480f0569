"""A queue of keys, each in it at most once, and never in two hands: the queue of every Kubernetes controller.

A key that is added while it is worked on comes again afterwards. A key whose work failed comes again later, each time
after a longer wait, with jitter.
"""

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

FIRST_DELAY: Final = 0.2
LONGEST_DELAY: Final = 60.0
KeyType = TypeVar("KeyType", bound=Hashable)


class WorkQueue(Generic[KeyType]):
    """For one event loop. `add` never waits."""

    def __init__(self) -> None:
        self._ready: deque[KeyType] = deque()
        self._waiting: set[KeyType] = set()  # in _ready, or to be put there when the work on it is done
        self._working: set[KeyType] = set()
        self._failures: dict[KeyType, int] = {}
        self._timers: dict[KeyType, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        """Keys that wait to be tried again."""
        return len(self._timers)

    def add(self, key: KeyType) -> None:
        """Put a key in, at once."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._push(key)

    def add_after(self, key: KeyType, delay: float) -> None:
        """Put a key in after `delay` seconds; of several delays the shortest counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(delay, self._due, key)

    async def get(self) -> KeyType:
        """Take the next key, waiting for one. It is the caller's until `done`."""
        while not self._ready:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            await getter
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: KeyType) -> None:
        """End the work on a key, which may then come again."""
        self._working.discard(key)
        if key in self._waiting:
            self._push(key)

    def forget(self, key: KeyType) -> None:
        """Note that the work on a key went well: its next failure is its first."""
        self._failures.pop(key, None)

    def retry(self, key: KeyType) -> float:
        """Put a key in again, later each time; return the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay: float = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(failures, 20)) * random.uniform(0.5, 1)  # noqa: S311
        self.add_after(key, delay)
        return delay

    def _due(self, key: KeyType) -> None:
        del self._timers[key]
        self.add(key)

    def _push(self, key: KeyType) -> None:
        self._ready.append(key)
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
