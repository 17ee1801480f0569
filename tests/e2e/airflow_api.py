"""Airflow's REST API as a user's script speaks to it."""

import time
from typing import Any

import httpx

from tests.e2e.kubectl import wait_for

ENDED = frozenset({"success", "failed"})


class Airflow:
    """One Airflow; logs in again when its token has run out."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._user, self._password = user, password
        self.http = httpx.Client(base_url=url, timeout=30)

    def __enter__(self) -> "Airflow":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def login(self) -> None:
        """Get a token."""
        answer = self.http.post("/auth/token", json={"username": self._user, "password": self._password})
        answer.raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask once, once more after a new login, and again while the connection is refused."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self.http.request(method, f"/api/v2{path}", **options)
                if answer.status_code != 401:
                    return answer
                self.login()
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def get(self, path: str, **params: Any) -> Any:
        """Return the JSON at a path. Raises httpx.HTTPStatusError."""
        answer = self.request("GET", path, params=params)
        answer.raise_for_status()
        return answer.json()

    def dag(self, dag_id: str) -> dict[str, Any] | None:
        """Return a DAG, None where there is none."""
        answer = self.request("GET", f"/dags/{dag_id}")
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()  # type: ignore[no-any-return]

    def trigger(self, dag_id: str, **conf: Any) -> httpx.Response:
        """Ask for a run with parameters."""
        return self.request("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})

    def started(self, dag_id: str, **conf: Any) -> str:
        """Start a run once the DAG is there; returns its id."""
        wait_for(f"DAG {dag_id}", lambda: self.dag(dag_id), 90)
        answer = self.trigger(dag_id, **conf)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["dag_run_id"])

    def ended(self, dag_id: str, run: str, seconds: float = 300) -> str:
        """Wait for the end of a run; returns its state."""

        def probe() -> str | None:
            state = str(self.get(f"/dags/{dag_id}/dagRuns/{run}")["state"])
            return state if state in ENDED else None

        return wait_for(f"end of {dag_id} {run}", probe, seconds, every=1)

    def tasks(self, dag_id: str, run: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task id (a mapped one's last stands for all)."""
        answer = self.get(f"/dags/{dag_id}/dagRuns/{run}/taskInstances", limit=500)
        return {each["task_id"]: each for each in answer["task_instances"]}

    def log(self, dag_id: str, run: str, task: str, attempt: int = 1) -> str:
        """Return the log of a task's try as text."""
        answer = self.get(f"/dags/{dag_id}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}", full_content=True)
        return "\n".join(str(each.get("event", each)) for each in answer["content"])

    def succeed(self, dag_id: str, **conf: Any) -> str:
        """Run to success; on failure the logs of the failed tasks are in the message. Returns the run's id."""
        run = self.started(dag_id, **conf)
        state = self.ended(dag_id, run)
        if state != "success":
            failed = {key: one for key, one in self.tasks(dag_id, run).items() if one["state"] == "failed"}
            logs = [f"{task}:\n{self.log(dag_id, run, task, one['try_number'])}" for task, one in failed.items()]
            raise AssertionError(f"{dag_id} {run} is {state}\n" + "\n".join(logs))
        return run
