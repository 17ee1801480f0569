"""Whether a stage runs, by `runIf`, `when` and its fan-out, as on a laptop; and how an error of ours fails a task."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from adutora.dagconfig import Json
from adutora.errors import EXIT_CONFIG, EXIT_DATA, AdutoraError
from adutora_airflow.results import left_error
from adutora_airflow.task import StageRun

F = TypeVar("F", bound=Callable[..., Any])


def begin(context: Any, stage_name: str, item: Json | None) -> StageRun | None:
    """Return what a task is to run, None for a fan-out over nothing, which has succeeded.

    Raises AirflowSkipException where it does not run, AdutoraError where that cannot be judged.
    """
    if item == {}:
        return None
    run = StageRun.of(context, stage_name, item)
    reason = should_run(run, context) if item is None else _other_item_failed(run, context)
    if reason:
        raise AirflowSkipException(reason)
    if run.stage.type == "container":  # a user's own image checks nothing
        from adutora_airflow.params import check_here

        check_here(run.config, run.params)
    return run


def should_run(run: StageRun, context: Any) -> str | None:
    """Return why a stage is skipped, None if it runs. Raises AdutoraError where `when` cannot be judged."""
    from adutora.runtime.substitution import truth

    stage = run.stage
    if stage.run_if == "failed" and not _failed(run, context):
        return "nothing that it depends on has failed"
    if stage.when is not None and not truth(stage.when, run.scope()):
        return f"when: {stage.when if isinstance(stage.when, str) else 'false'} is false"
    return None


def _other_item_failed(run: StageRun, context: Any) -> str | None:
    """Return why no further item is started: one has failed for good. Those that run go on, and are tried again."""
    if run.attempt > 1:
        return None
    states = states_of(context, run.config.dag_id, [run.stage.name])
    failed = sorted(int(key.rpartition("_")[2]) for key, state in states.items() if state == "failed")
    return f"item {failed[0]} has failed, so no further one is started" if failed else None


def _failed(run: StageRun, context: Any) -> list[str]:
    """Return the stages among those it depends on that have failed themselves."""
    states = states_of(context, run.config.dag_id, list(run.stage.depends_on))
    return failed_stages(states, run.stage.depends_on)


def failed_stages(states: Mapping[str, str], names: Iterable[str]) -> list[str]:
    """Return those of the stages that have failed themselves. An item of a fan-out comes as `stage_0`."""
    failed = {key for key, state in states.items() if state == "failed"}
    failed |= {key.rpartition("_")[0] for key in failed}
    return [name for name in names if name in failed]


def states_of(context: Any, dag_id: str, task_ids: list[str] | None = None) -> dict[str, str]:
    """Return the states of tasks of this run, of all without `task_ids`."""
    found = context["ti"].get_task_states(dag_id=dag_id, task_ids=task_ids, run_ids=[context["run_id"]])
    return dict(found.get(context["run_id"], {}))


def failing_for_good(execute: F) -> F:
    """Let a wrong configuration or wrong data fail the task without another try."""

    @functools.wraps(execute)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return execute(*args, **kwargs)
        except AdutoraError as error:
            left_error(kwargs.get("context") or args[1], str(error))
            if error.exit_code in (EXIT_CONFIG, EXIT_DATA):
                raise AirflowFailException(str(error)) from None
            raise

    return wrapper  # type: ignore[return-value]
