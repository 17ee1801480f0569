"""/healthz and /metrics, served by the event loop that reconciles: where that stands still, neither answers."""

import time
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from adutora_operator import metrics

MAX_AGE: Final = 60.0


@dataclass
class Pulse:
    """When work last ended, and since when the judge owes an answer, in seconds of the monotonic clock.

    An idle operator gets work for this alone. Work that needs no verdict goes on where the judge stands still.
    """

    last: float = field(default_factory=time.monotonic)
    asked: float | None = None

    def beat(self) -> None:
        """Note that work ended."""
        self.last = time.monotonic()
        metrics.LAST_LOOP.set_to_current_time()

    @property
    def age(self) -> float:
        """Seconds since."""
        return time.monotonic() - min(self.last, self.asked or self.last)


async def serve(pulse: Pulse, health_port: int, metrics_port: int) -> list[web.AppRunner]:
    """Start both servers. Raises OSError where a port is taken."""

    async def health(_: web.Request) -> web.Response:
        status = 200 if pulse.age < MAX_AGE else 503
        return web.json_response({"lastLoopSeconds": round(pulse.age, 1), "limit": MAX_AGE}, status=status)

    async def numbers(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [await _site("/healthz", health, health_port), await _site("/metrics", numbers, metrics_port)]


async def _site(path: str, handler: object, port: int) -> web.AppRunner:
    app = web.Application()
    app.router.add_get(path, handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner
