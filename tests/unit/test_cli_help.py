"""The help page: every command is there, and nothing heavy is imported for it."""

import os
import subprocess
import sys

import pytest

from adutora.cli import COMMANDS, main

HEAVY = ("pydantic", "duckdb", "pyarrow", "deltalake", "yaml", "httpx", "redis", "rich")
ASK = """
import sys
from adutora.cli import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
print("LOADED", *sorted(set(sys.modules) & set({heavy!r})))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = ASK.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"  {name} " not in out] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert f"adutora {name}" in capsys.readouterr().out


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["tabels"])
    assert end.value.code == 2
    assert "tables" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["schema", "pipeline"], ["runs", "--state", "nowhere"]])
@pytest.mark.parametrize("buffered", [True, False])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str], buffered: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "adutora.cli", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment if buffered else environment | {"PYTHONUNBUFFERED": "1"},
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
