"""Spark in a stage's own process: the process is the driver, on a laptop with local[*], on a cluster with executors.

Spark computes; what it gives is Parquet in a staging folder, and the stage commits that as any stage does. So a table
has one writer, and checks, rejected rows and exactly-once are those of every stage.
"""
