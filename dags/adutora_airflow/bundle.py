"""The DAG bundle over the side-car's folder. A run is bound to the version at which it was made, and so are its tasks.

A version needs no copy: `versions/<V>/dags` is a link to the folder's stubs, and a stub takes the revision that stood
at V, which it reads off its own path.
"""

import contextlib
import time
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion
from airflow.sdk.exceptions import AirflowException

from adutora_airflow.folder import LINK, Folder, default_root, whole

PATIENCE = 30.0  # seconds that a task waits for a side-car that is behind the dag-processor's


class AdutoraDagBundle(BaseDagBundle):
    """Pipelines of the cluster. `path` is the side-car's folder, by default that of ADUTORA_BUNDLE_ROOT."""

    supports_versioning = True

    def __init__(self, *, path: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._folder = Folder(Path(path) if path else default_root())
        self._current: str | None = None

    @property
    def path(self) -> Path:
        """Folder of the stubs."""
        return self._folder.current if self.version is None else self.versions_dir / self.version / LINK

    def initialize(self) -> None:
        """Get ready. Raises AirflowException where the side-car has not come so far."""
        if self.version is None:
            self.refresh()
        else:
            self._wait(whole(self.version))
            self._link()
        super().initialize()

    def refresh(self) -> None:
        """Take in the side-car's version. Raises AirflowException before it has listed all pipelines."""
        current = self._folder.take()
        if current is None:
            raise AirflowException(f"the side-car has not filled {self._folder.root} yet")
        self._folder.current.mkdir(parents=True, exist_ok=True)
        self._current = current

    def get_current_version(self) -> BundleVersion | None:
        """Return the version that `refresh` took in."""
        if self.version is not None:
            return BundleVersion(self.version)
        return None if self._current is None else BundleVersion(self._current)

    def _wait(self, version: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._folder.seen < version:
            if time.monotonic() > deadline:
                raise AirflowException(
                    f"the side-car is at version {self._folder.seen} and this run needs {version}: "
                    f"it was last heard of {self._folder.idle():.0f} s ago"
                )
            time.sleep(0.1)

    def _link(self) -> None:
        # A folder of its own, for Airflow's clean-up of old versions removes it as a tree.
        self._folder.current.mkdir(parents=True, exist_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.path.symlink_to(self._folder.current.resolve(), target_is_directory=True)
