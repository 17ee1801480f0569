"""What a reader is told: the format, how it is written, and what becomes of what does not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adutora.errors import ConfigError
from adutora.spec.base import Column, Csv, Log

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".log": "log",
}
# Longest record that is read; a longer one is an error or a rejected row, and never held in memory whole.
MAX_RECORD = 16 << 20


@dataclass(frozen=True)
class ReadOptions:
    """How files are read.

    `columns` keeps these columns alone, cast to their types. `types` are Delta types for columns that may be there;
    the others are kept too. `tolerant`: what does not fit is set aside with its reason, else it is an error;
    `columns` and `types` imply it. `empty_ok`: a file of no bytes has no rows, else it is an error.
    """

    format: str
    csv: Csv | None = None
    log: Log | None = None
    columns: Sequence[Column] | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    source_column: bool = False
    tolerant: bool = False
    empty_ok: bool = False
    max_record: int = MAX_RECORD

    @property
    def sets_aside(self) -> bool:
        """Say whether what does not fit is set aside."""
        return self.tolerant or bool(self.columns) or bool(self.types)

    @property
    def dialect(self) -> Csv:
        """How CSV files are written, defaults where nobody said."""
        return self.csv or Csv.model_validate({})


def format_of(path: str, given: str | None = None) -> str:
    """Return the format of a file by its suffix, without `.gz`. Raises ConfigError for an unknown one."""
    if given:
        return given
    name = path.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in _SUFFIXES:
        raise ConfigError(f"the format of {path!r} is not clear from its suffix", hint="add `format: csv`, jsonl, …")
    return _SUFFIXES[suffix]
