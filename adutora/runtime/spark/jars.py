"""Jars that Spark needs and PySpark does not bring: Delta, and S3A. Baked into the image; on a laptop in the cache."""

import os
import runpy
import subprocess
import sys
from importlib import util
from pathlib import Path

from adutora.errors import TemporaryError

_DELTA = "delta-spark_*.jar"
_FETCHER = Path(__file__).parent / "fetch-jars"


def class_path() -> str | None:
    """Return the folder of jars as a class path, None where Spark's own folder has them already.

    The first time on a machine they are fetched, each checked by its SHA-256. Raises TemporaryError where they cannot
    be had.
    """
    if any(spark_home().glob(f"*/{_DELTA}")):
        return None
    folder: Path = runpy.run_path(str(_FETCHER))["cached"]()
    if folder.is_dir():
        return f"{folder}/*"
    done = subprocess.run([sys.executable, str(_FETCHER)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TemporaryError(f"jars for Spark cannot be fetched: {done.stderr.strip().splitlines()[-1:] or ''}")
    return f"{done.stdout.strip()}/*"


def spark_home() -> Path:
    """Return the folder that Spark is installed in: SPARK_HOME, else the one of PySpark."""
    home = os.environ.get("SPARK_HOME")
    if home:
        return Path(home)
    spec = util.find_spec("pyspark")
    return Path(spec.origin or "").parent if spec else Path("spark")
