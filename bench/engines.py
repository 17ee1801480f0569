"""City features over tables of growing size: DuckDB and Spark, on this machine and on the cluster.

The table of companies is made beforehand, by DuckDB, in each lake: a stage counts from its input table to its output
table, committed, start-up included. Three engines take turns:

    duckdb      `adutora run --only duckdb`: a process of this machine
    spark       `adutora run --only spark`: Spark's `local[*]` on this machine
    executors   `engine: spark` on the cluster: the stage's pod and two executors' pods, on a node that is this machine

The first two are whole commands, with their peak memory; the third is Airflow's task, from its start to its end. All
three tables must agree. There is no goal: the figures tell when to choose which, and are drawn into docs/.

    .venv-platform/bin/python -m bench.engines [--millions 0.1,1,10,50] [--no-cluster] [--plot FILE]
"""

import argparse
import contextlib
import datetime as dt
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.cluster import NAMESPACE, Json, Platform, connected, deploy, pipeline
from bench.common import ROOT, Measured, environment, machine, measure, need
from tests.e2e.conftest import reached
from tests.golden_tables import Rows, rows_of, same

LAND, FEATURES_OF = "bench-companies", "bench-engines"
ADUTORA = ROOT / ".venv-spark" / "bin" / "adutora"
GENERATE = """
SELECT i AS id,
       ['São Paulo', 'Rio de Janeiro', 'Belo Horizonte', 'Curitiba', 'Goiânia', 'Brasília', 'Salvador',
        'Embu das Artes', 'Florianópolis', 'Santana do Parnaíba'][1 + (hash(i) % 10)::INT]
           || CASE WHEN hash(i + 1) % 4 = 0 THEN '' ELSE ' ' || (hash(i + 2) % 500)::VARCHAR END AS cidade,
       (hash(i + 3) % 100000000)::DOUBLE / 100 AS capital_social
FROM range($(params.rows)) t(i)
"""
FEATURES = """
SELECT cidade, count(*) AS quantidade_empresas, avg(capital_social) AS capital_social_medio,
       sum(capital_social) AS capital_social_total
FROM silver.companies GROUP BY cidade
"""
LABELS = {
    "duckdb": "DuckDB, one process",
    "spark": "Spark local[*], one process",
    "executors": "Spark, driver and 2 executors in pods",
}
MEMORY = {"cpu": "2", "memory": "2Gi"}
SHARE = {"cpu": "500m"}  # requests that leave room for three pods on a small node; no limit of CPU holds them back


@dataclass(frozen=True)
class Figures:
    """Seconds, and the peak memory in bytes where it was measured."""

    seconds: float
    peak: int = 0

    def told(self) -> str:
        return f"{self.seconds:.1f} s" + (f", {self.peak / 2**20:.0f} MiB" if self.peak else "")


def stage(name: str, **sql: object) -> Json:
    """Features by one engine."""
    return {
        "name": name, "inputs": [{"table": "silver.companies", "external": True}], "sql": {"query": FEATURES, **sql},
        "output": {"table": f"gold.by_{name}"}, "resources": MEMORY,
    }  # fmt: skip


def companies(**resources: str) -> Json:
    """The table that all engines read."""
    made: Json = {
        "name": "companies", "sql": {"query": GENERATE}, "output": {"table": "silver.companies"},
        "resources": {**MEMORY, **resources},
    }  # fmt: skip
    return pipeline(LAND, made, params=[{"name": "rows", "type": "integer", "default": 1000}])


