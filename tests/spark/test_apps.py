"""PySpark applications as stages: what they may use, what their errors say, and what is left when they are stopped."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.golden_tables import rows_of
from tests.spark.pods import SparkPods

OUTPUT = {"table": "silver.a", "mode": "overwrite"}
INPUTS = (
    {"name": "rows", "file": "in.csv", "columns": [{"name": "a", "type": "long"}, {"name": "b", "type": "string"}]},
)
READ = "from adutora.spark import stage\nrows = stage().read('rows')\n"


@pytest.fixture
def pods(tmp_path: Path) -> SparkPods:
    bench = SparkPods(tmp_path)
    (bench.files / "in.csv").write_text("a,b\n1,x\n2,São Paulo\nseven,y\n")
    return bench


def test_an_application_has_all_that_it_needs(pods: SparkPods) -> None:
    pods.app("def shout(text):\n    return text.upper() + '!'\n", "helper.py")
    pods.app(
        "import sys\n"
        "from pyspark.sql import SparkSession, functions as f\n"
        "from adutora.spark import stage\n"
        "import helper\n"
        "spark = SparkSession.builder.appName('mine').getOrCreate()\n"
        "def main():\n"
        "    rows = stage().read('rows')\n"
        "    shout = f.udf(helper.shout, 'string')\n"
        "    frame = rows.select('a', shout('b').alias('Was, bitte?'), f.lit(sys.argv[1]).alias('arg'))\n"
        "    assert spark.sql('SELECT :x AS x', args={'x': '${env:HOME}'}).first().x == '${env:HOME}'\n"
        "    assert list(stage().inputs) == ['rows'] and stage().params['n'] == 7\n"
        "    print('rows:', frame.count())\n"
        "    stage().write(frame)\n"
        "    stage().output('seen', 2)\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
        "    spark.stop()\n"
    )  # fmt: skip
    config = pods.config(block={"app": "app.py", "args": ["n is $(params.n)"]}, inputs=INPUTS, output=OUTPUT)
    ended = pods.run(pods.env(config, params={"n": 7}))
    assert ended.code == 0, ended.log
    assert "INFO rows: 2" in ended.log
    assert (ended.message["rowsIn"], ended.message["rowsOut"], ended.message["rowsRejected"]) == (3, 2, 1)
    assert ended.message["outputs"] == {"seen": 2}
    head, *rows = rows_of(pods.lake / "silver" / "a")
    assert head == ["a", "Was, bitte?", "arg"]
    assert rows == [["1", "X!", "n is 7"], ["2", "SÃO PAULO!", "n is 7"]]
    # A driver that was killed after its commit: the next try commits nothing.
    again = pods.run(pods.env(config, params={"n": 7}, attempt=2))
    assert again.code == 0, again.log
    assert again.message["tables"] == ended.message["tables"]
    assert again.whole["tables"][0]["repeated"] is True
    assert not (pods.work / "scratch").exists()


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        ("x = 1\n", 65, "ended without giving rows, and the stage writes silver.a"),
        (READ + "stage().write(rows)\nstage().write(rows)\n", 78, "gives rows a second time"),
        (READ + "stage().write(rows.select('nope'))\n", 65, "app.py failed at app.py:3: AnalysisException: [UNRESOLVED_COLUMN"),
        (
            READ + "from pyspark.sql import functions as f\n@f.udf('string')\ndef bad(b):\n    raise KeyError(b)\n"
            "stage().write(rows.select(bad('b').alias('b')))\n",
            65, "app.py failed at app.py:6: PythonException: KeyError: 'x'",
        ),
        ("from adutora.spark import stage\nstage().read('row')\n", 78, "did you mean `rows`?"),
        ("def broken(:\n", 78, "app.py:1: invalid syntax"),
    ],
)  # fmt: skip
def test_what_goes_wrong_in_an_application_is_told_with_its_line(
    pods: SparkPods, text: str, code: int, part: str
) -> None:
    pods.app(text)
    ended = pods.run(pods.env(pods.config(inputs=INPUTS, output=OUTPUT)))
    assert (ended.code, ended.message["exitCode"]) == (code, code), ended.log
    assert part in f"{ended.message['error']} {ended.message['hint']}"
    assert "\n" not in ended.message["error"]
    assert not (pods.lake / "silver" / "a").exists()


def test_a_stage_that_is_told_to_stop_leaves_no_java(pods: SparkPods) -> None:
    pods.app(READ + "import time\nprint('begun')\nrows.count()\ntime.sleep(600)\n")
    process = pods.start(pods.env(pods.config(inputs=INPUTS, output=OUTPUT)))
    assert process.stdout is not None
    for line in process.stdout:
        if "begun" in line:
            break
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    ended = pods.end(process)
    assert ended.code == 130, ended.log
    for _ in range(100):
        if not javas(process.pid):
            break
        time.sleep(0.1)
    assert javas(process.pid) == []


def javas(group: int) -> list[str]:
    """Java's processes in a group; one that has ended and that nobody has asked for is none."""
    shown = subprocess.run(["ps", "-eo", "pgid,stat,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in shown.splitlines()]
    return [args for pgid, state, args in rows if pgid == str(group) and "java" in args and not state.startswith("Z")]


def test_no_java(pods: SparkPods) -> None:
    pods.app("")
    env = pods.env(pods.config(output=OUTPUT)) | {"JAVA_HOME": "/nowhere"}
    ended = pods.run(env)
    assert ended.code == 78
    assert "Spark needs Java, and there is none in JAVA_HOME=/nowhere" in ended.message["error"]
    assert "openjdk-17" in ended.message["hint"]
