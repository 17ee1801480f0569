"""A thousand unchanged pipelines: what Airflow's dag-processor and the start of a task cost, against dag-factory.

Both sides hold the same DAGs: pods in the same order, with the same tags, schedule and owner. Ours stand in the folder
that the side-car fills, with the settings of charts/adutora-platform/values.yaml. dag-factory 1.1.0 reads one YAML
file for each, in its documented way (one Python file that loads the folder), with Airflow's defaults; only the two
limits on the time of a parse are lifted, for with them it has no DAGs at all on a busy machine. Each side has a home,
a database (SQLite) and a dag-processor of its own; both run at the same time. Once both have all their DAGs, the CPU
of each tree of processes is counted.

    .venv-platform/bin/python -m bench.parse [--pipelines 1000] [--minutes 10] [--tries 10]
"""

import argparse
import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.common import ROOT, environment, machine, tree, verdict

Json = dict[str, Any]
EXAMPLE = ROOT / "examples" / "02-city-features" / "pipeline.yaml"
VALUES = ROOT / "charts" / "adutora-platform" / "values.yaml"
PEER = "dag-factory==1.1.0"
NAMESPACE = "bench"
IMAGE = "adutora/stages:dev"
PATIENCE = 3600  # seconds until both sides have all their DAGs
LOADER = """\
from pathlib import Path

from airflow.sdk import DAG
from dagfactory import load_yaml_dags

load_yaml_dags(globals_dict=globals(), dags_folder=str(Path(__file__).parent))
"""


@dataclass
class Side:
    """One Airflow: its program, its environment, and where the task whose start is timed has its DAG."""

    name: str
    python: Path
    home: Path
    env: dict[str, str]
    bundle: str
    version: str
    file: str
    process: subprocess.Popen[bytes] | None = None

    def airflow(self, *args: str) -> list[str]:
        return [str(self.python), "-m", "airflow", *args]

    def start(self) -> None:
        """Make the database and start the dag-processor."""
        with (self.home / "airflow.log").open("ab") as log:
            subprocess.run(self.airflow("db", "migrate"), env=self.env, check=True, stdout=log, stderr=log)
            self.process = subprocess.Popen(self.airflow("dag-processor"), env=self.env, stdout=log, stderr=log)

    def known(self) -> tuple[int, str]:
        """Return how many DAGs Airflow knows, and when it last read one."""
        with sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=60) as base:
            query = "SELECT count(*), coalesce(max(last_parsed_time), '') FROM dag JOIN serialized_dag USING (dag_id)"
            count, last = base.execute(f"{query} WHERE NOT is_stale").fetchone()
        return int(count), str(last)

    def cpu(self) -> float:
        """Return the CPU seconds of the dag-processor and all that it started. Raises SystemExit where it has ended."""
        assert self.process is not None
        if self.process.poll() is not None:
            sys.exit(f"the dag-processor of {self.name} ended: {self.tail()}")
        return sum(map(used, tree(self.process.pid)))

    def tail(self) -> str:
        return (self.home / "airflow.log").read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def task_start(self, tries: int) -> list[float]:
        """Return the seconds of each task start, after a first one that counts for nothing."""
        dag, task = f"{NAMESPACE}.p0", "aggregate"
        script = str(ROOT / "bench" / "task_start.py")  # -P: its folder holds modules named as the standard library's
        command = [str(self.python), "-P", script, self.bundle, self.version, self.file.format(dag), dag, task]
        command.append(str(tries + 1))
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{self.name}: {done.stderr[-2000:]}")
        return list(json.loads(done.stdout))[1:]


def used(pid: int) -> float:
    """CPU seconds of a process and of those of its children that have ended; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def clean_env(home: Path, **more: str) -> dict[str, str]:
    """The environment of an Airflow that knows nothing of the caller's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "ADUTORA", "PYTHON"))}
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),  # else links of another run are found
        "DO_NOT_TRACK": "1",
    }
    return {**kept, **own, **more}


def chart_env(home: Path) -> dict[str, str]:
    """Lay Airflow's settings out as the chart does: variables, and airflow_local_settings."""
    values = yaml.safe_load(VALUES.read_text())["airflow"]
    (home / "config").mkdir(parents=True)
    (home / "config" / "airflow_local_settings.py").write_text(values["airflowLocalSettings"])
    env = {
        f"AIRFLOW__{section}__{key}".upper(): str(value)
        for section, settings in values["config"].items()
        for key, value in settings.items()
    }
    bundles = json.dumps(values["dagProcessor"]["dagBundleConfigList"])
    return {**env, "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles}


def product(folder: Path, configs: list[Json]) -> Side:
    """Fill the folder as the side-car does."""
    sys.path.insert(0, str(ROOT / "dags"))
    from adutora_airflow.folder import Folder, History

    home, root = folder / "adutora", folder / "bundle"
    filled = Folder(root)
    for version, config in enumerate(configs, start=1):
        dag_id = f"{config['namespace']}.{config['name']}"
        filled.keep(dag_id, 1, config)
        filled.show(dag_id, History(f"uid-{version}", config["namespace"], config["name"], [(version, 1)]), version)
    filled.publish(len(configs), len(configs))
    env = clean_env(home, **chart_env(home), ADUTORA_BUNDLE_ROOT=str(root))
    env |= {"PYTHONPATH": f"{ROOT / 'dags'}:{ROOT}", "ADUTORA_IMAGES": json.dumps({"default": IMAGE})}
    return Side("adutora", Path(sys.executable), home, env, "adutora", str(len(configs)), "{}.py")


def peer(folder: Path, configs: list[Json]) -> Side:
    """Write a YAML file for each DAG."""
    python = environment("dag-factory", "--extra", "airflow")
    install = [str(ROOT / "tools" / "uv"), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*install, PEER], check=True, cwd=ROOT)
    home = folder / "dag-factory"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "load.py").write_text(LOADER)
    for config in configs:
        text = yaml.dump(as_yaml(config), Dumper=yaml.CSafeDumper, sort_keys=False)
        (home / "dags" / f"{config['name']}.yaml").write_text(text)
    env = clean_env(home, AIRFLOW__CORE__DAGS_FOLDER=str(home / "dags"))
    env |= {
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "1800",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "1800",
    }
    return Side("dag-factory", python, home, env, "dags-folder", "", "load.py")


