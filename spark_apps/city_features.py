"""City features: how many new companies a city has, and their capital. Input `companies`: one row per company.

The same as the `sql` stage of examples/02-city-features, as a PySpark application.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as f

from adutora.spark import stage


def transform(companies: DataFrame) -> DataFrame:
    """Return one row per `cidade`: `quantidade_empresas`, and mean and total of `capital_social` (BRL)."""
    return companies.groupBy("cidade").agg(
        f.count("*").alias("quantidade_empresas"),
        f.avg("capital_social").alias("capital_social_medio"),
        f.sum("capital_social").alias("capital_social_total"),
    )


def main() -> None:
    """Read the stage's input and give the stage its rows."""
    stage().write(transform(stage().read("companies")).orderBy("cidade"))


if __name__ == "__main__":
    main()
