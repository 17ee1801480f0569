"""Passengers and their trips, as a PySpark application. The argument says which trip before the last is shown."""

import sys

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as f

from adutora.spark import stage


def transform(trips: DataFrame, before: int) -> DataFrame:
    """Return one row per `passenger`: number of trips, and the line of a trip `before` the last one."""
    latest = Window.partitionBy("passenger").orderBy(f.desc("trip"))
    numbered = trips.withColumn("number", f.row_number().over(latest))
    line = f.max(f.when(f.col("number") == before + 1, f.col("line")))
    return numbered.groupBy("passenger").agg(f.count("*").alias("trips"), line.alias("earlier_line"))


def main() -> None:
    """Read the stage's input and give the stage its rows."""
    frame = transform(stage().read("silver.trips"), int(sys.argv[1]))
    stage().write(frame.orderBy("passenger"))


if __name__ == "__main__":
    main()
