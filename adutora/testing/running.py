"""A test runs: the stage itself, on a lake and files of its own, and then the look at its table."""

import datetime as dt
import logging
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adutora import stages
from adutora.dagconfig import DagConfig, Json, StageConfig
from adutora.errors import AdutoraError, ConfigError
from adutora.io import duck
from adutora.io.duck import literal, quote, quote_table
from adutora.io.files.inputs import find_input_files
from adutora.io.files.options import ReadOptions
from adutora.io.files.read import read_files
from adutora.io.lake import Commit, Lake, WriteRequest
from adutora.local.params import parse_params
from adutora.runtime.context import StageContext
from adutora.runtime.substitution import as_text
from adutora.runtime.task import RunInfo, Task
from adutora.spec.base import Column
from adutora.spec.nearest import did_you_mean
from adutora.testing.cases import FORMATS, Case, Given, Located
from adutora.testing.compare import Difference, Row, difference
from adutora.testing.given import add_system_columns, make_relation

_RELATION, _VIEW = "__adutora_given", "__adutora_ref.result"
_ANY_DAY = "2000-01-01"  # where neither the stage nor the test asks for a date


@dataclass
class Result:
    """What became of a test. `problems` are words; empty, with no `difference`, if it passed."""

    name: str
    stage: str
    place: str
    problems: list[str] = field(default_factory=list)
    difference: Difference = field(default_factory=Difference)
    reasons: list[str] = field(default_factory=list)  # of rows that were set aside

    @property
    def passed(self) -> bool:
        """All was as expected."""
        return not self.problems and not self.difference


def run_case(located: Located, config: DagConfig, beside: Path) -> Result:
    """Run one test. Raises ConfigError where what is given cannot be; a stage that fails is a result.

    `beside` is the pipeline's folder, which has the modules of its `python` stages.
    """
    with tempfile.TemporaryDirectory(prefix="adutora-test-") as folder:
        return _Trial(located, config, Path(folder), beside).run()


