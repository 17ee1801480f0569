"""Run a `spark` stage: an ordinary PySpark application, in this process, with the stage's session and inputs."""

import contextlib
import os
import runpy
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adutora import spark as api
from adutora.errors import ConfigError, DataError, TemporaryError
from adutora.runtime.inputs import profile, refused
from adutora.runtime.outputs import checked_outputs
from adutora.runtime.spark.engine import Engine, computing, staged
from adutora.runtime.spark.failures import described, failure
from adutora.runtime.spark.result import Shape, show_result, write_result
from adutora.runtime.user_code import guarded, importing_from, printing_to
from adutora.spec.nearest import did_you_mean
from adutora.stages.spark.spec import Spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from adutora.runtime.context import StageContext


def run(spec: Spark, ctx: "StageContext") -> None:
    """Run the application and write the rows that it gave. Raises ConfigError where it is not there or gave none."""
    app = find_app(spec.app, ctx.task.files_root)
    with staged(ctx) as staging:
        with computing(ctx, staging, spec.executors, spec.conf) as engine:
            ctx.load_inputs()
            profile(ctx.con)
            shape = _run_app(app, spec, ctx, engine)
        if ctx.output is not None:
            if shape is None:
                message = f"{spec.app} ended without giving rows, and the stage writes {ctx.output.table}"
                raise DataError(message, hint="call `stage().write(frame)`, from adutora.spark")
            ctx.write(show_result(ctx, staging, shape), rejected=refused(ctx))


def find_app(app: str, root: Path) -> Path:
    """Return the application's file: absolute in the image, else beside the pipeline. Raises ConfigError."""
    path = Path(app)
    if not path.is_absolute():
        path = (root / app).resolve()
        if not path.is_relative_to(root.resolve()):
            raise ConfigError(f"{app} leaves the pipeline's folder", hint="put the file itself there")
    if path.is_file():
        return path
    near = did_you_mean(path.name, [each.name for each in path.parent.glob("*.py")]) if path.parent.is_dir() else None
    raise ConfigError(f"there is no application {app}" + ("" if Path(app).is_absolute() else f" in {root}"), hint=near)


def _run_app(app: Path, spec: Spark, ctx: "StageContext", engine: Engine) -> Shape | None:
    given: list[Shape] = []
    root = app.parent if Path(spec.app).is_absolute() else ctx.task.files_root

    def write(frame: "DataFrame") -> None:
        if given:
            raise ConfigError("the application gives rows a second time", hint="unite the DataFrames, and write once")
        if engine.session().sparkContext._jsc is None:
            raise ConfigError("the application has stopped Spark, and gives rows afterwards", hint="write, then stop")
        shape = Shape(tuple(frame.columns))
        twice = {name for name in shape.names if [each.casefold() for each in shape.names].count(name.casefold()) > 1}
        if twice:
            raise ConfigError(f"columns of the same name: {', '.join(sorted(twice))}", hint="rename them, or drop one")
        write_result(frame, engine.staging)
        given.append(shape)

    def output(name: str, value: Any) -> None:
        ctx.outcome.outputs = checked_outputs({**ctx.outcome.outputs, name: value})

    frames = engine.inputs()
    session = engine.session()
    _ship(engine, app)
    stage = api.Stage(session, ctx.task.params, frames, write, output, ctx.output.table if ctx.output else None)
    with guarded(spec.app, root, ctx.log, described), _as_main(app, spec.args or (), stage), printing_to(ctx.log):
        _execute(app, engine)
    return given[0] if given else None


def _execute(app: Path, engine: Engine) -> None:
    """Run the file. Raises what it raises; TemporaryError where Spark, and not the application, is in trouble."""
    try:
        runpy.run_path(str(app), run_name="__main__")
    except SyntaxError as error:
        if error.filename == str(app):
            raise ConfigError(f"{app.name}:{error.lineno}: {error.msg}") from None
        raise
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
    except Exception as error:
        found = failure(error, engine.starting)
        if isinstance(found, TemporaryError):
            raise found from error
        raise


@contextlib.contextmanager
def _as_main(app: Path, args: Sequence[str], stage: "api.Stage") -> Iterator[None]:
    """Let an application find itself as `python app.py args…` would: arguments, modules beside it, and the stage."""
    before = sys.argv
    sys.argv = [str(app), *args]
    api._current.append(stage)
    try:
        with importing_from(app.parent):
            yield
    finally:
        api._current.pop()
        sys.argv = before


def _ship(engine: Engine, app: Path) -> None:
    """Let Python's workers, wherever they are, import the modules that stand beside the application."""
    modules = [path for path in _modules(app.parent) if path != app]
    if not modules:
        return
    archive = engine.ctx.scratch / "app.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for path in modules:
            out.write(path, path.relative_to(app.parent))
    before = list(sys.path)
    engine.session().sparkContext.addPyFile(str(archive))
    sys.path[:] = before  # here they are found beside the application


def _modules(root: Path) -> Iterator[Path]:
    """Yield the Python files that can be imported from a folder; environments and hidden folders are left out."""
    for folder, below, files in os.walk(root):
        below[:] = sorted(
            name for name in below if name.isidentifier() and not (Path(folder) / name / "pyvenv.cfg").exists()
        )
        yield from (
            Path(folder) / name
            for name in sorted(files)
            if name.removesuffix(".py").isidentifier() and name.endswith(".py")
        )
