"""Tests of the application: plain pytest, on a small Spark in this process. Needs Java 17 or 21."""

from collections.abc import Iterator

import pytest
from app import transform
from pyspark.sql import Row, SparkSession


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A Spark on this machine."""
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.shuffle.partitions", "1").getOrCreate()
    yield session
    session.stop()


def test_small_orders_do_not_count(spark: SparkSession) -> None:
    orders = spark.createDataFrame([("north", 10.0), ("north", 1.0), ("south", 0.5)], "region string, amount double")
    assert transform(orders, least=1.0).collect() == [Row(region="north", orders=2, total=11.0)]
