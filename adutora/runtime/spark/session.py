"""Start and stop Spark: one JVM, in the background while the stage's inputs are loaded."""

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adutora.errors import AdutoraError
from adutora.runtime.spark.failures import not_started
from adutora.runtime.spark.jars import spark_home
from adutora.runtime.spark.java import check_java, check_pyspark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STOPPING: Final = 15.0  # seconds that Spark has to stop, before its process is ended


class Starting:
    """A session that is being started. `session()` waits for it."""

    def __init__(self, settings: Mapping[str, str], scratch: Path) -> None:
        check_pyspark()
        check_java()
        self._settings, self._scratch = settings, scratch
        self._session: SparkSession | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._start, name="spark-start", daemon=True)
        self._thread.start()

    def session(self) -> "SparkSession":
        """Return the session. Raises AdutoraError where Spark does not start."""
        self._thread.join()
        if self._error is not None:
            error, self._error = self._error, None
            raise error if isinstance(error, AdutoraError) else not_started(error) from error
        assert self._session is not None  # noqa: S101 - the thread leaves one or the other
        return self._session

    def ended(self) -> int | None:
        """Return the exit code of Spark's JVM, None while it lives."""
        from pyspark import SparkContext

        process: Any = getattr(SparkContext._gateway, "proc", None)
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)  # a connection breaks a moment before the process is gone
        code: int | None = process.poll()
        return code

    def executors(self) -> int | None:
        """Return how many executors there are, None while Spark starts."""
        if self._session is None:
            return None
        return int(self._session.sparkContext._jsc.sc().getExecutorMemoryStatus().size()) - 1

    def app_id(self) -> str:
        """Return the id that Spark gave this application."""
        return str(self._session.sparkContext.applicationId) if self._session is not None else ""

    def _start(self) -> None:
        try:
            self._session = _launch(self._settings, self._scratch)
        except BaseException as error:
            self._error = error

    def stop(self) -> None:
        """Stop Spark, whatever state it is in; executors go with it."""
        self._thread.join(0 if self._session is None else None)
        stopping = threading.Thread(target=self._stop, name="spark-stop", daemon=True)
        stopping.start()
        stopping.join(STOPPING)
        _end_jvm()

    def _stop(self) -> None:
        # In a thread of its own: the main one may have been torn out of an answer of the JVM, by a signal.
        if self._session is not None:
            with contextlib.suppress(Exception):
                self._session.stop()


@contextlib.contextmanager
def started(settings: Mapping[str, str], scratch: Path) -> Iterator[Starting]:
    """Start Spark, and stop it at the end, come what may."""
    starting = Starting(settings, scratch)
    try:
        yield starting
    finally:
        starting.stop()


def _launch(settings: Mapping[str, str], scratch: Path) -> "SparkSession":
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._active_spark_context is not None:
        raise AdutoraError("a Spark session is there already in this process")
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / "spark").mkdir(exist_ok=True)
    # Settings hold keys: they go by a file that nobody else can read, not by the command line that everybody can.
    file = scratch / "spark.properties"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.writelines(f"{name}={_escaped(value)}\n" for name, value in settings.items())
    logging.getLogger("SQLQueryContextLogger").disabled = True  # pages of JSON for each error, which we tell ourselves
    with _environment(file):
        SparkContext._ensure_initialized()
    file.unlink()
    session = SparkSession(SparkContext(conf=SparkConf()))
    session._jsparkSession.sessionState()  # reads all settings, which else the first query does
    return session


def _escaped(value: str) -> str:
    """Return a value as a line of Java's properties has it."""
    plain = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(each if " " <= each <= "~" else _unicode(each) for each in plain)


def _unicode(character: str) -> str:
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


@contextlib.contextmanager
def _environment(file: Path) -> Iterator[None]:
    """Let Spark's launcher see our settings and no one else's."""
    own = {
        "PYSPARK_SUBMIT_ARGS": f"--properties-file {shlex.quote(str(file))} pyspark-shell",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": os.environ.get("ADUTORA_POD_IP") or "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(file.parent / "spark"),
        "SPARK_CONF_DIR": str(file.parent / "no-conf"),
        "SPARK_ENV_LOADED": "1",
        "SPARK_HOME": str(spark_home()),
    }
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            if name.startswith("PYSPARK_") and name != "PYSPARK_SUBMIT_ARGS":
                continue  # workers are started with these
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_jvm() -> None:
    """End the JVM, and let this process be able to start another."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    process: Any = getattr(gateway, "proc", None)
    if gateway is not None:
        with contextlib.suppress(Exception):
            gateway.shutdown()
    if process is not None:
        process.stdin.close()  # the sign for it to end
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    SparkContext._gateway = SparkContext._jvm = None
