"""Charts rendered by helm, as objects."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.cluster import binaries

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "adutora"
UMBRELLA = ROOT / "charts" / "adutora-platform"
STAND_IN = ROOT / "tests" / "airflow-chart"
NAMESPACE = "adutora"
KUBERNETES = "1.34.4"
# Everything that the chart can bring.
ALL = (
    "airflow.enabled=true", "stores.s3.enabled=true", "stores.redis.enabled=true", "stores.postgresql.enabled=true",
    "podMonitor.enabled=true", "airflow.serviceAccounts.workers={airflow-scheduler}", "spark.historyServer.enabled=true",
)  # fmt: skip
VALUES_FILES = ("values-kind.yaml", "values-eks.yaml", "values-kubernetes-executor.yaml", "values-celery.yaml")


def helm_program() -> str | None:
    """Where helm is: HELM, the one that tests/cluster built, or PATH."""
    built = binaries.path("helm")
    return os.environ.get("HELM") or (str(built) if built.exists() else shutil.which("helm"))


class PodTemplate(NamedTuple):
    """A pod that an object makes: where it stands, its labels, its spec."""

    where: str
    labels: Json
    spec: Json


@dataclass(frozen=True)
class Helm:
    """helm, without a cluster."""

    program: str

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run helm."""
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done

    @cache  # noqa: B019 - one for each run of the tests, and what it returns is only read
    def template(self, chart: Path, *values: str | Path) -> "Rendered":
        """Render a chart: a path is a values file, a text is a `--set`."""
        options = [item for value in values for item in (("-f" if isinstance(value, Path) else "--set"), str(value))]
        done = self.run(
            "template", "adutora", chart, f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES}", *options
        )
        return Rendered([document for document in yaml.safe_load_all(done.stdout) if document])

    def refusal(self, chart: Path, *values: str) -> str:
        """Return why a chart cannot be rendered with these values."""
        options = [item for value in values for item in ("--set", value)]
        done = self.run("template", "adutora", chart, f"--kube-version={KUBERNETES}", *options, check=False)
        assert done.returncode != 0, "it was accepted"
        return done.stderr


@dataclass(frozen=True)
class Rendered:
    """What a chart rendered to."""

    objects: list[Json]

    def of(self, kind: str) -> list[Json]:
        """Objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Json:
        """Return one object."""
        found = [
            each for each in self.of(kind)
            if each["metadata"]["name"] == name and each["metadata"].get("namespace", NAMESPACE) == namespace
        ]  # fmt: skip
        assert len(found) == 1, f"{len(found)} of {kind} {namespace}/{name}"
        return found[0]

    def names(self, kind: str) -> set[str]:
        """Return the names of all objects of a kind."""
        return {each["metadata"]["name"] for each in self.of(kind)}

    def pods(self) -> Iterator[PodTemplate]:
        """Every pod that an object makes."""
        for each in self.objects:
            pod = pod_of(each)
            if pod is not None:
                where = f"{each['kind']} {each['metadata']['name']}"
                yield PodTemplate(where, pod["metadata"].get("labels", {}), pod["spec"])
        for config in self.of("ConfigMap"):
            if text := config["data"].get("pod_template_file.yaml"):
                pod = yaml.safe_load(text)
                yield PodTemplate(
                    f"pod template of {config['metadata']['name']}", pod["metadata"]["labels"], pod["spec"]
                )

    def rules(self) -> Iterator[tuple[str, Json]]:
        """Every rule of every role, with where it stands."""
        for kind in ("Role", "ClusterRole"):
            for role in self.of(kind):
                for rule in role["rules"]:
                    yield f"{kind} {role['metadata']['name']}", rule


def pod_of(thing: Json) -> Json | None:
    """Return the pod or pod template of an object, if it has one."""
    if thing["kind"] == "Pod":
        return thing
    spec = thing.get("spec") or {}
    template = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template if isinstance(template, dict) and "spec" in template else None


def containers(spec: Json) -> list[Json]:
    """Containers of a pod, those of its start included."""
    return [*(spec.get("initContainers") or []), *spec["containers"]]


def assemble(folder: Path, *options: str, chart: str | None = None) -> Path:
    """Put the umbrella and its dependencies together."""
    env = {**os.environ, **({"AIRFLOW_CHART": chart} if chart else {})}
    if not chart:
        env.pop("AIRFLOW_CHART", None)
    done = subprocess.run(
        [ROOT / "tools" / "chart-deps", *options, folder], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())
