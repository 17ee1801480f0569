"""Tests of stages: given rows in, expected rows out, in YAML beside the pipeline.

    tests:
      - name: an order without a store is set aside
        stage: silver
        run: {date: "2026-01-31"}
        given:
          bronze.orders:
            - {order_id: 1, store: A, amount: 10}
            - {order_id: 2, amount: 5}
        expect:
          rows: [{order_id: 1, amount: 10.00}]
          rejected: 1

A test runs the stage itself, in this process, on a lake of its own that is gone afterwards: the same reading, checks,
casts and merge as in a run. Stages of type sql, clean and python that write a table can be tested; what lies beside
the pipeline, such as modules, is there for a function as in a run. `rows` are what stands in the output table then;
columns that no expected row names are not looked at.
"""

from adutora.testing.cases import Case, CaseFile, load_cases, tests_path
from adutora.testing.running import Result, run_case

__all__ = ["Case", "CaseFile", "Result", "load_cases", "run_case", "tests_path"]
