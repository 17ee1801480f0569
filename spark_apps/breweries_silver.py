"""Breweries, tidied. Input `bronze.breweries`: rows as the open brewery list has them, every column text.

Rows without a name or country, or with a latitude that cannot be, are not dropped here: the checks of the table that
the stage writes set them aside, with the reason.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f

from adutora.spark import stage


def transform(breweries: DataFrame) -> DataFrame:
    """Return `id`, `name`, `type`, `city`, `state`, `country`, `phone`, and `latitude` and `longitude` in degrees."""
    return breweries.select(
        "id",
        _tidy("name"),
        f.lower(f.trim("brewery_type")).alias("type"),
        _tidy("city"),
        _tidy("state_province").alias("state"),
        _tidy("country"),
        _digits("phone"),
        f.expr("try_cast(latitude AS DOUBLE)").alias("latitude"),
        f.expr("try_cast(longitude AS DOUBLE)").alias("longitude"),
    )


def _tidy(name: str) -> Column:
    """Return a text without blanks around it; null where nothing is left."""
    text = f.trim(f.col(name).cast("string"))
    return f.when(text != "", text).alias(name)


def _digits(name: str) -> Column:
    """Return a telephone number as digits, with `+` where there is one; null where nothing is left."""
    number = f.regexp_replace(f.col(name).cast("string"), "[^0-9+]", "")
    return f.when(number != "", number).alias(name)


def main() -> None:
    """Read the stage's input and give the stage its rows."""
    stage().write(transform(stage().read("bronze.breweries")))


if __name__ == "__main__":
    main()
