"""The first rows of a run's results, read in a process of the nursery: the runner itself never loads the lake."""

import json
import select
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adutora.dagconfig import DagConfig
from adutora.errors import EXIT_OK, AdutoraError
from adutora.local.processes import Processes
from adutora.local.state import RunFolder
from adutora.local.summary import aligned, fitting, short

if TYPE_CHECKING:
    from adutora.io.lake import Lake

ROWS = 10
_ID = "samples"


def samples(
    processes: Processes,
    folder: RunFolder,
    tables: Sequence[str],
    root: str,
    layers: dict[str, str],
    project_root: Path,
) -> list[str]:
    """Return the first rows of each table as text; what cannot be read says so in its place."""
    if not tables:
        return []
    asked = {"tables": list(tables), "root": root, "layers": layers, "project_root": str(project_root)}
    request, answer = folder.path / "samples.request", folder.path / "samples.json"
    request.write_text(json.dumps(asked))
    processes.start(_ID, request, folder.config_path, folder.path / "samples.log", call="adutora.local.sample:main")
    while not any(ended.id == _ID for ended in processes.ended()):
        select.select([processes.fileno()], [], [])
    try:
        texts: list[str] = json.loads(answer.read_text())
    except (OSError, ValueError):
        return [f"the tables could not be read; see {folder.path / 'samples.log'}"]
    for path in (request, answer, folder.path / "samples.log"):
        path.unlink(missing_ok=True)
    return texts


def main(request: Path, config_path: Path) -> int:
    """Read the samples that `request` asks for and leave them beside it, as a JSON list of texts."""
    from adutora.io.lake import Lake

    asked = json.loads(request.read_text())
    config = DagConfig.from_json(json.loads(config_path.read_text()))
    name, options = config.lake.get("connection"), None
    if name is not None:
        from adutora.io.connections import declared, lake_options

        options = lake_options(declared(config.connections), name, Path(asked["project_root"]))
    lake = Lake(asked["root"], asked["layers"], options)
    texts = [_sample(lake, table) for table in asked["tables"]]
    request.with_name("samples.json").write_text(json.dumps(texts))
    return EXIT_OK


def _sample(lake: "Lake", table: str) -> str:
    from adutora.io import duck

    with tempfile.TemporaryDirectory() as scratch:
        con = duck.connect(None, None, Path(scratch))
        try:
            if not lake.exists(table):
                return f"{table}: not written"
            names, values = lake.sample(con, table, ROWS)
            total = lake.info(table, versions=1).rows
        except AdutoraError as error:
            return f"{table}: {error}"
        finally:
            con.close()
    shown = [["" if value is None else short(value) for value in row] for row in values]
    names, shown = fitting(names, shown)
    more = f"  … {total - len(values):,} more\n" if total > len(values) else ""
    return f"{table}, {total:,} rows\n{aligned([names, *shown])}{more}"
