"""Rules that every Dockerfile keeps, and that skaffold names what there is. The images themselves: test_smoke.py."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("images/*/Dockerfile"))
TITLES = {"airflow", "operator", "spark", "stages"}


def instructions(path: Path) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile as (word, rest), continued lines joined, comments left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    return [(line.split()[0].upper(), line.split(maxsplit=1)[1].strip()) for line in text.splitlines() if line.strip()]


def last_stage(path: Path) -> list[tuple[str, str]]:
    found = instructions(path)
    start = max(n for n, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def of(found: list[tuple[str, str]], wanted: str) -> list[str]:
    return [rest for word, rest in found if word == wanted]


def test_there_are_the_four() -> None:
    assert {path.parent.name for path in DOCKERFILES} == TITLES


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.parent.name)
def dockerfile(request: Any) -> Path:
    path: Path = request.param
    return path


def test_the_base_is_an_argument_with_a_version(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    assert found[0] == ("ARG", "BASE=docker.io/library/python:3.11-slim-bookworm")
    stages = {rest.split()[-1] for rest in of(found, "FROM") if " AS " in rest}
    assert {rest.split()[0] for rest in of(found, "FROM")} <= {"${BASE}", *stages}
    assert ":latest" not in dockerfile.read_text()


def test_it_runs_as_a_numeric_user_that_is_not_root(dockerfile: Path) -> None:
    assert of(last_stage(dockerfile), "USER") == ["50000:0" if dockerfile.parent.name == "airflow" else "1000:1000"]


def test_it_is_labelled(dockerfile: Path) -> None:
    (labels,) = of(last_stage(dockerfile), "LABEL")
    given = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    assert given["title"] == f"adutora {dockerfile.parent.name}"
    assert given["version"] == "${VERSION}"
    assert given["licenses"] == "Apache-2.0"
    assert given["description"]
    assert set(given) == {"title", "description", "version", "licenses"}


def test_nothing_comes_from_a_url_and_nothing_is_for_one_architecture(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert not re.search(r"https?://|^ADD |(curl|wget) +-", text, re.MULTILINE)
    assert not re.search(r"amd64|x86_64|arm64|aarch64|--platform", text)


def test_dependencies_are_those_of_the_lock_file_by_hash(dockerfile: Path) -> None:
    runs = of(instructions(dockerfile), "RUN")
    installs = [run for run in runs if "uv pip install" in run]
    assert any("export" in run and "--frozen" in run for run in runs)
    assert all("--no-deps" in run for run in installs)
    assert any("--require-hashes" in run for run in installs)


def test_the_last_stage_has_no_tool_that_installs(dockerfile: Path) -> None:
    last = last_stage(dockerfile)
    text = "\n".join(rest for _, rest in last)
    assert "/uv" not in text
    assert not re.search(r"pip install|build-essential|gcc", text)
    assert "rm -rf /usr/local/lib/python3.*/site-packages/*" in text
    own = ("images/airflow/", "images/spark/entrypoint.sh", "images/spark/archive-classes")
    assert all("--from=" in rest or any(name in rest for name in own) for rest in of(last, "COPY"))


def test_uv_is_the_one_that_we_use() -> None:
    pin = re.search(r"^PIN=(.+)$", (ROOT / "tools/uv").read_text(), re.MULTILINE)
    assert pin is not None
    for path in DOCKERFILES:
        assert f"ARG UV={pin[1]}\n" in path.read_text()


def test_what_is_pruned_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {re.split(r"[^A-Za-z0-9-]", text)[0] for text in project["dependencies"]}
    known |= {re.split(r"[^A-Za-z0-9-]", text)[0] for text in project["optional-dependencies"]["operator"]}
    for path in DOCKERFILES:
        assert set(re.findall(r"--prune (\S+)", path.read_text())) <= known


def test_the_context_holds_what_is_copied() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for path in DOCKERFILES:
        for rest in of(instructions(path), "COPY"):
            if "--from=" not in rest:
                sources = [word for word in rest.split() if not word.startswith("--")][:-1]
                assert {source.split("/")[0] for source in sources} <= allowed
                assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize(
    "script", ["images/slim", "images/airflow/entrypoint", "images/airflow/clean-logs", "images/spark/entrypoint.sh"]
)
def test_scripts_can_be_executed_and_parse(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    shell = path.read_text().splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(path)], check=True)


def test_old_logs_go_and_new_ones_stay(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    for name, days in (("old/a.log", 20), ("old/b.txt", 20), ("new/a.log", 1)):
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_text("x")
        when = (logs / name).stat().st_mtime - days * 86_400
        os.utime(logs / name, (when, when))
    env = {"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__LOG_RETENTION_DAYS": "15"}
    with subprocess.Popen(["bash", str(ROOT / "images/airflow/clean-logs")], env=env) as process:
        try:
            for _ in range(200):
                if not (logs / "old/a.log").exists():
                    break
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(timeout=0.05)
        finally:
            process.terminate()
        assert process.wait(timeout=10) == 0
    assert sorted(path.name for path in logs.rglob("*") if path.is_file()) == ["a.log", "b.txt"]


def test_skaffold_builds_and_deploys_what_there_is() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    built = {each["image"]: each["docker"]["dockerfile"] for each in config["build"]["artifacts"]}
    assert built == {f"adutora/{name}": f"images/{name}/Dockerfile" for name in TITLES}
    (release,) = config["deploy"]["helm"]["releases"]
    assert all((ROOT / path).is_file() for path in release["valuesFiles"])
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    values = {
        **yaml.safe_load((ROOT / "charts/adutora/values.yaml").read_text()),
        "airflow": yaml.safe_load((ROOT / "charts/adutora-platform/values.yaml").read_text())["airflow"],
    }
    for name, template in release["setValueTemplates"].items():
        assert re.fullmatch(
            r"\{\{\.IMAGE_(REPO|TAG|FULLY_QUALIFIED)_adutora_(stages|spark|operator|airflow)\}\}", template
        )
        place = values
        for step in name.removeprefix("adutora.").split("."):
            assert step in place, name
            place = place[step]
