"""What we ask of Airflow's REST API. DAG ids are `namespace.pipeline`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from adutora.dagconfig import Json
from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError
from adutora.spec.nearest import did_you_mean

FAILED = frozenset({"failed", "upstream_failed"})
_PAGE = 100
_CLIENT_ERROR, _SERVER_ERROR = 400, 500


@dataclass(frozen=True)
class Login:
    """Who we are for Airflow."""

    user: str
    password: str


class Airflow:
    """Airflow's API at a URL. Methods raise TemporaryError where it does not answer, ConfigError where it refuses."""

    def __init__(self, url: str, login: Login) -> None:
        self._client = httpx.Client(base_url=url.rstrip("/"), timeout=30, follow_redirects=False)
        try:
            self._client.headers["Authorization"] = f"Bearer {self._token(login)}"
        except BaseException:
            self._client.close()
            raise

    def _token(self, login: Login) -> str:
        answer = self._ask("POST", "/auth/token", json={"username": login.user, "password": login.password})
        return str(answer["access_token"])

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def trigger(self, dag_id: str, params: Json) -> Json:
        """Start a run. Returns it; raises DataError for parameters that Airflow refuses."""
        return dict(self._ask("POST", f"{_dag(dag_id)}/dagRuns", json={"logical_date": None, "conf": params}))

    def params(self, dag_id: str) -> Json:
        """Return the parameters of a DAG: name to `{value, schema}`."""
        return dict(self._ask("GET", f"{_dag(dag_id)}/details").get("params") or {})

    def runs(self, dag_id: str, limit: int) -> list[Json]:
        """Return the latest runs, the newest first."""
        query = {"order_by": "-run_after", "limit": limit}
        return list(self._ask("GET", f"{_dag(dag_id)}/dagRuns", params=query)["dag_runs"])

    def run(self, dag_id: str, run: str) -> Json:
        """Return a run."""
        return dict(self._ask("GET", f"{_dag(dag_id)}/dagRuns/{quote(run, safe='')}"))

    def tasks(self, dag_id: str, run: str) -> list[Json]:
        """Return the task instances of a run, in the order in which they began."""
        found: list[Json] = []
        path = f"{_dag(dag_id)}/dagRuns/{quote(run, safe='')}/taskInstances"
        while True:
            page = self._ask("GET", path, params={"limit": _PAGE, "offset": len(found)})
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return sorted(found, key=lambda task: (task["start_date"] or "~", task["task_id"], task["map_index"]))

    def log(self, task: Json) -> Iterator[Json]:
        """Yield the lines of a task's last try: `{event, timestamp, level, …}`."""
        path = f"{_dag(task['dag_id'])}/dagRuns/{quote(task['dag_run_id'], safe='')}/taskInstances"
        path += f"/{quote(task['task_id'], safe='')}/logs/{max(1, task['try_number'])}"
        token = None
        while True:
            query = {"map_index": task["map_index"], **({"token": token} if token else {})}
            page = self._ask("GET", path, params=query)
            lines = page["content"]
            for line in lines if isinstance(lines, list) else [lines]:
                yield line if isinstance(line, dict) else {"event": line}
            if not lines or page["continuation_token"] in (None, token):
                return
            token = page["continuation_token"]

    def import_error(self, dag_id: str) -> str | None:
        """Return why a DAG's file cannot be read, None where it can."""
        errors = self._ask("GET", "/api/v2/importErrors", params={"limit": _PAGE, "filename_pattern": f"%{dag_id}.py"})
        mine = [each for each in errors["import_errors"] if each["filename"].rpartition("/")[2] == f"{dag_id}.py"]
        return str(mine[0]["stack_trace"]) if mine else None

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            answer = self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise TemporaryError(f"Airflow does not answer at {self._client.base_url}: {error}") from error
        if answer.status_code >= _CLIENT_ERROR:
            raise _refusal(answer)
        try:
            return answer.json()
        except json.JSONDecodeError as error:
            raise ConfigError(f"{answer.url} is no API of Airflow", hint="give --url of its api-server") from error


def _dag(dag_id: str) -> str:
    return f"/api/v2/dags/{quote(dag_id, safe='')}"


def _refusal(answer: httpx.Response) -> AdutoraError:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = answer.reason_phrase
    text = f"Airflow: {detail if isinstance(detail, str) else json.dumps(detail)}"
    if answer.status_code >= _SERVER_ERROR:
        return TemporaryError(f"{text} ({answer.status_code})")
    if answer.status_code in (401, 403):
        return ConfigError(f"{text} ({answer.status_code})", hint="--user NAME, with a role that may do this")
    return DataError(text) if answer.status_code == _CLIENT_ERROR else ConfigError(f"{text} ({answer.status_code})")


def typed(declared: Json, given: list[str]) -> Json:
    """Return `name=value` texts as values of the types that a DAG's parameters have.

    Raises ConfigError that names every one that does not fit; ranges and choices are Airflow's to judge.
    """
    values: Json = {}
    problems = []
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            problems.append(f"-p {text!r} is not name=value")
        elif name not in declared:
            hint = did_you_mean(name, declared)
            problems.append(f"there is no parameter {name!r}" + (f"; {hint}" if hint else ""))
        else:
            kinds = declared[name].get("schema", {}).get("type", "string")
            try:
                values[name] = _value(value, {kinds} if isinstance(kinds, str) else set(kinds))
            except ValueError:
                problems.append(f"parameter {name}: {value!r} is no {kinds}")
    if problems:
        raise ConfigError("; ".join(problems))
    return values


def _value(text: str, kinds: set[str]) -> Any:
    if "string" in kinds:
        return text
    value = json.loads(text)
    shapes = {
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "array": list,
        "object": dict,
        "null": type(None),
    }
    fits = [kind for kind in kinds if kind in shapes and isinstance(value, shapes[kind])]  # type: ignore[arg-type]
    if not fits or (isinstance(value, bool) and "boolean" not in kinds):
        raise ValueError(text)
    return value
