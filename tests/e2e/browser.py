"""Headless Chromium, driven as W3C WebDriver says, through chromedriver: a page as a user sees it."""

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.kubectl import wait_for

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element's id in the protocol
WIDTH, HEIGHT = 1280, 800  # pixels
REDRAWN = ("stale element reference", "element click intercepted", "element not interactable")
OPTIONS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    f"--window-size={WIDTH},{HEIGHT}", "--lang=en-US",
]  # fmt: skip


class Browser:
    """One window."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def open(self, url: str) -> None:
        """Load a page."""
        self._ask("POST", "/url", url=url)

    def text(self) -> str:
        """Return the text that is seen."""
        return str(self.run("return document.body ? document.body.innerText : ''"))

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self._ask("POST", "/execute/sync", script=script, args=list(arguments))

    def shows(self, *words: str, seconds: float = 90) -> str:
        """Wait until the page shows all words; returns its text."""

        def seen() -> str | None:
            text = self.text()
            return text if all(word in text for word in words) else None

        try:
            return wait_for(f"{words}", seen, seconds)
        except AssertionError:
            raise AssertionError(f"no {words} within {seconds:.0f} s in: {self.text()[:2000]}") from None

    def find(self, css: str, seconds: float = 60) -> str:
        """Wait for an element; returns its id."""

        def found() -> str | None:
            elements = self._ask("POST", "/elements", using="css selector", value=css)
            return str(elements[0][ELEMENT]) if elements else None

        return wait_for(css, found, seconds)

    def type(self, css: str, text: str) -> None:
        """Type into a field."""
        self._ask("POST", f"/element/{self.find(css)}/value", text=text)

    def click(self, css: str, seconds: float = 60) -> None:
        """Click an element; again where the page was drawn anew between finding and clicking."""

        def clicked() -> bool:
            answer = self._http.post(f"/element/{self.find(css)}/click", json={})
            value = answer.json()["value"]
            if answer.status_code == 200:
                return True
            assert value["error"] in REDRAWN, value
            return False

        wait_for(f"a click on {css}", clicked, seconds)

    def picture(self, path: Path) -> None:
        """Write what is seen as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is not installed (apt-get install chromium chromium-driver)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own, ended afterwards. Where none is installed the test is not run."""
    binary, driver = _program("chromium"), _program("chromedriver")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, _running(driver, home) as url:
        options = {"binary": binary, "args": [*OPTIONS, f"--user-data-dir={home}/profile"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        session = httpx.post(f"{url}/session", json=wanted, timeout=120).json()["value"]
        assert "sessionId" in session, session
        path = f"{url}/session/{session['sessionId']}"
        with httpx.Client(base_url=path, timeout=120) as http:
            try:
                yield Browser(http)
            finally:
                http.delete(path)  # not "", which becomes a path with a slash at its end, and is unknown


@contextlib.contextmanager
def _running(driver: str, home: str) -> Iterator[str]:
    """Start chromedriver at a free port; yields its URL."""
    log = Path(home) / "driver.log"
    command = [driver, "--port=0"]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True) as process:
        try:
            port: Callable[[], re.Match[str] | None] = lambda: re.search(r"success.* on port (\d+)", log.read_text())  # noqa: E731
            yield f"http://127.0.0.1:{wait_for('chromedriver', port, 30, every=0.1)[1]}"
        finally:
            process.terminate()
            process.wait(10)
            with contextlib.suppress(ProcessLookupError):  # a browser that its session did not end
                os.killpg(process.pid, signal.SIGKILL)
