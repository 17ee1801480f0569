"""Runs a stage as a process of this machine: for `adutora dev`, where there is no cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from adutora.dagconfig import Json
from adutora.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK, EXIT_SOFTWARE, EXIT_TEMPORARY
from adutora_airflow.conditions import failing_for_good, should_run
from adutora_airflow.ending import Ending
from adutora_airflow.folder import default_root
from adutora_airflow.results import emit, report, take
from adutora_airflow.task import StageRun

GRACE = 10.0  # seconds between SIGTERM and SIGKILL
PLACES = "places.json"  # what `adutora dev` wrote: where each pipeline's stages run


class LocalStageOperator(BaseOperator):
    """One stage of a pipeline; `item` is set where the stage fans out."""

    ui_color = "#e8f0fe"

    def __init__(self, *, item: Json | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.item = item
        self._process: subprocess.Popen[bytes] | None = None

    @failing_for_good
    def execute(self, context: Any) -> Any:
        """Run the stage. Returns its outputs."""
        if self.item == {}:  # a fan-out over nothing, which has succeeded
            emit(context, {})
            return {}
        run = StageRun.of(context, self.task_id, self.item)
        if self.item is None and (reason := should_run(run, context)):
            raise AirflowSkipException(reason)
        end = self._run(run, json.loads((default_root() / PLACES).read_text())[run.config.dag_id])
        report(end, self.log)
        if end.code in (EXIT_DATA, EXIT_CONFIG):
            raise AirflowFailException(str(end))
        if end.code != EXIT_OK:
            raise AirflowException(str(end))
        outputs = take(end, context)
        return outputs if self.item is None else outputs or {}

    def on_kill(self) -> None:
        """End the process with its task."""
        if self._process is not None:
            _end(self._process)

    def _run(self, run: StageRun, places: Json) -> Ending:
        from adutora.runtime.task import OUTCOME

        folder = _folder(run, Path(places["state_dir"]))
        _prepare(run, places, folder)
        (folder / OUTCOME).unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "adutora.runtime.entry", str(folder), str(folder / "config.json")]
        late = threading.Event()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        ) as process:
            self._process = process
            timer = threading.Timer(run.stage.timeout, _end, [process, late])
            timer.start()
            try:
                for line in process.stdout or ():
                    self.log.info("%s", line.decode(errors="replace").rstrip())
                code = process.wait()
            finally:
                timer.cancel()
                self._process = None
        if late.is_set():
            why = f"took longer than its timeout of {run.stage.timeout} s"
            return Ending(EXIT_TEMPORARY, "Timeout", why, "raise timeout, or make it do less")
        return _ending(folder / OUTCOME, code)


def _folder(run: StageRun, state_dir: Path) -> Path:
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", run.run.id)
    folder = state_dir / "airflow" / "runs" / run.config.dag_id / safe / run.stage.name
    return folder if run.index is None else folder / "items" / str(run.index)


def _prepare(run: StageRun, places: Json, folder: Path) -> None:
    """Write what the process reads first."""
    from adutora.runtime.task import TASK, Task

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(run.config.to_json()))
    files_root = Path(places["files_root"])
    Task(
        config=run.config, stage_name=run.stage.name, run=run.run, params=run.params, given_params=(),
        attempt=run.attempt, files_root=files_root, project_root=Path(places["project_root"]),
        state_dir=Path(places["state_dir"]), task_dir=folder, cwd=files_root, lake_root=places["lake_root"],
        lake_layers=places["lake_layers"], item=(run.item or {}).get("value"), item_index=run.index,
        outputs=run.outputs,
    ).save(folder / TASK)  # fmt: skip


def _ending(path: Path, code: int) -> Ending:
    """Read the outcome that the process left."""
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return Ending(EXIT_SOFTWARE, "NoOutcome", f"its process ended with code {code}", "its log may say why")
    outcome = {
        "rowsIn": told["rows_in"], "rowsOut": told["rows_out"], "rowsRejected": told["rows_rejected"],
        "cached": told["cached"], "message": told["message"], "outputs": told["outputs"],
        "tables": [{**table, "name": table.get("table")} for table in told["tables"]],
    }  # fmt: skip
    return Ending(told["exit_code"], told["reason"], told["error"], told["hint"], outcome)


def _end(process: subprocess.Popen[bytes], late: threading.Event | None = None) -> None:
    """End a process and its children: asked first, then forced."""
    if late is not None:
        late.set()
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
