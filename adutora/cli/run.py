"""`adutora run FILE`: run a pipeline here, a process per stage."""

import argparse
import datetime as dt
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora.cli.common import add_file_arguments, add_home_arguments
from adutora.errors import ConfigError

if TYPE_CHECKING:
    from adutora.cli.plan import Plan
    from adutora.dagconfig import DagConfig
    from adutora.local.processes import Processes
    from adutora.local.state import RunFolder, RunState


def add_parser(subparsers: Any) -> None:
    """Add the command to the parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "run",
        help="run a pipeline on this machine",
        description="Run a pipeline on this machine: a process per stage, tables in a local lake.",
    )
    add_file_arguments(parser)
    parser.add_argument(
        "-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="value of a parameter; repeatable"
    )
    parser.add_argument("--date", metavar="YYYY-MM-DD", help="the run's date (default: today in the pipeline's zone)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="STAGE", action="append", default=[], help="run only this stage; repeatable")
    which.add_argument(
        "--from", dest="start", metavar="STAGE", action="append", default=[], help="run this stage and what follows"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with a run: what failed and what follows; `last` works")
    parser.add_argument(
        "--full-refresh", action="store_true", help="read everything again and rebuild the tables from it"
    )
    parser.add_argument(
        "--parallel", metavar="N", type=_count, help="most stages at once (default: the number of cores)"
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="summary (default: text)")
    add_home_arguments(parser, project=False)
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return number


def run(args: argparse.Namespace) -> int:
    """Run the pipeline. Returns the exit code of the first stage that failed, or 0."""
    # Its imports take as long as reading and compiling the file: side by side they cost one of the two.
    from adutora.local.processes import Processes

    if args.resume is not None and (args.only or args.start or args.param or args.date):
        raise ConfigError("--resume goes on with a run as it was begun", hint="leave out --only, --from, -p and --date")
    processes = Processes()
    try:
        return _run(args, processes)
    finally:
        processes.close()


def _run(args: argparse.Namespace, processes: "Processes") -> int:
    from adutora.cli.plan import planned
    from adutora.local.sample import samples
    from adutora.local.state import find_run, locked, open_state_dir, writable
    from adutora.local.summary import json_summary, results, text_summary

    plan = planned(args)
    if isinstance(plan, int):
        return plan
    open_state_dir(plan.state_dir)
    with writable(plan.state_dir):
        if args.resume is not None:
            folder, state = find_run(plan.state_dir, args.resume), None
        else:
            folder, state = _new(args, plan)
        with locked(folder.path / "lock", f"run {folder.path.name}"):
            if state is None:  # nobody else works on it now, so what it says stands
                plan, state = _resumed(args, plan, folder)
            _refuse_unrunnable(plan.config, state.selected)
            code = _execute(args, plan, folder, state, processes)
    _notify(plan, state)
    if args.output == "json":
        sys.stdout.write(json_summary(state, folder))
    else:
        tables = results(state, plan.config)
        shown = samples(processes, folder, tables, plan.lake_root, plan.lake_layers, plan.root)
        sys.stdout.write(text_summary(state, folder, shown))
    return code


def _execute(
    args: argparse.Namespace, plan: "Plan", folder: "RunFolder", state: "RunState", processes: "Processes"
) -> int:
    from adutora.local.progress import LineProgress
    from adutora.local.runner import Places, Runner
    from adutora.local.state import slot

    config = plan.config
    progress = LineProgress(sys.stderr, config, state)
    for warning in plan.warnings:
        progress.note(warning)
    places = Places(
        files_root=plan.files_root,
        project_root=plan.root,
        state_dir=plan.state_dir,
        cwd=Path.cwd(),
        lake_root=plan.lake_root,
        lake_layers=plan.lake_layers,
    )
    with slot(plan.state_dir, config.dag_id, config.concurrency, progress.note):
        folder.save_config(config)
        progress.begin(config)
        code = Runner(config, state, folder, places, processes, progress, args.parallel).run()
    progress.end()
    return code


def _notify(plan: "Plan", state: "RunState") -> None:
    """Tell people of the run's end. What keeps us from it is told, and changes nothing else."""
    if plan.config.notify:
        from adutora.local.notify import notify

        for problem in notify(plan.config, state, plan.root):
            sys.stderr.write(f"warning: {problem}\n")


def _refuse_unrunnable(config: "DagConfig", selected: list[str]) -> None:
    from adutora.stages import why_not_runnable

    bad = [
        f"{stage.name} ({reason})"
        for stage in config.stages
        if stage.name in selected and (reason := why_not_runnable(stage.type, stage.block))
    ]
    if bad:
        raise ConfigError(f"this version cannot run {', '.join(bad)}", hint="run the others with --only or --from")


def _new(args: argparse.Namespace, plan: "Plan") -> "tuple[RunFolder, RunState]":
    from adutora.local import graph
    from adutora.local.schedule import run_info
    from adutora.local.state import RunFolder, RunState, StageState, new_run_id, next_number, runs_dir

    now = dt.datetime.now(dt.UTC)
    config = plan.config
    identity = new_run_id(now)
    folder = RunFolder(runs_dir(plan.state_dir) / identity)
    state = RunState(
        id=identity,
        pipeline=config.dag_id,
        file=str(Path(args.file).resolve()),
        hash=config.hash,
        status="running",
        run=run_info(config, identity, now, args.date),
        params=plan.params,
        given_params=plan.given,
        lake=plan.lake_root,
        lake_layers=plan.lake_layers,
        stages=[StageState(stage.name, stage.type) for stage in config.stages],
        selected=graph.select(config, args.only, args.start),
        full_refresh=args.full_refresh,
        number=next_number(plan.state_dir),
    )
    return folder, state


def _resumed(args: argparse.Namespace, plan: "Plan", folder: "RunFolder") -> "tuple[Plan, RunState]":
    from adutora.local import graph
    from adutora.local.params import check_params
    from adutora.local.state import StageState

    config, state = plan.config, folder.load()
    if state.pipeline != config.dag_id:
        raise ConfigError(f"run {state.id} is one of {state.pipeline}, not of {config.dag_id}")
    if args.lake and plan.lake_root != state.lake:
        raise ConfigError(f"run {state.id} writes to {state.lake}", hint="leave --lake out")
    check_params(config.params, state.params)
    old = {stage.name: stage for stage in state.stages}
    todo = graph.to_resume(config, {name: stage.status for name, stage in old.items()})
    was_selected = set(state.selected)
    state.selected = [name for name in todo if name in was_selected or name not in old]
    state.stages = [
        StageState(stage.name, stage.type) if stage.name in todo or stage.name not in old else old[stage.name]
        for stage in config.stages
    ]
    state.status, state.hash, state.exit_code, state.ended_at = "running", config.hash, None, None
    state.timed_out = False
    return replace(plan, lake_root=state.lake, lake_layers=state.lake_layers), state