class _Trial:
    def __init__(self, located: Located, config: DagConfig, folder: Path, beside: Path) -> None:
        self.case, self.folder, self.beside = located.case, folder, beside
        self.what = f"{located.place}: test {located.case.name!r}"
        self.files = folder / "files"
        self.lake: Lake = Lake(str(folder / "lake"))
        self.columns = {
            str(item["name"]): item.get("columns", ())
            for item in config.stage(self.case.stage).inputs
            if "file" in item
        }
        self.table = str((config.stage(self.case.stage).output or {})["table"])
        self.config = self._apart(config)
        self.started = f"{self.case.run.date or _ANY_DAY}T12:00:00+00:00"
        self.result = Result(self.case.name, self.case.stage, located.place)

    @property
    def stage(self) -> StageConfig:
        """The stage under test."""
        return self.config.stage(self.case.stage)

    def run(self) -> Result:
        """Put everything in place, run the stage and compare."""
        for name in ("files", "task"):
            (self.folder / name).mkdir()
        if self.stage.type == "python":
            self._link_modules()
        with closing(duck.connect(None, 1, self.folder)) as con:
            for name, given in self.case.given.items():
                self._give(con, name, given)
        context = StageContext(self._task(), logging.getLogger("adutora.testing"))
        try:
            stages.runner(self.stage.type)(context.spec, context)
        except AdutoraError as error:
            self._failed(error)
        else:
            self._succeeded(context.outcome.rows_rejected or 0)
        finally:
            if "con" in vars(context):
                context.con.close()
        return self.result

    # What is given

    def _link_modules(self) -> None:
        """Put what lies beside the pipeline into the test's own folder, but for files that the test gives."""
        given = {f"{name}.{kind}" for name in self.case.given for kind in (*FORMATS, "parquet")}
        for path in self.beside.resolve().iterdir():
            if path.name not in given and not path.name.startswith("."):
                (self.files / path.name).symlink_to(path)

    def _apart(self, config: DagConfig) -> DagConfig:
        """Return the config with files of the test's own in place of the stage's."""
        stage = config.stage(self.case.stage)
        inputs = tuple(self._input(item) if "file" in item else item for item in stage.inputs)
        lake: Json = {"root": "lake", "connection": None, "layers": {}}
        return replace(
            config,
            lake=lake,
            stages=tuple(replace(stage, inputs=inputs) if each is stage else each for each in config.stages),
        )

    def _input(self, item: Json) -> Json:
        name = str(item["name"])
        kind = self.case.given[name].format
        if kind is not None:
            return {**item, "file": f"{name}.{kind}", "format": kind}
        kept = {key: value for key, value in item.items() if key not in ("csv", "log", "columns")}
        return {**kept, "file": f"{name}.parquet", "format": "parquet"}

    def _give(self, con: Any, name: str, given: Given) -> None:
        what = f"{self.what}, {name}"
        item = next((item for item in self.stage.inputs if item.get("name") == name and "file" in item), None)
        if given.format is not None:
            path = self.files / f"{name}.{given.format}"
            path.write_text(getattr(given, given.format), encoding="utf-8")
            if item is not None:
                return
            self._read_table(con, path.name, given.format, name)
        else:
            make_relation(con, _RELATION, given.rows or [], self._types(name, given), what)
        if item is not None:
            con.execute(f"COPY {_RELATION} TO {literal(str(self.files / f'{name}.parquet'))} (FORMAT parquet)")
            return
        self._write_table(con, name, what)

    def _types(self, name: str, given: Given) -> dict[str, str]:
        """Types of columns: the test's own, else those that the pipeline declares for the table or file."""
        declared = self.columns.get(name) or self.config.tables.get(name, {}).get("columns") or ()
        return {**{str(column["name"]): str(column["type"]) for column in declared}, **(given.columns or {})}

    def _read_table(self, con: Any, path: str, kind: str, name: str) -> None:
        declared = [Column.model_validate(each) for each in self.config.tables.get(name, {}).get("columns", ())]
        options = ReadOptions(kind, columns=declared or None)
        read_files(
            con,
            find_input_files(path, self.files),
            options=options,
            relation=f"{_RELATION}_read",
            rejects=f"{_RELATION}_bad",
            scratch=self.folder,
        )
        con.execute(f"CREATE OR REPLACE TEMP TABLE {_RELATION} AS SELECT * FROM {_RELATION}_read")
        bad = con.execute(f"SELECT _reason FROM {_RELATION}_bad LIMIT 1").fetchall()
        if bad:
            raise ConfigError(f"{self.what}, {name}: {bad[0][0]}", hint="mend the text, or the column's type")

    def _write_table(self, con: Any, name: str, what: str) -> None:
        reads_new = any(item.get("table") == name and item.get("read") == "new" for item in self.stage.inputs)
        writers = [each.output for each in self.config.stages if each.output and each.output["table"] == name]
        if reads_new or any(writer["mode"] == "append" for writer in writers):
            add_system_columns(con, _RELATION, f"{_ANY_DAY}T00:00:00+00:00")
        commit = Commit("given", self.config.dag_id, "given", name, dt.datetime.fromisoformat(self.started))
        by = tuple(self.config.tables.get(name, {}).get("partitionBy") or ())
        try:
            self.lake.write(con, WriteRequest(name, _RELATION, commit, partition_by=by))
        except AdutoraError as error:
            raise ConfigError(f"{what}: {error.message}", hint=error.hint) from error

    # The stage

    def _task(self) -> Task:
        moment = self.case.run
        run = RunInfo(
            id=moment.id,
            date=moment.date or _ANY_DAY,
            scheduled_at=moment.scheduledAt,
            interval_start=moment.intervalStart,
            interval_end=moment.intervalEnd,
            started_at=self.started,
        )
        return Task(
            config=self.config,
            stage_name=self.case.stage,
            run=run,
            params=_params(self.config, self.case, self.what),
            given_params=(),
            attempt=1,
            files_root=self.files,
            project_root=self.folder,
            state_dir=self.folder / "state",
            task_dir=self.folder / "task",
            cwd=self.folder,
            lake_root=str(self.folder / "lake"),
            item=self.case.item,
            outputs=self.case.outputs,
        )

    # What came of it

    def _failed(self, error: AdutoraError) -> None:
        wanted = self.case.expect.error
        if wanted is None:
            self.result.problems.append(f"the stage failed: {error}")
        elif wanted not in error.message:
            self.result.problems.append(f"the error does not contain {wanted!r}: {error.message}")

    def _succeeded(self, rejected: int) -> None:
        expect, result = self.case.expect, self.result
        with closing(duck.connect(None, 1, self.folder)) as con:
            result.reasons = self._reasons(con)
            if expect.error is not None:
                result.problems.append(f"the stage succeeded, and should fail with {expect.error!r}")
                return
            if expect.rejected is not None and expect.rejected != rejected:
                result.problems.append(f"{expect.rejected} rejected rows expected, {rejected} came")
            if expect.rows is not None:
                self._compare(con, expect.rows)

    def _reasons(self, con: Any) -> list[str]:
        if self.lake.rejected(con, self.table, _VIEW) is None:
            return []
        found = con.execute(f"SELECT _reason FROM {quote_table(_VIEW)} ORDER BY 1 LIMIT 10").fetchall()
        return [str(reason) for (reason,) in found]

    def _compare(self, con: Any, rows: Sequence[Row]) -> None:
        self.lake.register(con, self.table, _VIEW)
        there = [str(row[0]) for row in con.execute(f"DESCRIBE {quote_table(_VIEW)}").fetchall()]
        names = list(dict.fromkeys(name for row in rows for name in row))
        unknown = [name for name in names if name not in there]
        for name in unknown:
            hint = did_you_mean(name, there)
            self.result.problems.append(f"{self.table} has no column {name!r}" + (f"; {hint}" if hint else ""))
        if unknown:
            return
        shown = names or [name for name in there if not name.startswith("_")]
        found = con.execute(f"SELECT {', '.join(map(quote, shown))} FROM {quote_table(_VIEW)}").fetchall()
        actual = [dict(zip(shown, row, strict=True)) for row in found]
        expected = [{name: row.get(name) for name in shown} for row in rows]
        key = self.config.tables.get(self.table, {}).get("key") or ()
        self.result.difference = difference(expected, actual, key, order=self.case.expect.order)


def _params(config: DagConfig, case: Case, what: str) -> Json:
    given = [f"{name}={as_text(value)}" for name, value in case.params.items()]
    # A parameter without default that this stage does not use need not be given.
    needless: list[Mapping[str, Any]] = [
        param for param in config.params if param["name"] in case.params or param.get("default") is not None
    ]
    try:
        return parse_params([dict(param) for param in needless], given)[0]
    except ConfigError as error:
        raise ConfigError(f"{what}: {error.message}", hint=error.hint) from error
