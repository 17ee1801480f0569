"""Writes files and reads them by `read_files`, for tests of the formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from adutora.io.files import Reading, ReadOptions, read_files
from adutora.io.objects import SourceFile, local_file
from adutora.spec.base import Column

Content = str | bytes


class FileBench:
    """Reads into relation `t`; what is set aside goes to `bad`."""

    def __init__(self, folder: Path, con: duckdb.DuckDBPyConnection) -> None:
        self.folder, self.con = folder, con

    def put(self, name: str, content: Content) -> SourceFile:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return local_file(path, name)

    def load(self, fmt: str, contents: Sequence[Content], columns: list[str] | None, **options: Any) -> Reading:
        """Read files of these contents; `columns` are declared ones, `name:type`."""
        files = [self.put(f"f{index}.{fmt}", content) for index, content in enumerate(contents)]
        declared = [Column(name=c.partition(":")[0], type=c.partition(":")[2]) for c in columns or []] or None
        opts = ReadOptions(fmt, columns=declared, **options)
        return read_files(self.con, files, options=opts, relation="t", rejects="bad", scratch=self.folder)

    def types(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self.con.execute("DESCRIBE t").fetchall()}

    def bad(self) -> list[tuple[str, str, str]]:
        return self.con.execute("SELECT * FROM bad").fetchall()
