"""A `spark` stage: say here what one row of the result is."""

import sys

from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from adutora.spark import stage


def transform(orders: DataFrame, least: float) -> DataFrame:
    """Return one row per `region`: number and total of the orders of at least `least`. Pure: tested without a stage."""
    big = orders.where(f.col("amount") >= least)
    return big.groupBy("region").agg(f.count("*").alias("orders"), f.sum("amount").alias("total"))


def main() -> None:
    """Read inputs and arguments, give the stage its rows. Nothing else: what is here has no test."""
    least = float(sys.argv[1])
    frame = transform(stage().read("silver.orders"), least)
    stage().write(frame)
    stage().output("least", least)


if __name__ == "__main__":
    main()
