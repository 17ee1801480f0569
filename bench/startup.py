"""The smallest pipeline of two stages: `adutora run` against the same two steps under `airflow dags test`.

Both read a CSV file of forty rows with DuckDB into a table, and make a second table from it. Airflow has its own
environment, a migrated SQLite database, no examples and one DAG; its steps are plain Python tasks that write Parquet.
Everything is warm: each side has run once before it is timed.

    python -m bench.startup [--tries 3]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.common import ADUTORA, ROOT, environment, machine, timed, verdict

SOURCE = ROOT / "examples" / "02-city-features" / "data" / "companies.csv"
PIPELINE = """
apiVersion: adutora.dev/v1alpha1
kind: Pipeline
metadata: {name: two-steps}
spec:
  stages:
    - name: load
      inputs: [{name: companies, file: companies.csv}]
      sql: {query: SELECT * FROM companies}
      output: {table: bronze.companies}
    - name: aggregate
      input: {table: bronze.companies}
      sql: {query: "SELECT cidade, count(*) AS companies FROM bronze.companies GROUP BY cidade"}
      output: {table: gold.cities}
"""
DAG = """
import duckdb
from airflow.sdk import dag, task

FOLDER = "{folder}"

@dag(schedule=None)
def two_steps():
    @task
    def load():
        query = f"SELECT * FROM read_csv('{{FOLDER}}/companies.csv')"
        duckdb.execute(f"COPY ({{query}}) TO '{{FOLDER}}/companies.parquet'")

    @task
    def aggregate():
        query = f"SELECT cidade, count(*) AS companies FROM '{{FOLDER}}/companies.parquet' GROUP BY cidade"
        duckdb.execute(f"COPY ({{query}}) TO '{{FOLDER}}/cities.parquet'")

    load() >> aggregate()

two_steps()
"""


def airflow(python: Path, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Lay out a home of Airflow with one DAG. Returns the command and its environment."""
    home = folder / "airflow"
    (home / "dags").mkdir(parents=True)
    (home / "dags" / "two_steps.py").write_text(DAG.format(folder=folder))
    env = {
        **os.environ,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    }
    subprocess.run([python.parent / "airflow", "db", "migrate"], env=env, check=True, capture_output=True)
    return [str(python.parent / "airflow"), "dags", "test", "two_steps"], env


def main() -> int:
    parser = argparse.ArgumentParser(description="Two small stages against airflow dags test.")
    parser.add_argument("--tries", type=int, default=3, help="tries of each side; the best counts")
    args = parser.parse_args()
    python = environment("airflow", "--extra", "airflow")
    with tempfile.TemporaryDirectory(prefix="adutora-bench-") as name:
        folder = Path(name)
        (folder / "companies.csv").write_bytes(SOURCE.read_bytes())
        (folder / "pipeline.yaml").write_text(PIPELINE)
        ours = [ADUTORA, "run", str(folder / "pipeline.yaml")]
        theirs, env = airflow(python, folder)
        print(f"{machine()}; best of {args.tries}, after one warm run each", flush=True)
        timed(ours)
        timed(theirs, env=env)
        if not (folder / "cities.parquet").is_file():
            sys.exit("airflow dags test ended well and wrote nothing")
        mine = min(timed(ours) for _ in range(args.tries))
        print(f"adutora            {mine:6.2f} s", flush=True)
        peer = min(timed(theirs, env=env) for _ in range(args.tries))
        print(f"airflow dags test  {peer:6.2f} s", flush=True)
    return 0 if verdict("startup", peer / mine, 8) else 1


if __name__ == "__main__":
    sys.exit(main())