class Laptop:
    """A lake in a folder, and `adutora run` over it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        engines = pipeline(FEATURES_OF, stage("duckdb"), stage("spark", engine="spark"))
        for name, each in {"companies": companies(), "engines": engines}.items():
            (folder / f"{name}.yaml").write_text(json.dumps(each, ensure_ascii=False))

    def _run(self, file: str, *words: str) -> Measured:
        command = [str(ADUTORA), "run", str(self._folder / file), *words, "--output", "json"]
        return measure([*command, "--lake", str(self._folder / "lake"), "--state", str(self._folder / "state")])

    def land(self, rows: int) -> None:
        """Make the table."""
        self._run("companies.yaml", "-p", f"rows={rows}")

    def run(self, engine: str) -> Figures:
        """Run the stage of an engine: seconds of the whole command, and its peak in bytes."""
        found = self._run("engines.yaml", "--only", engine)
        return Figures(found.seconds, found.peak)

    def table(self, engine: str) -> Rows:
        """The features."""
        return rows_of(self._folder / "lake" / "gold" / f"by_{engine}")


class Cluster:
    """The same on the platform."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        executors = {"min": 2, "max": 2, "memory": "2Gi", **SHARE}
        made = {**stage("executors", engine="spark", executors=executors), "resources": {**MEMORY, **SHARE}}
        deploy(platform, companies(**SHARE), pipeline(FEATURES_OF, made))

    def _run(self, name: str, task: str, **conf: int) -> float:
        dag, airflow = f"{NAMESPACE}.{name}", self._platform.airflow
        run = airflow.started(dag, **conf)
        state = airflow.ended(dag, run, 1800)
        found = airflow.tasks(dag, run)[task]
        if state != "success":
            sys.exit(f"{dag} ended as {state}:\n{airflow.log(dag, run, task, found['try_number'])}")
        begun, ended = (dt.datetime.fromisoformat(found[key]) for key in ("start_date", "end_date"))
        return (ended - begun).total_seconds()

    def land(self, rows: int) -> None:
        """Make the table."""
        self._run(LAND, "companies", rows=rows)

    def run(self) -> Figures:
        """Run the stage: seconds of Airflow's task."""
        return Figures(self._run(FEATURES_OF, "executors"))

    def table(self) -> Rows:
        """The features."""
        with reached(self._platform.kubectl) as place:
            return place.table("gold.by_executors")


def agree(tables: dict[str, Rows]) -> None:
    """End the benchmark where engines differ, but for the last digits of a double."""
    (first, wanted), *others = tables.items()
    names = sum(not name.startswith("_") for name in wanted[0])  # what the system adds comes last
    for engine, rows in others:
        pairs = zip(rows, wanted, strict=False)
        alike = all(same(a, b) for one, two in pairs for a, b in zip(one[:names], two[:names], strict=True))
        if len(rows) != len(wanted) or not alike:
            sys.exit(f"{engine} and {first} differ")
    print(f"  all agree on {len(wanted) - 1:,} cities", flush=True)


def drawn(found: dict[int, dict[str, Figures]], target: Path) -> None:
    """Draw the seconds, by matplotlib in an environment of its own."""
    lines = {
        engine: [[rows, each[engine].seconds] for rows, each in found.items() if engine in each] for engine in LABELS
    }
    told = json.dumps(
        {"lines": {LABELS[name]: points for name, points in lines.items() if points}, "machine": machine()}
    )
    command = [str(environment("plot", "--only-group", "plot")), "-m", "bench.plot", str(target)]
    subprocess.run(command, input=told, text=True, check=True, cwd=ROOT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.engines")
    parser.add_argument("--millions", default="0.1,1,10,50", help="rows, in millions (default: 0.1,1,10,50)")
    parser.add_argument("--no-cluster", action="store_true", help="leave out what needs `make cluster-up`")
    parser.add_argument(
        "--plot", type=Path, default=ROOT / "docs" / "pictures" / "engines.svg", help="where the plot goes"
    )
    args = parser.parse_args()
    need("java", "Spark needs Java 17")
    print(machine(), flush=True)
    found: dict[int, dict[str, Figures]] = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="adutora-bench-"))
        laptop = Laptop(Path(folder))
        cluster = None if args.no_cluster else Cluster(stack.enter_context(connected()))
        for rows in (round(float(each) * 1_000_000) for each in args.millions.split(",")):
            print(f"{rows:,} rows", flush=True)
            laptop.land(rows)
            found[rows] = {engine: laptop.run(engine) for engine in ("duckdb", "spark")}
            tables = {engine: laptop.table(engine) for engine in found[rows]}
            if cluster:
                cluster.land(rows)
                found[rows]["executors"] = cluster.run()
                tables["executors"] = cluster.table()
            for engine, figures in found[rows].items():
                print(f"  {LABELS[engine]:<36} {figures.told()}", flush=True)
            agree(tables)
    print("\n| rows | " + " | ".join(LABELS.values()) + " |\n|---|" + "---|" * len(LABELS))
    for rows, each in found.items():
        print(f"| {rows:,} | " + " | ".join(each[name].told() if name in each else "-" for name in LABELS) + " |")
    drawn(found, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
