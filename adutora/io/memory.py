"""Give back memory between the phases of a process: free memory that allocators keep, and code that was run once.

Importing a library, or using a new part of it, maps tens of MiB of code, for the kernel maps sixteen pages where one is
asked for. Such a page can be dropped at any time: who needs it again gets it from the page cache, in a microsecond.
"""

import contextlib
import ctypes
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_DONTNEED = 4  # of madvise
_ALL_ARENAS = b"arena.4096.purge"
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)")


def give_back() -> None:
    """Give back what can be given; does nothing where the system is not Linux.

    The first time takes some 5 ms, for all that is mapped is looked at; later, and in forked processes, a millisecond.
    """
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for start, size in _mapped():
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)
        libc.malloc_trim(ctypes.c_size_t(0))  # glibc alone has it
    with contextlib.suppress(OSError, AttributeError):
        _purge_duckdb()


def _purge_duckdb() -> None:
    """Let DuckDB's own allocator give back what is free; it would keep a file's buffers for as long as it is idle."""
    module = sys.modules.get("_duckdb")
    if module is not None and module.__file__:
        ctypes.CDLL(module.__file__).duckdb_je_mallctl(_ALL_ARENAS, None, None, None, ctypes.c_size_t(0))


def _mapped() -> Iterator[tuple[int, int]]:
    """Yield address and size of the parts of libraries that may be dropped, and are still where they were."""
    known = _libraries()
    with Path("/proc/self/maps").open() as file:
        for line in file:
            if line in known and (found := _MAPPING.match(line)):
                start = int(found[1], 16)
                yield start, int(found[2], 16) - start


@cache
def _libraries() -> frozenset[str]:
    """Return the lines of /proc/self/maps for those parts of loaded libraries that the file has as they are.

    What may be written is left out, and so is what differs from the file, as data that the loader relocated does. This
    is asked once: a part that may not be written stays as it is, in forked processes too.
    """
    lines, line = [], ""
    with Path("/proc/self/smaps").open() as file:
        for each in file:
            if found := _MAPPING.match(each):
                line = each if found[3] in ("r-xp", "r--p") and ".so" in found[4] else ""
            elif line and each.startswith("Anonymous:") and each.split()[1] == "0":
                lines.append(line)
    return frozenset(lines)