def as_yaml(config: Json) -> Json:
    """A DagConfig as dag-factory's users would write it: a pod for each stage."""
    tasks = [
        {
            "task_id": stage["name"],
            "operator": "airflow.providers.cncf.kubernetes.operators.pod.KubernetesPodOperator",
            "name": stage["name"],
            "namespace": config["namespace"],
            "image": IMAGE,
            "cmds": ["python", "-P", "-m", "stage"],
            "arguments": [stage["name"]],
            "retries": stage["retries"],
            "dependencies": list(stage["dependsOn"]),
        }
        for stage in config["stages"]
    ]
    return {
        f"{config['namespace']}.{config['name']}": {
            "default_args": {"owner": config["owner"], "start_date": "2026-01-01"},
            "schedule": "@daily",
            "catchup": False,
            "description": config["description"],
            "tags": ["adutora", *config["tags"]],
            "tasks": tasks,
        }
    }


def compiled(count: int) -> list[Json]:
    """Compile the example `count` times, each with tables of its own."""
    from adutora.compile import compile_pipeline
    from adutora.spec.pipeline import Pipeline
    from adutora.spec.project import EMBEDDED

    configs = []
    for number in range(count):
        text = EXAMPLE.read_text().replace("gold.", f"gold.n{number}_").replace("prefix: ", f"prefix: n{number}-")
        body = yaml.load(text, yaml.CSafeLoader)
        body["metadata"] = {"name": f"p{number}", "namespace": NAMESPACE}
        configs.append(compile_pipeline(Pipeline.model_validate(body), EMBEDDED).to_json())
    return configs


def fill(sides: list[Side], count: int) -> dict[str, float]:
    """Wait until each side knows all its DAGs. Returns the CPU seconds that this took."""
    begun, waiting, taken = time.monotonic(), list(sides), dict[str, float]()
    while waiting:
        time.sleep(1)
        for side in [side for side in waiting if side.known()[0] == count]:
            taken[side.name] = side.cpu()
            print(f"{side.name}: {count:,} DAGs read after {taken[side.name]:.1f} s of CPU", flush=True)
            waiting.remove(side)
        for side in waiting:
            side.cpu()
        if time.monotonic() - begun > PATIENCE:
            sys.exit(f"not all DAGs were read within {PATIENCE} s: {[(s.name, s.known()) for s in waiting]}")
    return taken


def steady(sides: list[Side], count: int, minutes: float) -> list[float]:
    """Return the CPU seconds of each side over some minutes in which nothing changes."""
    time.sleep(5)
    before = [(side.cpu(), side.known()[1]) for side in sides]
    time.sleep(minutes * 60)
    after = [side.cpu() for side in sides]
    for side, (begun, last), ended in zip(sides, before, after, strict=True):
        known, now = side.known()
        again = "read again meanwhile" if now > last else "not read again"
        print(f"{side.name}: {ended - begun:.1f} s of CPU in {minutes:g} min; its DAGs were {again}", flush=True)
        if known != count:
            sys.exit(f"{side.name} knows {known} DAGs of {count}: {side.tail()}")
    return [ended - begun for (begun, _), ended in zip(before, after, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipelines", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tries", type=int, default=10, help="task starts of each side; the median counts")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # what it started ends with it
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="adutora-bench-") as name:
        configs = compiled(args.pipelines)
        ours, theirs = sides = [product(Path(name), configs), peer(Path(name), configs)]
        try:
            for side in sides:
                side.start()
            taken = fill(sides, args.pipelines)
            mine, others = steady(sides, args.pipelines, args.minutes)
        finally:
            for side in sides:
                side.stop()
        starts = [statistics.median(side.task_start(args.tries)) for side in (ours, theirs)]
    for side, seconds in zip(sides, starts, strict=True):
        print(f"{side.name}: {seconds * 1000:,.0f} ms from a task's process start to its DAG", flush=True)
    # What the minutes may not show: our files are read again once in min_file_process_interval.
    share = args.minutes * 60 / float(ours.env["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"])
    rereading = taken[ours.name] * share
    print(f"with its share of a re-reading, adutora's {mine:.1f} s are at most {mine + rereading:.1f} s", flush=True)
    met = [
        verdict("parse-cpu", mine / others, 0.1, at_most=True),
        verdict("parse-start", starts[0] / starts[1], 0.1, at_most=True),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
