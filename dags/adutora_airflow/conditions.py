"""Whether a stage runs, by `runIf` and `when`, as on a laptop; and how an error of ours fails a task."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowFailException

from adutora.errors import EXIT_CONFIG, EXIT_DATA, AdutoraError
from adutora_airflow.task import StageRun

F = TypeVar("F", bound=Callable[..., Any])


def should_run(run: StageRun, context: Any) -> str | None:
    """Return why a stage is skipped, None if it runs. Raises AdutoraError where `when` cannot be judged."""
    from adutora.runtime.substitution import truth

    stage = run.stage
    if stage.run_if == "failed" and not _failed(run, context):
        return "nothing that it depends on has failed"
    if stage.when is not None and not truth(stage.when, run.scope()):
        return f"when: {stage.when if isinstance(stage.when, str) else 'false'} is false"
    return None


def _failed(run: StageRun, context: Any) -> list[str]:
    """Return the stages among those it depends on that have failed themselves."""
    states = (
        context["ti"]
        .get_task_states(dag_id=run.config.dag_id, task_ids=list(run.stage.depends_on), run_ids=[context["run_id"]])
        .get(context["run_id"], {})
    )
    # A mapped task's instances come as `stage_0`, `stage_1`.
    return [name for name in run.stage.depends_on for key, state in states.items()
            if state == "failed" and (key == name or key.rpartition("_")[0] == name)]  # fmt: skip


def failing_for_good(execute: F) -> F:
    """Let a wrong configuration or wrong data fail the task without another try."""

    @functools.wraps(execute)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except AdutoraError as error:
            if error.exit_code in (EXIT_CONFIG, EXIT_DATA):
                raise AirflowFailException(str(error)) from None
            raise

    return wrapper  # type: ignore[return-value]
