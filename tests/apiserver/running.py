"""The operator as a real process, and a proxy that counts its writes and can end it between any two of them."""

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import aiohttp
import httpx
from aiohttp import web

from tests.apiserver.server import OPERATOR, ApiServer, free_port, token, wait_for

REPOSITORY = Path(__file__).parents[2]
WRITING = {"POST", "PUT", "PATCH", "DELETE"}


class OperatorProcess:
    """`python -m adutora_operator`. `url` leads through a proxy."""

    def __init__(self, server: ApiServer, url: str | None = None, **env: str) -> None:
        self._server, self._url, self._env = server, url, env
        self.log = server.folder / f"operator-{free_port()}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.health_port = self.metrics_port = 0

    def start(self) -> "OperatorProcess":
        self.health_port, self.metrics_port = free_port(), free_port()
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'operators'}",
            "KUBECONFIG": str(self._server.kubeconfig(OPERATOR, self._url)),
            "ADUTORA_NAMESPACES": "team",
            "ADUTORA_HEALTH_PORT": str(self.health_port),
            "ADUTORA_METRICS_PORT": str(self.metrics_port),
            **self._env,
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "adutora_operator"]
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        return self

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def text(self) -> str:
        return self.log.read_text()

    def health(self) -> int:
        try:
            return httpx.get(f"http://127.0.0.1:{self.health_port}/healthz", trust_env=False).status_code
        except httpx.HTTPError:
            return 0

    def metric(self, name: str) -> float:
        """Sum of a metric's samples; 0 while there is none."""
        try:
            text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", trust_env=False).text
        except httpx.HTTPError:
            return 0
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def _end(self, number: int) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(20)


class Proxy:
    """Forwards to the API server and notes each write as `VERB path`. `on_write` may veto one, or act after one."""

    def __init__(self, server: ApiServer) -> None:
        self._server, self.port = server, free_port()
        self.writes: list[str] = []
        self.answers: list[int] = []
        self.before: Callable[[int], bool] = lambda _: True  # False: the write is lost
        self.after: Callable[[int], bool] = lambda _: True  # False: the answer is lost
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Proxy":
        self._thread.start()
        assert self._started.wait(10)
        return self

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def succeeded(self) -> list[str]:
        """Writes that the API server took."""
        return [write for write, status in zip(self.writes, self.answers, strict=False) if status < 300]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _serve(self) -> None:
        context = ssl.create_default_context(cafile=self._server.ca)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )  # fmt: skip
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _stop(self) -> None:
        tasks = [task for task in asyncio.all_tasks(self._loop) if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(0.2)  # for the transports to close

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        number = 0
        if request.method in WRITING:
            self.writes.append(f"{request.method} {request.path.rpartition('/namespaces/')[2]}")
            self.answers.append(599)
            number = len(self.writes)
            if not self.before(number):
                return _lost(request)
        headers = {
            name: request.headers[name]
            for name in ("Authorization", "Content-Type", "Accept")
            if name in request.headers
        }
        body = await request.read()
        async with self._session.request(
            request.method, self._server.url + request.path_qs, headers=headers, data=body or None
        ) as answer:
            if number:
                self.answers[number - 1] = answer.status
                if not self.after(number):
                    return _lost(request)
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            with contextlib.suppress(aiohttp.ClientError, ConnectionError):  # who asked is gone, or the server is
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response


def _lost(request: web.Request) -> web.StreamResponse:
    """Break the connection off."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def settled(admin_get: Callable[[], object], seconds: float = 1.5) -> object:
    """Wait until something stays as it is for a while, and return it."""
    import time

    last, since = admin_get(), time.monotonic()

    def still() -> bool:
        nonlocal last, since
        now = admin_get()
        if now != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > seconds

    wait_for("quiet", still)
    return last


__all__ = ["OperatorProcess", "Proxy", "settled", "token"]
