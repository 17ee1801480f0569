"""The folder between side-car and Airflow, the bundle over it, and the revision that a run keeps."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.bundles.base import BundleVersion
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.sdk.exceptions import AirflowException

from adutora.errors import ConfigError
from adutora_airflow import folder as module
from adutora_airflow.bundle import AdutoraDagBundle
from adutora_airflow.factory import make_dag
from adutora_airflow.folder import KEPT, Folder, History, whole
from adutora_airflow.stub import dag_of, find
from tests.airflow.conftest import compiled, pipeline


def write(folder: Folder, number: int, version: int, query: str, history: History | None = None) -> History:
    """Bring `team.shop` to a revision, as the side-car does."""
    history = history or History("uid", "team", "shop")
    config = compiled(pipeline({"name": f"s{number}", "sql": {"query": query}}))
    folder.keep(config.dag_id, number, config.to_json())
    assert history.add(version, number)
    published = folder.show(config.dag_id, history, history.entries[-1][0])
    folder.publish(version, None if published else version)
    return history


def bundle(version: str | None = None) -> AdutoraDagBundle:
    made = AdutoraDagBundle(name="adutora", refresh_interval=1, version=version)
    made.initialize()
    return made


def stages_at(version: str | None) -> set[str]:
    """Stages of the DAG that Airflow finds in the bundle at a version, by its own code."""
    at = bundle(version)
    bag = BundleDagBag(
        dag_folder=str(at.path / "team.shop.py"), bundle_path=at.path, bundle_name="adutora", safe_mode=False,
        load_op_links=False,
    )  # fmt: skip
    assert not bag.import_errors
    dag = bag.dags["team.shop"]
    assert dag.relative_fileloc == "team.shop.py"
    return set(dag.task_ids)


@pytest.fixture
def folder(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folder:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH", str(tmp_path / "bundles"))
    return Folder(root)


def test_a_run_keeps_the_revision_that_it_began_with(folder: Folder) -> None:
    history = write(folder, 1, 100, "SELECT 1")
    write(folder, 2, 200, "SELECT 2", history)
    assert stages_at(None) == {"s2"}
    assert stages_at("100") == stages_at("199") == {"s1"}
    assert stages_at("200") == stages_at("200.3") == {"s2"}
    write(folder, 1, 300, "SELECT 1", history)  # pinned
    folder.publish(350, None)
    assert stages_at(None) == stages_at("350") == {"s1"}
    assert stages_at("250") == {"s2"}


def test_history() -> None:
    history = History("u", "n", "p", [(100, 1), (200, 2)])
    assert [history.at(version) for version in (99, 100, 199, 200, 999, None)] == [None, 1, 1, 2, 2, 2]
    assert not history.add(300, 2)
    assert not history.add(150, 3)
    for number in range(3, 60):
        assert history.add(200 + number, number)
    assert len(history.entries) == KEPT


def test_versions_go_up_with_changes_alone(folder: Folder) -> None:
    assert folder.version is None
    folder.publish(50, None)
    assert (folder.version, folder.seen) == ("50", 50)
    folder.publish(60, None)
    assert (folder.version, folder.seen) == ("50", 60)
    folder.publish(70, 70)
    folder.publish(65, 65)  # another namespace's watch, a little later
    folder.publish(66, 66)
    assert (folder.version, folder.seen) == ("70.2", 70)
    assert whole(folder.version or "") == 70
    folder.publish(71, 71)
    assert folder.version == "71"


def test_the_dag_processor_waits_for_the_first_listing(folder: Folder) -> None:
    with pytest.raises(AirflowException, match="has not filled"):
        bundle()
    folder.publish(5, None)
    made = bundle()
    current = made.get_current_version()
    assert current is not None
    assert current.version == "5"
    folder.publish(6, 6)
    assert made.get_current_version() == current  # until it is refreshed
    made.refresh()
    assert made.get_current_version() != current


def test_a_task_waits_for_a_side_car_that_is_behind(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.publish(5, None)
    monkeypatch.setattr("adutora_airflow.bundle.PATIENCE", 0.3)
    with pytest.raises(AirflowException, match="is at version 5 and this run needs 9"):
        bundle("9")
    folder.publish(9, None)
    assert bundle("9").path.samefile(folder.current)


def test_airflow_may_remove_old_versions(folder: Folder) -> None:
    from airflow.dag_processing.bundles.base import BundleUsageTrackingManager, BundleVersionLock

    write(folder, 1, 100, "SELECT 1")
    made = bundle("100")
    with BundleVersionLock("adutora", "100"):
        pass
    manager = BundleUsageTrackingManager()
    found = manager._find_all_tracking_files("adutora") or []
    (info,) = [each for each in found if each.version == "100"]
    manager._remove_stale_bundle("adutora", info)
    assert not made.path.exists()
    assert (folder.current / "team.shop.py").exists()
    assert bundle("100").path.exists()


def test_a_revision_that_is_kept_no_more(folder: Folder) -> None:
    write(folder, 1, 100, "SELECT 1")
    with pytest.raises(ConfigError, match="not kept any more"):
        find(folder, "team.shop", 99)
    with pytest.raises(ConfigError, match="not kept any more"):
        find(folder, "team.other", None)


def test_a_stub_holds_no_text_of_users(folder: Folder) -> None:
    write(folder, 1, 100, "SELECT '{{ x }}'; import os")
    text = (folder.current / "team.shop.py").read_text()
    assert "SELECT" not in text
    assert "shop" not in text


def test_a_dag_says_which_revision_it_is(folder: Folder) -> None:
    write(folder, 1, 100, "SELECT 1")
    dag = dag_of(str(folder.current / "team.shop.py"))
    assert "Revision 1," in (dag.doc_md or "")
    assert dag.description == "revision 1"
    described = compiled(pipeline({"name": "s", "sql": {"query": "SELECT 1"}}, description="# revision 7\nof all"))
    assert make_dag(described, 2).description == "revision 7 · revision 2"
    assert make_dag(described).description == "revision 7"


def test_a_change_amid_a_parse_is_parsed_again(folder: Folder) -> None:
    """Airflow compares a file's time with the end of its last parse, which may have read what stood before."""
    write(folder, 1, 100, "SELECT 1")
    assert (folder.current / "team.shop.py").stat().st_mtime > time.time() + 1


