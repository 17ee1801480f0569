"""What a stage's `run` is given: its inputs, its engine, the lake, and a place for its outcome."""

import datetime as dt
import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from adutora.dagconfig import StageConfig, digest
from adutora.errors import ConfigError
from adutora.io import duck
from adutora.io.lake import Commit, Lake
from adutora.io.memory import give_back
from adutora.runtime.outcome import Outcome
from adutora.runtime.substitution import Scope, substitute
from adutora.runtime.task import Task
from adutora.spec.base import Input, Output, Resources, Spec, Table
from adutora.stages import spec_model

if TYPE_CHECKING:
    from adutora.io.connections import Connection
    from adutora.io.files import Reading
    from adutora.io.ledger import Batch, Ledger

# Of a stage's memory, what DuckDB's buffers may take; the rest is for Python, Arrow and the Parquet writer.
DUCKDB_SHARE = 0.7
# Beside Spark's driver, which takes half.
BESIDE_SPARK_SHARE = 0.25


class StageContext:
    """One try of one stage. Heavy parts are made when they are first asked for."""

    def __init__(self, task: Task, log: logging.Logger) -> None:
        self.task = task
        self.log = log
        self.outcome = Outcome()
        self.scope = Scope.of(task)
        self.config: StageConfig = task.stage
        self.input_versions: dict[str, Any] = {}
        self.readable: list[str] = []  # files that a sealed connection may still read
        self.readings: list[Reading] = []
        self.rejects: list[str] = []  # relations of rows that an input's declared columns refused
        self.changed_partitions: str | None = None
        self.ledgers: dict[str, int] = {}
        self._loaded = False

    @cached_property
    def spec(self) -> Spec:
        """The stage's block, substituted."""
        return substitute(spec_model(self.config.type).model_validate(self.config.block), self.scope)

    @cached_property
    def inputs(self) -> list[Input]:
        """The inputs, substituted."""
        return [substitute(Input.model_validate(item), self.scope) for item in self.config.inputs]

    @property
    def raw_inputs(self) -> list[Input]:
        """The inputs as written: which `$(…)` a path comes from decides what it is relative to."""
        return [Input.model_validate(item) for item in self.config.inputs]

    @cached_property
    def output(self) -> Output | None:
        """How the stage writes its table."""
        return Output.model_validate(self.config.output) if self.config.output else None

    @property
    def stage(self) -> "StageContext":
        """The stage's name, inputs, output and resources stand on the context itself."""
        return self

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.config.name

    @property
    def resources(self) -> Resources:
        """CPU, memory and scratch of this try."""
        return Resources.model_validate(
            {key: f"{value}m" if key == "cpu" else value for key, value in self.config.resources.items()}
        )

    @cached_property
    def scratch(self) -> Path:
        """A folder for spilling, which goes when the process ends."""
        path = self.task.task_dir / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    @cached_property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The stage's DuckDB, limited to a share of the stage's memory."""
        memory = self.task.memory or self.config.resources.get("memory")
        share = BESIDE_SPARK_SHARE if self.config.engine else DUCKDB_SHARE
        limit = int(memory * share) if memory else None
        cpu = self.config.resources.get("cpu")
        threads = self.task.threads or (max(1, round(cpu / 1000)) if cpu else None)
        return duck.connect(limit, threads, self.scratch, self.config.resources.get("scratch"))

    @cached_property
    def lake(self) -> Lake:
        """The tables."""
        return Lake(self.task.lake_root, self.task.lake_layers, self.lake_options)

    @cached_property
    def lake_options(self) -> dict[str, str] | None:
        """Endpoint and keys of an s3:// lake."""
        name = self.task.config.lake.get("connection")
        if name is None:
            return None
        from adutora.io.connections import declared, lake_options

        return lake_options(declared(self.task.config.connections), name, self.task.project_root)

    def connection(self, name: str) -> "Connection":
        """Return a connection with its secrets. Raises ConfigError for one that is not declared."""
        from adutora.io.connections import declared, resolve

        return resolve(declared(self.task.config.connections), name, self.task.project_root)

    def table_spec(self, name: str) -> Table:
        """Return the description of a table, a bare one where the pipeline gives none."""
        return Table.model_validate(self.task.config.tables.get(name, {"name": name}))

    def load_inputs(self) -> None:
        """Register each input under its SQL name, count rows and remember versions. Does nothing twice."""
        if self._loaded:
            return
        self._loaded = True
        from adutora.runtime.inputs import load_input

        for item, raw in zip(self.inputs, self.raw_inputs, strict=True):
            load_input(self, item, raw)
        give_back()

    def write(
        self, relation: str, *, rejected: str | None = None, rows_in: int | None = None, preserving: bool = False
    ) -> None:
        """Commit the rows of a relation to the stage's output table; see `runtime.output`."""
        from adutora.runtime.output import write_output
        from adutora.runtime.upkeep import keep_up

        write_output(self, relation, rejected=rejected, rows_in=rows_in, preserving=preserving)
        keep_up(self, self.require_output().table)

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the result: configuration, parameters, item and input versions."""
        table = self.config.output and self.task.config.tables.get(self.config.output["table"])
        return digest(
            {
                "stage": {**self.config.to_json(), "retries": 0, "retryDelaySeconds": 0, "timeoutSeconds": 0},
                "table": table,
                "params": self.task.params,
                "item": self.task.item,
                "outputs": self.task.outputs,
                "date": self.task.run.date,
                "inputs": self.input_versions,
                "fullRefresh": self.task.full_refresh,
            }
        )[:32]

    def commit(self) -> Commit:
        """Return the identity of this stage's write."""
        return Commit(
            run=self.task.run_id,
            pipeline=self.task.config.dag_id,
            stage=self.task.label,
            fingerprint=self.fingerprint,
            at=self.task.started_at.astimezone(dt.UTC),
            ledger=dict(self.ledgers),
        )

    def ledger(self, name: str) -> "Ledger":
        """Return a ledger of what this stage has read, kept beside the lake."""
        from adutora.io.ledger import Ledger

        return Ledger(self.task.lake_root, f"{self.task.config.dag_id}/{self.task.label}/{name}", self.lake_options)

    def take(self, ledger: "Ledger", batch: "Batch") -> None:
        """Let this stage's commit carry a ledger's batch."""
        self.ledgers[ledger.id] = batch.number

    def require_output(self) -> Output:
        """Return the output. Raises ConfigError where there is none, which validation says earlier."""
        if self.output is None:
            raise ConfigError(f"stage {self.config.name!r} has no output")
        return self.output
