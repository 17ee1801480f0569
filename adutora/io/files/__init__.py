"""Files as DuckDB relations: CSV, JSON lines, Parquet and log lines."""

from adutora.io.files.inputs import load_file_input, recovering
from adutora.io.files.options import ReadOptions, format_of
from adutora.io.files.read import read_files
from adutora.io.files.reading import Reading

__all__ = ["ReadOptions", "Reading", "format_of", "load_file_input", "read_files", "recovering"]
