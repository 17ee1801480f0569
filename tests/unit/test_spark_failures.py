"""What messages of Spark, taken from real runs, mean."""

import pytest

from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError
from adutora.runtime.spark.failures import _gone, _judge, not_started, short

CAST = """[CAST_INVALID_INPUT] The value 'São Paulo' of the type "STRING" cannot be cast to "INT" because it is malformed. \
Correct the value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return NULL \
instead. SQLSTATE: 22018
== SQL (line 1, position 191) ==
...CAST(s AS INT) END AS c"""
LOST = """An error occurred while calling o61.parquet.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 3.0 failed 4 times, most recent \
failure: Lost task 0.3 in stage 3.0 (TID 9) (10.1.0.7 executor 2): ExecutorLostFailure (executor 2 exited caused by one of \
the running tasks) Reason: The executor with id 2 exited with exit code {code}.
Driver stacktrace:
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2000)"""
UDF = """An exception was thrown from the Python worker. Please see the stack trace below.
Traceback (most recent call last):
  File "/work/files/app.py", line 7, in bad
    raise ValueError("no such city")
ValueError: no such city
\n\tat org.apache.spark.api.python.BasePythonRunner"""


@pytest.mark.parametrize(
    ("text", "name", "kind", "part"),
    [
        (CAST, "NumberFormatException", DataError, "The value 'São Paulo' of the type"),
        ("[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012", "ArithmeticException", DataError, "Division by zero."),
        ("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column `x` cannot be resolved.", "AnalysisException", ConfigError, "`x`"),
        (LOST.format(code=137), "Py4JJavaError", DataError, "out of memory"),
        (LOST.format(code=1), "Py4JJavaError", TemporaryError, "lost executors"),
        ("Job 0 cancelled because SparkContext was shut down", "Py4JJavaError", TemporaryError, "SparkContext was shut down"),
        ("Lost task 1.0: java.nio.file.AccessDeniedException: s3a://b/x: (Service: S3, Status Code: 403)", "X", ConfigError, "refuses Spark's keys"),
        ("S3 SlowDown: Please reduce your request rate (Service: S3, Status Code: 503)", "X", TemporaryError, "throttles"),
        ("software.amazon.awssdk.services.s3.model.S3Exception: (Service: S3, Status Code: 500)", "X", TemporaryError, "did not answer"),
        ("[CODEC_NOT_AVAILABLE.WITH_CONF_SUGGESTION] The codec nope is not available.", "IllegalArgumentException", ConfigError, "The codec nope"),
        ("java.io.IOException: No space left on device", "X", TemporaryError, "scratch is full"),
        ("java.lang.OutOfMemoryError: Java heap space", "Py4JJavaError", DataError, "executors.memory"),
        (UDF, "PythonException", DataError, "ValueError: no such city"),
    ],
)  # fmt: skip
def test_whose_fault_it_is(text: str, name: str, kind: type[AdutoraError], part: str) -> None:
    found = _judge(text, name)
    assert type(found) is kind
    assert part in str(found)
    assert "\n" not in str(found)


def test_one_line_without_the_stack() -> None:
    line = short(CAST)
    assert line.startswith("[CAST_INVALID_INPUT] The value 'São Paulo'")
    assert "SQLSTATE" not in line
    assert "== SQL" not in line
    assert len(short("x" * 10_000)) <= 600


START = "An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n: {}\n\tat org.apache.spark.SparkConf"


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        (
            START.format("java.lang.IllegalArgumentException: spark.memory.fraction should be between 0 and 1 (was '7.0')."),
            ConfigError, "Spark refuses its settings: IllegalArgumentException: spark.memory.fraction should be between 0 and 1 (was '7.0').",
        ),
        (START.format("java.lang.ClassNotFoundException: nope"), ConfigError, "Spark refuses its settings: ClassNotFoundException: nope"),
        (START.format("java.net.BindException: Cannot assign requested address"), TemporaryError, "Spark cannot listen: BindException: Cannot assign requested address"),
        (START.format("java.io.IOException: no"), AdutoraError, "Spark does not start: IOException: no"),
    ],
)  # fmt: skip
def test_why_spark_does_not_start(text: str, kind: type[AdutoraError], wanted: str) -> None:
    found = not_started(Exception(text))
    assert type(found) is kind
    assert found.message == wanted


def test_a_jvm_that_is_gone() -> None:
    assert type(_gone(11)) is TemporaryError
    assert type(_gone(1)) is TemporaryError
    with pytest.raises(MemoryError):
        _gone(-9)
