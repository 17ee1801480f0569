"""Runs a stage as a process of this machine: for `adutora dev`, where there is no cluster."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from adutora.dagconfig import Json
from adutora.errors import EXIT_CONFIG, EXIT_DATA, EXIT_OK, EXIT_SOFTWARE, EXIT_TEMPORARY
from adutora_airflow.conditions import begin, failing_for_good
from adutora_airflow.ending import Ending
from adutora_airflow.folder import default_root
from adutora_airflow.results import emit, left_error, report, take
from adutora_airflow.task import StageRun

if TYPE_CHECKING:
    from adutora.errors import AdutoraError
    from adutora.runtime.notices import Notice
    from adutora.runtime.task import Task

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
        run = begin(context, self.task_id, self.item)
        if run is None:
            emit(context, {})
            return {}
        end = self._run(run, places_of(run.config.dag_id))
        report(end, self.log)
        if end.code != EXIT_OK:
            left_error(context, str(end))
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


class LocalFilesOperator(BaseOperator):
    """Looks whether the source that starts runs has anything new; if not, nothing else of the run is done."""

    ui_color = "#eef1f6"

    def __init__(self, *, stages: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stages = stages

    @failing_for_good
    def execute(self, context: Any) -> None:
        """Look, if it was a listing that started the run."""
        from adutora.runtime.context import StageContext
        from adutora.runtime.look import NEW, look
        from adutora_airflow.files import begun_by_listing, go_on

        if not begun_by_listing(context):
            return
        found: dict[str, int | None] = {}
        for name in self.stages:
            run = StageRun.of(context, name)
            places = places_of(run.config.dag_id)
            task = _task(run, places, _folder(run, Path(places["state_dir"])))
            found[name] = look(StageContext(task, logging.getLogger(__name__))).outputs[NEW]
        go_on(found, context, self.log)


class LocalNotifyOperator(BaseOperator):
    """Tells people how the run ended."""

    ui_color = "#eef1f6"

    @failing_for_good
    def execute(self, context: Any) -> None:
        """Tell those whom it concerns."""
        from adutora.runtime.notices import concerns
        from adutora_airflow.notify import notice_of

        notice = notice_of(context)
        if not concerns(context["dag"].user_defined_macros["adutora"], notice.state):
            raise AirflowSkipException(f"nobody is told of a {notice.state}")
        problems = _tell(context, notice, logging.getLogger(__name__))
        if problems:
            raise AirflowFailException("; ".join(map(str, problems)))


def tell_of_deadline_here(context: Any) -> None:
    """Tell of a run that took longer than its timeout; the others are told of by a task."""
    from adutora_airflow.notify import late_notice

    if context.get("reason") != "task_failure":
        log = logging.getLogger(__name__)
        for problem in _tell(context, late_notice(context), log):
            log.error("%s", problem)


def _tell(context: Any, notice: "Notice", log: logging.Logger) -> "list[AdutoraError]":
    from adutora.runtime.notify import Home, tell

    config = context["dag"].user_defined_macros["adutora"]
    places = places_of(config.dag_id)
    return tell(config, Home(Path(places["project_root"]), places["lake_root"]), notice, log)


def places_of(dag_id: str) -> Json:
    """Return where a pipeline's stages run."""
    return dict(json.loads((default_root() / PLACES).read_text())[dag_id])


def _folder(run: StageRun, state_dir: Path) -> Path:
    safe = re.sub(r"[^A-Za-z0-9_.-]", "_", run.run.id)
    folder = state_dir / "airflow" / "runs" / run.config.dag_id / safe / run.stage.name
    return folder if run.index is None else folder / "items" / str(run.index)


def _prepare(run: StageRun, places: Json, folder: Path) -> None:
    """Write what the process reads first."""
    from adutora.runtime.params import check_params
    from adutora.runtime.task import TASK

    check_params(run.config, run.params)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(run.config.to_json()))
    _task(run, places, folder).save(folder / TASK)


def _task(run: StageRun, places: Json, folder: Path) -> "Task":
    from adutora.runtime.task import Task

    files_root = Path(places["files_root"])
    return Task(
        config=run.config, stage_name=run.stage.name, run=run.run, params=run.params, given_params=(),
        attempt=run.attempt, files_root=files_root, project_root=Path(places["project_root"]),
        state_dir=Path(places["state_dir"]), task_dir=folder, cwd=files_root, lake_root=places["lake_root"],
        lake_layers=places["lake_layers"], item=(run.item or {}).get("value"), item_index=run.index,
        outputs=run.outputs,
    )  # fmt: skip


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
