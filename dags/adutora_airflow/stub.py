"""What a stub calls: from its own path to the DagConfig of the revision that it stands for, to the DAG."""

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from adutora.dagconfig import DagConfig
from adutora.errors import ConfigError
from adutora_airflow.folder import LINK, Folder, History, whole

if TYPE_CHECKING:
    from airflow.sdk import DAG

log = logging.getLogger(__name__)


def dag_of(file: str) -> "DAG":
    """Return the DAG of a stub. Raises ConfigError where its revision cannot be had any more."""
    from adutora_airflow.factory import make_dag

    path = Path(file)
    folder = Folder(path.resolve().parent.parent)
    version = whole(path.parent.parent.name) if path.parent.name == LINK else None
    number, config_path, owner = find(folder, path.stem, version)
    return make_dag(DagConfig.from_json(json.loads(config_path.read_text())), number, owner)


def find(folder: Folder, dag_id: str, version: int | None) -> tuple[int, Path, str]:
    """Return number and file of the revision that stood at a version (None: now), and the Pipeline's uid.

    Raises ConfigError.
    """
    history = folder.history(dag_id)
    number = history.at(version) if history else None
    if history is None or number is None:
        raise ConfigError(
            f"the revision that {dag_id} ran at version {version} is not kept any more",
            hint="clear the run again with its latest version, or trigger a new one",
        )
    path = folder.config_path(dag_id, number)
    if not path.exists():
        _fetch(folder, dag_id, history, number)
    return number, path, history.uid


def _fetch(folder: Folder, dag_id: str, history: History, number: int) -> None:
    """Get an older revision that this pod's side-car had no use for until now."""
    from adutora_airflow.kube import ApiError, Kube, Server
    from adutora_airflow.revision import ForgedError, Wanted
    from adutora_airflow.sync import fetch

    wanted = Wanted(history.namespace, history.pipeline, history.uid, number, 0)
    kube = Kube(Server.here())
    try:
        folder.keep(dag_id, number, fetch(kube, wanted, number))
    except (ApiError, ForgedError) as error:
        raise ConfigError(f"revision {number} of {dag_id} cannot be had: {error}") from error
    finally:
        kube.close()
