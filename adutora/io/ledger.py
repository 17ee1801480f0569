"""Batches: what a stage has read, in which order, and what it still owes.

A ledger is a small Delta table beside the lake's tables, so that local disk and S3 behave alike: proposing a batch is
one commit on the version that was read, which a put-if-absent decides. Exactly once comes about like this:

1. The stage asks for the last batch. If its output table has not that number (`Lake.batch`), exactly that batch is
   loaded again; else the next one is proposed.
2. The rows are committed with the batch's number in the same commit (`Commit.ledger`).

Whatever dies in between, the next try finds either a batch whose rows are missing, or none.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from adutora.errors import ConfigError, TemporaryError
from adutora.io.lake.failures import Conflict, translated
from adutora.io.lake.store import SYSTEM_FOLDER, checked, open_table, options_for

_COMPACT_EVERY = 64  # batches; each is one small file until then
_KEEP_HOURS = 24
_PLAIN = re.compile(r"[^A-Za-z0-9._/-]")  # what else a name has, such as the brackets of a fan-out, is spelled out


@dataclass(frozen=True)
class Batch:
    """One batch. `number` counts from 1 and is never used again; `content` is what was proposed, JSON."""

    number: int
    at: dt.datetime
    content: Mapping[str, Any]


class Ledger:
    """The batches of one reader; `id` names it, for example `team.orders/land/files`.

    All methods raise TemporaryError if the store does not answer. They read the ledger anew each time.
    """

    def __init__(self, root: str, id: str, storage_options: Mapping[str, str] | None = None) -> None:  # noqa: A002
        parts = id.split("/")
        if not id or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
            raise ConfigError(f"{id!r} is no name of a ledger")
        self.id = id
        folder = _PLAIN.sub(lambda match: f"~{ord(match[0]):x}~", id)
        self._uri = checked(f"{root.rstrip('/')}/{SYSTEM_FOLDER}/ledger/{folder}")
        self._options = options_for(self._uri, storage_options)
        self._known: int | None = None  # the newest number when it was last read

    def last(self) -> Batch | None:
        """Return the newest batch, None if there is none."""
        batches = self.batches()
        return batches[-1] if batches else None

    def batches(self) -> list[Batch]:
        """Return all batches since the ledger was made or reset, oldest first."""
        with translated(f"ledger {self.id}"):
            rows = _read(self._open())
        self._known = _newest(rows)
        return _current(rows)

    def propose(self, batch: Mapping[str, Any]) -> Batch:
        """Write down the next batch. Raises TemporaryError if another process wrote one since this ledger was read."""
        return self._add(batch)

    def reset(self) -> None:
        """Forget all batches, for a full refresh. Numbers go on: those that tables have stay behind."""
        self._add(None)

    def _open(self) -> DeltaTable | None:
        return open_table(self._uri, self._options)

    def _add(self, content: Mapping[str, Any] | None) -> Batch:
        try:
            with translated(f"ledger {self.id}"):
                table = self._open()
                newest = _newest(_read(table))
                if self._known not in (None, newest):
                    raise Conflict(f"batch {newest} was not there before")
                number = newest + 1
                at = dt.datetime.now(dt.UTC)
                self._commit(table, number, at, content)
        except Conflict as error:
            raise TemporaryError(f"ledger {self.id}: another process took the next batch: {error}") from error
        self._known = number
        if table is not None and number % _COMPACT_EVERY == 0:
            self._compact(table)
        return Batch(number, at, content or {})

    def _commit(
        self, table: DeltaTable | None, number: int, at: dt.datetime, content: Mapping[str, Any] | None
    ) -> None:
        text = None if content is None else json.dumps(content, sort_keys=True, ensure_ascii=False)
        rows = pa.table(
            {
                "number": pa.array([number], pa.int64()),
                "at": pa.array([at], pa.timestamp("us", tz="UTC")),
                "content": pa.array([text], pa.string()),
            }
        )
        write_deltalake(
            self._uri if table is None else table,
            rows,
            mode="error" if table is None else "append",
            storage_options=self._options if table is None else None,
            # None may have committed since `table` was read: the number would be taken.
            commit_properties=CommitProperties(max_commit_retries=0),
        )

    def _compact(self, table: DeltaTable) -> None:
        # The batch is written: if another process is faster, the next multiple compacts.
        try:
            with translated(f"ledger {self.id}"):
                table.optimize.compact()
                table.vacuum(retention_hours=_KEEP_HOURS, dry_run=False, enforce_retention_duration=False)
        except (Conflict, TemporaryError):
            return


def _read(table: DeltaTable | None) -> list[dict[str, Any]]:
    """Return the rows, oldest first."""
    if table is None:
        return []
    rows: list[dict[str, Any]] = table.to_pyarrow_table().to_pylist()
    return sorted(rows, key=lambda row: int(row["number"]))


def _newest(rows: Sequence[Mapping[str, Any]]) -> int:
    return max((int(row["number"]) for row in rows), default=0)


def _current(rows: list[dict[str, Any]]) -> list[Batch]:
    """Return what was written after the last reset."""
    start = max((index + 1 for index, row in enumerate(rows) if row["content"] is None), default=0)
    return [Batch(row["number"], row["at"], json.loads(row["content"])) for row in rows[start:]]
