"""What Airflow says of our DAGs, read in one batch for all of them: import errors, DAGs, runs that changed.

A poll takes a fixed number of requests (pages aside), however many Pipelines there are. Where Airflow does not answer,
what it said before holds.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from adutora_operator.settings import AirflowSettings

Json = dict[str, Any]
TAG: Final = "adutora"
PAGE: Final = 1000
MAX_PAGES: Final = 100
BATCH: Final = 100  # DAGs of which older runs are asked for at once
KEPT_VERSIONS: Final = 20
OVERLAP: Final = timedelta(seconds=60)  # clocks differ
FIRST_LOOK_BACK: Final = timedelta(days=1)
MAX_ERROR: Final = 4000
_REVISION: Final = re.compile(r"\brevision ([0-9]{1,15})$")
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)
_LOGIN_AGAIN: Final = (401, 403)  # Airflow 3.3 calls an expired token forbidden
_RUN_STATES: Final = ("queued", "running", "success", "failed")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """One DAG as Airflow has it. `configured`: there is an Airflow; `polled`: it answered already.

    `revision` is the one that it parsed last, and `version` the bundle's by which it booked that: runs that begin now
    are bound to it. The version is a resourceVersion; 0 where there is none.
    """

    revision: int | None = None
    version: int = 0
    configured: bool = True
    polled: bool = True
    error: str | None = None
    paused: bool | None = None
    last_run: Json | None = None


NOT_CONFIGURED: Final = View(configured=False, polled=False)
NOT_POLLED: Final = View(polled=False)


class AirflowError(Exception):
    """Airflow did not answer, or refused."""


class Airflow:
    """A connection to Airflow's REST API, and what it said last. DAG ids are `namespace.pipeline`."""

    def __init__(self, settings: AirflowSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._views: dict[str, View] = {}
        self._runs: dict[str, Json] = {}
        self._booked: dict[str, dict[str, int]] = {}  # DAG -> version of the bundle -> revision that it stood for
        self._since: datetime | None = None
        self._polled = False

    def view(self, dag_id: str) -> View:
        """Return what is known of a DAG."""
        return self._views.get(dag_id, View() if self._polled else NOT_POLLED)

    async def poll(self) -> set[str]:
        """Read everything anew. Return the ids of DAGs of which something else is known now. Raises AirflowError."""
        started, first = datetime.now(UTC), not self._polled
        errors = {dag: text async for dag, text in self._errors()}
        dags = {each["dag_id"]: each async for each in self._pages("dags", "dags", tags=TAG, order_by="dag_id")}
        self._book(dags)
        await self._read_runs(self._since or started - FIRST_LOOK_BACK)
        if first:
            await self._read_older_runs(sorted(dags.keys() - self._runs.keys()))
        self._since, self._polled = started - OVERLAP, True
        self._runs = {dag: run for dag, run in self._runs.items() if dag in dags}
        views = {dag: self._view(dags.get(dag), errors.get(dag), self._runs.get(dag)) for dag in {*dags, *errors}}
        old, self._views = self._views, views
        changed = {dag for dag in {*old, *views} if old.get(dag) != views.get(dag)}
        return changed | ({""} if first else set())

    async def pause(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG, or let it run. Raises AirflowError."""
        await self._request("PATCH", f"dags/{quote(dag_id)}?update_mask=is_paused", {"is_paused": paused})
        if dag_id in self._views:
            self._views[dag_id] = replace(self._views[dag_id], paused=paused)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    @staticmethod
    def _view(dag: Json | None, error: str | None, run: Json | None) -> View:
        if dag is None:
            return View(error=error)
        return View(_revision(dag), _whole(dag["bundle_version"]), error=error, paused=dag["is_paused"], last_run=run)

    def _book(self, dags: dict[str, Json]) -> None:
        """Note which revision a version of the bundle stands for, as long as it is among the last."""
        self._booked = {dag: books for dag, books in self._booked.items() if dag in dags}
        for dag_id, dag in dags.items():
            number, version = _revision(dag), dag["bundle_version"]
            if number is not None and version:
                books = self._booked.setdefault(dag_id, {})
                books[version] = number
                for old in list(books)[:-KEPT_VERSIONS]:
                    del books[old]

    async def _errors(self) -> AsyncIterator[tuple[str, str]]:
        """Yield DAG ids, by the names of their files, and the end of what Python said."""
        async for each in self._pages("importErrors", "import_errors"):
            path = PurePosixPath(each["filename"])
            if path.suffix == ".py":
                yield path.stem, each["stack_trace"].strip()[-MAX_ERROR:]

    async def _read_runs(self, since: datetime) -> None:
        query = {"updated_at_gte": since.isoformat(), "order_by": "run_after"}
        async for each in self._pages("dags/~/dagRuns", "dag_runs", **query):
            self._note_run(each)

    async def _read_older_runs(self, dag_ids: list[str]) -> None:
        """Read the last run of each of these: none of them ran lately, so there are few."""
        for start in range(0, len(dag_ids), BATCH):
            missing = set(dag_ids[start : start + BATCH])
            while missing:
                body = {"dag_ids": sorted(missing), "order_by": "-run_after", "page_limit": PAGE}
                found = (await self._request("POST", "dags/~/dagRuns/list", body))["dag_runs"]
                for each in found:
                    self._note_run(each)
                seen = {each["dag_id"] for each in found}
                missing = missing - seen if seen else set()

    def _note_run(self, each: Json) -> None:
        """Take in a run, if it is the last one of its DAG."""
        run, known = _run(each), self._runs.get(each["dag_id"])
        if known is None or _began(run) >= _began(known):
            number = self._booked.get(each["dag_id"], {}).get(each["bundle_version"] or "")
            if number is None and known is not None and known["id"] == run["id"]:
                number = known.get("revision")
            self._runs[each["dag_id"]] = run if number is None else {**run, "revision": number}

    async def _pages(self, path: str, field: str, **query: str) -> AsyncIterator[Json]:
        offset = 0
        for _ in range(MAX_PAGES):
            parameters = "&".join(f"{name}={quote(value)}" for name, value in query.items())
            page = await self._request("GET", f"{path}?limit={PAGE}&offset={offset}&{parameters}")
            for each in page[field]:
                yield each
            offset += len(page[field])
            if not page[field] or offset >= page["total_entries"]:
                return

    async def _request(self, method: str, path: str, body: Json | None = None) -> Json:
        """Send one request; where the token has expired, a second one after a new login."""
        try:
            for last in (False, True):
                session = await self._connected()
                headers = {"Authorization": f"Bearer {self._token}"}
                url = f"{self._settings.url}/api/v2/{path}"
                async with session.request(method, url, json=body, headers=headers) as response:
                    if response.status in _LOGIN_AGAIN and not last:
                        self._token = ""
                        continue
                    return await _answer(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AirflowError(f"{self._settings.url} did not answer: {error!r}") from error
        raise AssertionError("a second try returns or raises")

    async def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        if not self._token:
            password = self._settings.password_file.read_text().strip()
            body = {"username": self._settings.user, "password": password}
            async with self._session.post(f"{self._settings.url}/auth/token", json=body) as response:
                self._token = (await _answer(response))["access_token"]
        return self._session


async def _answer(response: aiohttp.ClientResponse) -> Json:
    if response.status >= 300:
        text = (await response.text())[:200]
        raise AirflowError(f"{response.method} {response.url.path}: {response.status} {text}")
    value: Json = await response.json()
    return value


def _run(each: Mapping[str, Any]) -> Json:
    """Return a run as a Pipeline's status has it."""
    run = {
        "id": each["dag_run_id"][:250],
        "state": each["state"] if each["state"] in _RUN_STATES else "running",
        "startedAt": _seconds(each["start_date"] or each["run_after"]),
        "endedAt": _seconds(each["end_date"]),
    }
    return {name: value for name, value in run.items() if value is not None}


def _revision(dag: Json) -> int | None:
    """Return the revision that a DAG was parsed from: the end of its description says it, whatever a user wrote."""
    found = _REVISION.search(dag["description"] or "")
    return int(found[1]) if found else None


def _whole(version: str | None) -> int:
    number = (version or "").partition(".")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0


def _began(run: Json) -> tuple[str, str]:
    return run.get("startedAt", ""), run["id"]


def _seconds(text: str | None) -> str | None:
    """Return a time as Kubernetes writes it."""
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