def test_a_change_is_parsed_once_its_version_is_taken_in(folder: Folder) -> None:
    """Airflow books a parse under the version that it took in last, and binds runs to that."""
    history = write(folder, 1, 100, "SELECT 1")
    stub, made = folder.current / "team.shop.py", bundle()
    os.utime(stub, (1, 1))
    write(folder, 2, 200, "SELECT 2", history)
    assert stub.stat().st_mtime == 1, "parsed before the version was taken in"
    made.refresh()
    assert stub.stat().st_mtime > time.time() + 1
    assert made.get_current_version() == BundleVersion("200")
    os.utime(stub, (1, 1))
    made.refresh()
    assert stub.stat().st_mtime == 1, "parsed again without a change"


def test_a_version_is_published_before_its_stub_is_marked(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    history = write(folder, 1, 100, "SELECT 1")
    seen: list[str | None] = []
    whole_replace = module.replace

    def watching(path: Path, text: str, **options: float) -> None:
        if path.parent.name == "changed":
            seen.append(folder.version)
        whole_replace(path, text, **options)

    monkeypatch.setattr(module, "replace", watching)
    write(folder, 2, 200, "SELECT 2", history)
    assert seen == ["200"]


def test_a_mark_of_a_pipeline_that_went_is_no_trouble(folder: Folder) -> None:
    write(folder, 2, 200, "SELECT 2", write(folder, 1, 100, "SELECT 1"))
    (folder.current / "team.shop.py").unlink()
    assert folder.take() == "200"
    folder.remove("team.shop")
    assert folder.take() == "200"


def test_only_what_is_needed_is_imported() -> None:
    """The side-car is small: neither Airflow nor a client library is loaded."""
    import subprocess
    import sys

    code = "import sys, adutora_airflow.sync; print([m for m in ('airflow', 'kubernetes', 'pydantic', 'httpx') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "[]"
