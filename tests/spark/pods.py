"""The program of a stage's pod, with Spark in it: as on a cluster, but for executors."""

import json
import os
import subprocess
from typing import Any

from adutora.dagconfig import DagConfig
from tests.integration.gateway import ACCESS, SECRET
from tests.unit.test_pod import Ended, PodBench

PATIENCE = 600  # seconds, on a machine that does much else
# Java's second compiler makes code faster that will not run again: half of the time of stages with few rows.
QUICK = {"JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


class SparkPods(PodBench):
    """Pods with room for Spark, and time for it to start."""

    def config(self, *, kind: str = "spark", block: dict[str, Any] | None = None, **stage: Any) -> DagConfig:
        resources = {"cpu": 1000, "memory": 2 << 30, "scratch": 1 << 30}
        return super().config(
            kind=kind, block=block or {"app": "app.py"}, **{"timeout": PATIENCE, "resources": resources, **stage}
        )

    def env(self, config: DagConfig, **task: Any) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "ADUTORA_CACHE", "JAVA_HOME") if name in os.environ}
        return {**kept, **QUICK, **super().env(config, **task)}

    def lake_on(self, port: int) -> None:
        """Have the lake in the bucket `lake` of a gateway at a port of this machine."""
        self.secret("lake", accessKey=ACCESS, secretKey=SECRET)
        settings = {"bucket": "lake", "endpoint": f"http://127.0.0.1:{port}", "region": "us-east-1"}
        self.project = {
            "lake": {"root": "s3://lake/root", "connection": "lake", "layers": {}},
            "connections": {"lake": {"name": "lake", "secretRef": {"name": "lake"}, "s3": settings}},
        }

    def end(self, process: "subprocess.Popen[str]") -> Ended:
        log, _ = process.communicate(timeout=PATIENCE)
        raw = self.termination.read_bytes()
        return Ended(process.returncode, log, raw, json.loads(raw))

    def app(self, text: str, name: str = "app.py") -> None:
        (self.files / name).write_text(text)
