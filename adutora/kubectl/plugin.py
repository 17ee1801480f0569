"""The command line of the plugin."""

import argparse
import contextlib
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

from adutora import __version__
from adutora.dagconfig import Json
from adutora.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, AdutoraError, ConfigError
from adutora.kubectl import executors
from adutora.kubectl.airflow import Airflow, Login, typed
from adutora.kubectl.kubernetes import Kubectl
from adutora.kubectl.why import task_name, why

PASSWORD_ENV = "ADUTORA_AIRFLOW_PASSWORD"  # noqa: S105 - its name
_POLL = 1.0  # seconds
_FOLDS = ("::group::", "::endgroup::")  # what Airflow's page folds log lines by
Ask = Callable[[argparse.Namespace, Kubectl, Callable[[], Airflow]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code; an error goes to standard error, with what would be right."""
    args = _parsed(argv)
    kubectl = Kubectl(args.context, args.namespace)
    run: Ask = args.run
    try:
        with contextlib.ExitStack() as stack:
            return run(args, kubectl, partial(_airflow, args, kubectl, stack))
    except AdutoraError as error:
        sys.stderr.write(f"kubectl adutora: {error.message}\n")
        if error.hint:
            sys.stderr.write(f"  right: {error.hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def console() -> None:
    """Entry point of the installed script."""
    sys.exit(main())


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; words of `logs` may stand behind options, which argparse itself does not see."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    free = [name for name in ("which", "stage") if getattr(args, name, "") is None]
    if len(rest) > len(free) or any(word.startswith("-") for word in rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    for name, word in zip(free, rest, strict=False):
        setattr(args, name, word)
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubectl adutora", description="Work with pipelines on a cluster.")
    parser.add_argument("--version", action="version", version=f"adutora {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("name", metavar="NAME", help="the pipeline")
    common.add_argument("-n", "--namespace", metavar="NAME", help="its namespace (default: the context's)")
    common.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    common.add_argument("--platform", metavar="NAMESPACE", help="namespace of Airflow (default: where its service is)")
    common.add_argument("--url", help="URL of Airflow's API (default: a port forwarded by kubectl)")
    common.add_argument("--user", help=f"user of Airflow, with {PASSWORD_ENV} (default: the chart's administrator)")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands", required=True)
    trigger = commands.add_parser("trigger", parents=[common], help="start a run")
    trigger.add_argument("-p", "--param", metavar="NAME=VALUE", action="append", default=[], help="repeatable")
    trigger.add_argument("--wait", action="store_true", help="wait until it ends; exit code 1 if it fails")
    trigger.set_defaults(run=_trigger)
    runs = commands.add_parser("runs", parents=[common], help="list the latest runs")
    runs.add_argument("--limit", type=int, default=10, help="how many (default: 10)")
    runs.add_argument("--output", choices=("text", "json"), default="text", help="how to show them (default: text)")
    runs.set_defaults(run=_runs)
    logs = commands.add_parser("logs", parents=[common], help="print the logs of a run's stages")
    logs.add_argument("which", metavar="RUN", nargs="?", help="the run (default: the latest)")
    logs.add_argument("stage", metavar="STAGE", nargs="?", help="one stage (default: all)")
    logs.add_argument(
        "--executors", action="store_true", help="those of the executors on Spark that run now, of one STAGE or of all"
    )
    logs.set_defaults(run=_logs)
    why_ = commands.add_parser("why", parents=[common], help="say why a pipeline does not do what it should")
    why_.set_defaults(run=_why)
    return parser


def _airflow(args: argparse.Namespace, kubectl: Kubectl, stack: contextlib.ExitStack) -> Airflow:
    """Log in to Airflow, by a forwarded port where no URL is given."""
    login = _login(args, kubectl)
    url = args.url or stack.enter_context(kubectl.forwarded(kubectl.platform(args.platform)))
    return stack.enter_context(contextlib.closing(Airflow(url, login)))


def _login(args: argparse.Namespace, kubectl: Kubectl) -> Login:
    if args.user is None:
        return Login(*kubectl.login(kubectl.platform(args.platform)))
    password = os.environ.get(PASSWORD_ENV)
    if password is None and not sys.stdin.isatty():
        raise ConfigError(f"{PASSWORD_ENV} is not set", hint="set it, or ask from a terminal")
    return Login(
        args.user, password if password is not None else getpass.getpass(f"Airflow's password of {args.user}: ")
    )


def _dag_id(args: argparse.Namespace, kubectl: Kubectl) -> str:
    return f"{kubectl.own_namespace()}.{args.name}"


def _trigger(args: argparse.Namespace, kubectl: Kubectl, open_airflow: Callable[[], Airflow]) -> int:
    dag_id, airflow = _dag_id(args, kubectl), open_airflow()
    values = typed(airflow.params(dag_id), args.param) if args.param else {}
    run = airflow.trigger(dag_id, values)
    sys.stdout.write(f"{run['dag_run_id']}\n")
    sys.stdout.flush()
    while args.wait and run["state"] not in ("success", "failed"):
        time.sleep(_POLL)
        run = airflow.run(dag_id, run["dag_run_id"])
    if args.wait:
        sys.stdout.write(f"{run['state']}\n")
    return EXIT_FAILED if run["state"] == "failed" else EXIT_OK


def _runs(args: argparse.Namespace, kubectl: Kubectl, open_airflow: Callable[[], Airflow]) -> int:
    from adutora.local.summary import aligned

    runs = open_airflow().runs(_dag_id(args, kubectl), args.limit)
    if args.output == "json":
        sys.stdout.write(json.dumps(runs, indent=2) + "\n")
        return EXIT_OK
    body = [[run["dag_run_id"], run["state"], run["run_type"], _moment(run), _duration(run)] for run in runs]
    sys.stdout.write(aligned([["run", "state", "type", "started (UTC)", "seconds"], *body]) if runs else "no runs\n")
    return EXIT_OK


def _moment(run: Json) -> str:
    return (run["start_date"] or "")[:19].replace("T", " ")


def _duration(run: Json) -> str:
    return "" if run["duration"] is None else f"{run['duration']:.0f}"


def _logs(args: argparse.Namespace, kubectl: Kubectl, open_airflow: Callable[[], Airflow]) -> int:
    if args.executors:
        for text in executors.logs(kubectl, args.name, kubectl.own_namespace(), args.stage or args.which):
            sys.stdout.write(f"{text}\n")
        return EXIT_OK
    dag_id, airflow = _dag_id(args, kubectl), open_airflow()
    run = args.which
    if run is None:
        latest = airflow.runs(dag_id, 1)
        if not latest:
            raise ConfigError(f"{dag_id} has no runs")
        run = latest[0]["dag_run_id"]
    tasks = airflow.tasks(dag_id, run)
    wanted = [task for task in tasks if args.stage in (None, task["task_id"], task_name(task))]
    if not wanted:
        names = ", ".join(dict.fromkeys(task["task_id"] for task in tasks)) or "none"
        raise ConfigError(f"run {run} has no stage {args.stage}", hint=f"its stages: {names}")
    for task in wanted:
        sys.stdout.write(f"== {task_name(task)}: {task['state'] or 'not started'}\n")
        if task["start_date"] is not None:
            for line in airflow.log(task):
                if str(line.get("event", "")).startswith(_FOLDS):
                    continue
                sys.stdout.write(f"{line.get('timestamp') or ''} {line.get('event', '')}".strip() + "\n")
    return EXIT_OK


def _why(args: argparse.Namespace, kubectl: Kubectl, open_airflow: Callable[[], Airflow]) -> int:
    for line in why(kubectl, kubectl.pipeline(args.name), open_airflow):
        sys.stdout.write(f"{line}\n")
    return EXIT_OK
