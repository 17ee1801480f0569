"""Run a DagConfig: start what may start, retry what may be retried, end cleanly whatever happens."""

import datetime as dt
import heapq
import itertools
import os
import select as selecting
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adutora.dagconfig import DagConfig, StageConfig
from adutora.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_TEMPORARY, AdutoraError
from adutora.local import graph
from adutora.local.processes import Ended, Processes
from adutora.local.state import RunFolder, RunState, StageState, Status
from adutora.local.tries import FanOut, Try, items_of, outcome_of, take_over
from adutora.runtime.outcome import Outcome
from adutora.runtime.substitution import Scope, truth
from adutora.runtime.task import OUTCOME, TASK, Task

GRACE = 10.0  # seconds between asking a group to end and forcing it


class Progress(Protocol):
    """Who is told what happens."""

    def stage(self, state: StageState, text: str) -> None:
        """Take in that something happened to a stage."""

    def tick(self, state: RunState) -> None:
        """Take in that time has passed."""


@dataclass(frozen=True)
class Places:
    """Folders that a run works with, all absolute. `lake_layers` are roots of layers that have their own."""

    files_root: Path
    project_root: Path
    state_dir: Path
    cwd: Path
    lake_root: str
    lake_layers: dict[str, str]


class Runner:
    """One run on this machine."""

    def __init__(
        self,
        config: DagConfig,
        state: RunState,
        folder: RunFolder,
        places: Places,
        processes: Processes,
        progress: Progress,
        parallel: int | None = None,
    ) -> None:
        self.config, self.state, self.folder, self.places = config, state, folder, places
        self._processes, self._progress = processes, progress
        self._parallel = parallel or max(2, os.cpu_count() or 2)
        self._running: dict[str, Try] = {}
        self._later: list[tuple[float, int, Try]] = []
        self._order = itertools.count()
        self._fans: dict[str, FanOut] = {}
        self._begun: dict[str, float] = {}
        self._interrupts = 0
        self._started, self._worked = time.monotonic(), state.seconds or 0.0
        self._deadline = self._started + config.timeout if config.timeout else None

    def run(self) -> int:
        """Run to the end. Returns the exit code; the state is saved whenever it changes."""
        previous = {
            number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        wake, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        os.set_blocking(wake, False)
        old = signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        try:
            self._save()
            while self._step():
                ready, _, _ = selecting.select([self._processes.fileno(), wake], [], [], self._pause())
                if wake in ready:
                    os.read(wake, 4096)
                for ended in self._processes.ended():
                    self._take(ended)
                self._enforce()
                self._progress.tick(self.state)
            return self._finish()
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(wake)
            os.close(wakeup)

    # What may start

    def _step(self) -> bool:
        """Start what may start. Returns whether anything is left to wait for."""
        if not self._interrupts:
            self._start_waiting()
            while self._later and self._later[0][0] <= time.monotonic() and self._room():
                self._launch(heapq.heappop(self._later)[2])
            for name, fan in self._fans.items():
                self._start_items(name, fan)
        elif not self._running:
            return False
        return bool(self._running or self._later or any(fan.waiting for fan in self._fans.values()))

    def _room(self) -> bool:
        return len(self._running) < self._parallel

    def _start_waiting(self) -> None:
        moved = True
        while moved:
            moved = False
            statuses = self._statuses()
            for stage in self.config.stages:
                state = self.state.stage(stage.name)
                if state.status != "waiting" or stage.name not in self.state.selected:
                    continue
                decision, why = graph.decide(stage, statuses)
                if decision == "skip":
                    self._skip(state, why)
                    moved = True
                elif decision == "start" and self._room():
                    moved = self._begin(stage, state) or moved
                statuses[stage.name] = state.status

    def _statuses(self) -> dict[str, Status]:
        """Status of each stage; one that this run was not asked to do counts as done."""
        return {
            stage.name: stage.status if stage.name in self.state.selected else "succeeded"
            for stage in self.state.stages
        }

    def _skip(self, state: StageState, why: str | None) -> None:
        state.status, state.message = "skipped", why
        self._tell(state, f"skipped: {why}")

    def _begin(self, stage: StageConfig, state: StageState) -> bool:
        """Start a stage whose time has come, if its `when` holds."""
        try:
            scope = Scope.of(self._task(Try(stage)))
            if not truth(stage.when, scope):
                self._skip(state, f"when: {stage.when if isinstance(stage.when, str) else 'false'} is false")
                return True
            items = items_of(stage, scope)
        except AdutoraError as error:
            outcome = Outcome()
            outcome.fail(error)
            self._fail(state, outcome)
            return True
        state.status = "running"
        self._begun[stage.name] = time.monotonic()
        shutil.rmtree(self.folder.stage_dir(stage.name) / "items", ignore_errors=True)
        if items is None:
            self._launch(Try(stage))
        else:
            self._tell(state, f"started, {len(items)} items")
            self._fans[stage.name] = FanOut(list(enumerate(items)))
            if not items:
                self._gather(stage)
        return True

    def _start_items(self, name: str, fan: FanOut) -> None:
        most = int(self.config.stage(name).for_each["maxParallel"])  # type: ignore[index]
        while fan.waiting and fan.failed is None and fan.running < most and self._room():
            index, item = fan.waiting.pop(0)
            fan.running += 1
            self._launch(Try(self.config.stage(name), item=item, index=index))
        if fan.failed is not None:
            fan.waiting.clear()

    # Tries

    def _task(self, one: Try) -> Task:
        return Task(
            config=self.config,
            stage_name=one.stage.name,
            run=self.state.run,
            params=self.state.params,
            given_params=tuple(self.state.given_params),
            attempt=one.number,
            files_root=self.places.files_root,
            project_root=self.places.project_root,
            state_dir=self.places.state_dir,
            task_dir=self.folder.stage_dir(one.stage.name, one.index),
            cwd=self.places.cwd,
            lake_root=self.places.lake_root,
            lake_layers=self.places.lake_layers,
            item=one.item,
            item_index=one.index,
            full_refresh=self.state.full_refresh,
            outputs={
                stage.name: stage.outputs
                for stage in self.state.stages
                if stage.outputs and stage.name in one.stage.depends_on
            },
            memory=one.memory,
            threads=self._threads(one.stage),
        )

    def _threads(self, stage: StageConfig) -> int:
        """Return how many cores a stage may keep busy: `cpu` is what it needs, and idle ones are for the taking."""
        asked = round(stage.resources.get("cpu", 1000) / 1000)
        return int(max(1, asked, (os.cpu_count() or 1) // (len(self._running) + 1)))

    def _launch(self, one: Try) -> None:
        one.number += 1
        state = self.state.stage(one.stage.name)
        state.tries = max(state.tries, one.number)
        task = self._task(one)
        task.task_dir.mkdir(parents=True, exist_ok=True)
        (task.task_dir / OUTCOME).unlink(missing_ok=True)
        task.save(task.task_dir / TASK)
        one.begin(time.monotonic())
        self._running[one.id] = one
        self._processes.start(
            one.id, task.task_dir, self.folder.config_path, self.folder.log_path(one.stage.name, one.index)
        )
        self._tell(state, f"{one.label}started" + (f", try {one.number}" if one.number > 1 else ""))

    def _take(self, ended: Ended) -> None:
        """Take in that a process ended."""
        one = self._running.pop(ended.id, None)
        if one is None:
            return
        path = self.folder.stage_dir(one.stage.name, one.index) / OUTCOME
        outcome = outcome_of(one, ended, path, interrupted=bool(self._interrupts))
        stopped = self._interrupts and outcome.exit_code != EXIT_OK
        if outcome.exit_code != EXIT_OK and not stopped and self._retry(one, outcome):
            return
        if one.index is None:
            self._end(one.stage, outcome, stopped=bool(stopped))
            return
        fan = self._fans[one.stage.name]
        fan.running -= 1
        fan.outcomes[one.index] = outcome
        if outcome.exit_code != EXIT_OK and not stopped and fan.failed is None:
            outcome.error = f"item {one.index}: {outcome.error}"
            fan.failed = outcome
        if fan.running == 0 and (not fan.waiting or fan.failed or self._interrupts):
            self._gather(one.stage)

    def _retry(self, one: Try, outcome: Outcome) -> bool:
        """Plan another try, if the failure may pass and tries are left."""
        delay = one.again_in(outcome)
        if delay is None:
            return False
        heapq.heappush(self._later, (time.monotonic() + delay, next(self._order), one))
        state = self.state.stage(one.stage.name)
        self._tell(state, f"{one.label}try {one.number} failed: {outcome.error}; again in {delay:.0f} s")
        return True

    # Ends

    def _end(self, stage: StageConfig, outcome: Outcome, *, stopped: bool = False) -> None:
        state = self.state.stage(stage.name)
        take_over(outcome, state)
        state.duration = time.monotonic() - self._begun[stage.name]
        limit = stage.resources.get("memory")
        if limit and outcome.peak_memory and outcome.peak_memory > limit:
            state.warnings.append(
                f"used {outcome.peak_memory / 2**20:.0f} MiB of memory, more than its {limit / 2**20:.0f} MiB: "
                "on a cluster it would be killed"
            )
        if outcome.exit_code == EXIT_OK:
            state.status = "succeeded"
            self._tell(state, "cached: nothing has changed" if outcome.cached else "done")
        elif stopped:
            state.status, state.error = "stopped", None
            self._tell(state, "stopped")
        else:
            self._fail(state, outcome)

    def _fail(self, state: StageState, outcome: Outcome) -> None:
        take_over(outcome, state)
        state.status = "failed"
        self._tell(state, f"failed: {outcome.error}")

    def _gather(self, stage: StageConfig) -> None:
        fan = self._fans.pop(stage.name)
        self._end(stage, fan.outcome(), stopped=fan.failed is None)

    def _enforce(self) -> None:
        """Ask what is past its time to end, and force what does not listen."""
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline and not self._interrupts:
            self._interrupts = 1
            self.state.exit_code, self.state.timed_out = EXIT_TEMPORARY, True
            for state in self.state.stages:
                if state.status == "running":
                    state.message = f"the run took longer than its timeout of {self.config.timeout} s"
        for one in self._running.values():
            late = now > one.deadline
            if one.killed is None and (late or self._interrupts):
                one.killed, one.timed_out = now, late
                self._processes.signal(one.id, signal.SIGTERM)
            elif one.killed is not None and (now > one.killed + GRACE or self._interrupts > 1):
                self._processes.signal(one.id, signal.SIGKILL)

    def _pause(self) -> float:
        """Seconds until something is due; half a second at most, for the display's sake."""
        due = [one.deadline for one in self._running.values()] + [when for when, _, _ in self._later[:1]]
        return max(0.0, min([0.5, *(when - time.monotonic() for when in due)]))

    def _interrupt(self, *_: object) -> None:
        self._interrupts += 1

    def _finish(self) -> int:
        for state in self.state.stages:
            if state.status == "running" or (state.status == "waiting" and state.name in self.state.selected):
                state.status = "stopped"
        failed = [state for state in self.state.stages if state.status == "failed"]
        if self._interrupts:
            self.state.status = "failed" if self.state.exit_code else "stopped"
            code = self.state.exit_code or EXIT_INTERRUPTED
        elif failed:
            self.state.status, code = "failed", failed[0].exit_code or EXIT_FAILED
        else:
            self.state.status, code = "succeeded", EXIT_OK
        self.state.exit_code = code
        self.state.ended_at = dt.datetime.now(dt.UTC).isoformat()
        self._save()
        return code

    def _save(self) -> None:
        self.state.seconds = self._worked + time.monotonic() - self._started
        self.folder.save(self.state)

    def _tell(self, state: StageState, text: str) -> None:
        self._save()
        self._progress.stage(state, text)
