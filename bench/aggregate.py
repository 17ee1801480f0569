"""City features over ten million companies: `adutora run` against PySpark `local[*]` and a bare DuckDB statement.

Each side is a command of its own, start-up included: reads the same CSV file and leaves a table on disk. PySpark is
given the schema, so that it reads the file once (with `inferSchema` it would read it twice), and writes Parquet.
DuckDB writes Parquet as well. Adutora writes a Delta table, keeps its run folder, and finds the types by itself.

    python -m bench.aggregate [--rows 10000000] [--tries 2]
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from bench.common import ADUTORA, CACHE, ROOT, Measured, environment, machine, measure, need, verdict

PIPELINE = ROOT / "examples" / "02-city-features" / "pipeline.yaml"
GENERATE = """
COPY (
    SELECT printf('%02d.%03d.%03d/%04d-%02d', i // 10000000 % 100, i // 10000 % 1000, i // 10 % 1000, i % 10000, i % 97)
               AS cnpj,
           strftime(TIMESTAMP '2020-01-01' + INTERVAL (i * 7919 % 157680000) SECOND, '%Y-%m-%dT%H:%M:%SZ')
               AS data_abertura,
           ['São Paulo', 'Rio de Janeiro', 'Belo Horizonte', 'Curitiba', 'Goiânia', 'Brasília', 'Salvador',
            'Embu das Artes', 'Florianópolis', 'Santana do Parnaíba'][1 + (hash(i) % 10)::INT]
               || CASE WHEN hash(i + 1) % 4 = 0 THEN '' ELSE ' ' || (hash(i + 2) % 500)::VARCHAR END AS cidade,
           ['SP', 'RJ', 'MG', 'PR', 'GO'][1 + (i % 5)::INT] AS estado,
           printf('%.2f', (hash(i + 3) % 100000000)::DOUBLE / 100) AS capital_social
    FROM range($rows) t(i)
) TO '{path}' (HEADER, DELIMITER ',')
"""
BARE = """
import sys, duckdb
source, target = sys.argv[1:]
duckdb.execute(f\"\"\"COPY (
    SELECT cidade, count(*) AS quantidade_empresas, avg(capital_social) AS capital_social_medio,
           sum(capital_social) AS capital_social_total
    FROM read_csv('{source}') GROUP BY cidade ORDER BY cidade
) TO '{target}' (FORMAT parquet)\"\"\")
"""
SPARK = """
import sys
from pyspark.sql import SparkSession, functions as f
source, target = sys.argv[1:]
spark = SparkSession.builder.master("local[*]").appName("city-features").config("spark.ui.enabled", "false")
spark = spark.config("spark.sql.shuffle.partitions", "8").getOrCreate()
schema = "cnpj string, data_abertura timestamp, cidade string, estado string, capital_social double"
rows = spark.read.csv(source, header=True, schema=schema)
features = rows.groupBy("cidade").agg(
    f.count("*").alias("quantidade_empresas"),
    f.avg("capital_social").alias("capital_social_medio"),
    f.sum("capital_social").alias("capital_social_total"),
)
features.orderBy("cidade").write.parquet(target)
spark.stop()
"""


def companies(rows: int) -> Path:
    """Return the file of so many companies; makes it once, the same bytes each time."""
    path = CACHE / "bench" / f"companies-{rows}.csv"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        print(f"generating {rows:,} rows into {path}", flush=True)
        part = path.with_suffix(".part")
        duckdb.execute(GENERATE.replace("{path}", str(part)), {"rows": rows})
        part.rename(path)
    return path


def product(source: Path, folder: Path) -> Measured:
    command = [ADUTORA, "run", str(PIPELINE), "-p", f"input={source}", "--lake", str(folder / "lake")]
    return measure([*command, "--state", str(folder / "state"), "--output", "json"])


def spark(python: Path, source: Path, folder: Path) -> Measured:
    env = {**os.environ, "PYSPARK_PYTHON": str(python), "SPARK_LOCAL_IP": "127.0.0.1"}
    return measure([str(python), "-c", SPARK, str(source), str(folder / "spark")], env=env, cwd=folder)


def bare(source: Path, folder: Path) -> Measured:
    return measure([sys.executable, "-c", BARE, str(source), str(folder / "bare.parquet")])


def same_result(folder: Path, run: Measured) -> None:
    """Check that all three came to the same features, up to the order in which doubles were added."""
    state = json.loads(run.stdout)
    stage = next(stage for stage in state["stages"] if stage["name"] == "aggregate")
    lake = folder / "lake" / "gold" / "city_features" / "**" / "*.parquet"
    sources = [str(lake), str(folder / "bare.parquet"), str(folder / "spark" / "*.parquet")]
    sums = "count(*), sum(quantidade_empresas), round(sum(capital_social_total)), round(sum(capital_social_medio), 2)"
    found = {duckdb.execute(f"SELECT {sums} FROM read_parquet(?)", [source]).fetchone() for source in sources}
    if len(found) != 1:
        sys.exit(f"the three sides differ: {found}")
    print(f"same result: {stage['rows_in']:,} rows in, {stage['rows_out']:,} cities, {stage['rows_rejected']} rejected")


def best(tries: Sequence[Measured]) -> Measured:
    return Measured(min(each.seconds for each in tries), min(each.peak for each in tries), tries[-1].stdout)


def told(name: str, measured: Measured) -> Measured:
    print(f"{name:<8} {measured.seconds:7.2f} s  {measured.peak / 2**20:7.0f} MiB", flush=True)
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description="City features against PySpark and bare DuckDB.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--tries", type=int, default=3, help="tries of each side; the best counts")
    args = parser.parse_args()
    need("java", "PySpark needs Java 17")
    python = environment("spark", "--extra", "spark")
    source = companies(args.rows)
    source.read_bytes()  # all sides find the file in the page cache
    print(f"{args.rows:,} rows, {source.stat().st_size / 2**20:.0f} MiB; {machine()}; best of {args.tries}", flush=True)
    ours, theirs, plain = [], [], []
    for _ in range(args.tries):
        with tempfile.TemporaryDirectory(prefix="adutora-bench-") as name:
            folder = Path(name)
            plain.append(told("duckdb", bare(source, folder)))
            ours.append(told("adutora", product(source, folder)))
            theirs.append(told("pyspark", spark(python, source, folder)))
            same_result(folder, ours[-1])
    run, peer, statement = best(ours), best(theirs), best(plain)
    met = [
        verdict("aggregate-time", peer.seconds / run.seconds, 10),
        verdict("aggregate-memory", run.peak / peer.peak, 0.25, at_most=True),
        verdict("aggregate-duckdb", statement.seconds / run.seconds, 0.7),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
