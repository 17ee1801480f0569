"""Two engines side by side: the stage's own DuckDB, and one Spark for all tests of a module. They need Java."""

import importlib.util
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adutora.dagconfig import StageConfig
from adutora.runtime.context import StageContext
from adutora.runtime.spark.engine import Engine
from adutora.runtime.spark.result import Shape, show_result, write_result
from adutora.runtime.spark.session import Starting
from adutora.runtime.spark.settings import settings
from adutora.runtime.spark.staging import Staging
from adutora.runtime.substitution import Scope, bind
from adutora.sparksql import translate
from adutora.stages.sql import on_spark
from adutora.stages.sql.run import execute
from tests.conftest import _task
from tests.integration.gateway import Gateway
from tests.spark.pods import QUICK
from tests.spark_cases import OTHER, TABLE

Rows = list[tuple[Any, ...]]
os.environ |= QUICK  # for commands and sessions of this process; pods are told by themselves
# They run in an environment of their own, `.venv-spark`: see `make test`.
collect_ignore_glob = [] if importlib.util.find_spec("pyspark") else ["test_*.py"]


def context(root: Path, run: str, inputs: Sequence[str] = (), output: str | None = None) -> StageContext:
    stage = StageConfig(
        name="stage", type="sql", block={"engine": "spark", "query": "SELECT 1"}, depends_on=(), retries=0, retry_delay=1,
        timeout=600, resources={"cpu": 1000, "memory": 2 << 30}, inputs=tuple({"table": name} for name in inputs),
        output={"table": output} if output else None,
    )  # fmt: skip
    return StageContext(_task(root, stage, {}, run, "2026-05-10T12:00:00+00:00"), logging.getLogger("adutora.stage"))


class Both:
    """Tables `t` and `u` in a lake, and queries over them on both engines."""

    def __init__(self, root: Path) -> None:
        for name, ddl in (("t", TABLE), ("u", OTHER)):
            made = context(root, name, output=f"bronze.{name}")
            made.con.execute(ddl)
            made.write(name)
            made.con.close()
        self.ctx = context(root, "both", ("bronze.t", "bronze.u"))
        self.starting = Starting(settings(self.ctx, None, None), self.ctx.scratch)
        self.staging = Staging(self.ctx.scratch)
        self.ctx.load_inputs()
        self.tables = self._views()

    def _views(self) -> dict[str, str]:
        """The tables as the lake has them, under the names `t` and `u`, without the system's columns."""
        frames = Engine(self.ctx, self.staging, self.starting).inputs()
        for name, frame in frames.items():
            names = [column for column in frame.columns if not column.startswith("_")]
            short = name.removeprefix("bronze.")
            frame.select(*names).persist().createOrReplaceTempView(f"view_{short}")
            listed = ", ".join(f'"{column}"' for column in names)
            self.ctx.con.execute(f"CREATE TABLE {short} AS SELECT {listed} FROM {name}")
        return {"t": "view_t", "u": "view_u"}

    def on_duckdb(self, query: str, scope: Scope) -> tuple[Shape, Rows]:
        for made in ("VIEW IF EXISTS named", "TABLE IF EXISTS good", "TABLE IF EXISTS __duck"):
            self.ctx.con.execute(f"DROP {made}")
        execute(self.ctx.con, query, scope, "__duck")
        found = self.ctx.con.sql("SELECT * FROM __duck")
        return Shape(tuple(found.columns), tuple(found.types)), found.fetchall()

    def on_spark(self, query: str, scope: Scope, shape: Shape) -> Rows:
        text, values = bind(query, scope)
        statements = translate(text)
        tables, session = dict(self.tables), self.starting.session()
        for number, statement in enumerate(statements[:-1]):
            frame = on_spark._query(session, statement, tables, values)
            frame = frame.toDF(*statement.columns) if statement.columns else frame
            tables[str(statement.name)] = f"made_{number}"
            frame.createOrReplaceTempView(f"made_{number}")
        frame = on_spark._query(session, statements[-1], tables, values)
        write_result(on_spark._ordered(frame, statements[-1], shape), self.staging, shape)
        return self.ctx.con.execute(f"SELECT * FROM {show_result(self.ctx, self.staging, shape)}").fetchall()

    def compare(self, query: str, scope: Scope | None = None) -> None:
        """The same rows, in any order; doubles to twelve digits."""
        scope = scope or Scope()
        shape, rows = self.on_duckdb(query, scope)
        found = self.on_spark(query, scope, shape)
        assert sorted(map(plain, found), key=repr) == sorted(map(plain, rows), key=repr)


def plain(value: Any) -> Any:
    if isinstance(value, float):
        return str(value) if not math.isfinite(value) else float(f"{value:.12g}")
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return {name: plain(each) for name, each in value.items()} if isinstance(value, dict) else value


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    pair = Both(tmp_path_factory.mktemp("both"))
    yield pair
    pair.starting.stop()
    pair.ctx.con.close()


@pytest.fixture
def gateway(tmp_path: Path, program: Callable[[str], str]) -> Iterator[Gateway]:
    """An S3 gateway with the bucket `lake`."""
    (tmp_path / "gateway").mkdir()
    server = Gateway(program("versitygw"), tmp_path / "gateway", "lake")
    yield server
    server.stop()
