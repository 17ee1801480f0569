"""What a commit says about itself, and how it is found again."""

import datetime as dt
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from deltalake import CommitProperties, DeltaTable, Transaction

from adutora.io.lake.types import Commit, Figures, WriteResult

# Commits that leave the rows as they are.
NEUTRAL = frozenset(
    {
        "OPTIMIZE",
        "VACUUM START",
        "VACUUM END",
        "UPDATE FIELD METADATA",
        "UPDATE TABLE METADATA",
        "SET TBLPROPERTIES",
        "ADD FEATURE",
        "ADD COLUMN",
        "FSCK",
    }
)
_PAGES = (20, 200, 2000)

# A transaction's mark may go when the run that made it can no longer be tried again.
CONFIGURATION = {
    "delta.enableChangeDataFeed": "true",
    "delta.setTransactionRetentionDuration": "interval 30 days",
}


def properties(
    commit: Commit,
    figures: Figures,
    *,
    rejected: int = 0,
    changed: bool = True,
    content: str | None = None,
    loaded_at: dt.datetime | None = None,
    serial: bool = True,
) -> CommitProperties:
    """Return what goes into a commit. `serial`: it fails if anybody has committed since the table was read."""
    result = {**asdict(figures), "rejected": rejected, "changed": changed}
    said = {
        "adutora.app": commit.app,
        "adutora.run": commit.run,
        "adutora.pipeline": commit.pipeline,
        "adutora.stage": commit.stage,
        "adutora.fingerprint": commit.fingerprint,
        "adutora.at": commit.at.isoformat(),
        "adutora.rows": str(figures.rows),
        "adutora.rejected": str(rejected),
        "adutora.ledger": json.dumps(commit.ledgers),
        "adutora.result": json.dumps(result),
    }
    if content is not None:
        said["adutora.content"] = content
    if loaded_at is not None:
        said["adutora.loadedAt"] = loaded_at.isoformat()
    return CommitProperties(
        custom_metadata=said, app_transactions=_marks(commit), max_commit_retries=0 if serial else None
    )


def _marks(commit: Commit) -> list[Transaction]:
    # A ledger's mark has no time: it must never expire.
    ledgers = [Transaction(app, number) for app, number in commit.ledgers.items()]
    return [Transaction(commit.app, 1, int(time.time() * 1000)), *ledgers]


def history(table: DeltaTable) -> Iterator[Mapping[str, Any]]:
    """Yield the commits, newest first, reading no more of the log than is asked for."""
    seen = 0
    for limit in (*_PAGES, None):
        page = table.history(limit)
        yield from page[seen:]
        if limit is None or len(page) < limit:
            return
        seen = len(page)


def is_done(table: DeltaTable | None, commit: Commit) -> bool:
    """Say whether this write, or one that brought the same batches of the same ledgers, is in the table."""
    if table is None:
        return False
    if table.transaction_version(commit.app) is not None:
        return True
    ledgers = commit.ledgers
    return bool(ledgers) and all(_reached(table, app, number) for app, number in ledgers.items())


def _reached(table: DeltaTable, app: str, number: int) -> bool:
    known = table.transaction_version(app)
    return known is not None and known >= number


def recall(table: DeltaTable, name: str, commit: Commit) -> WriteResult | None:
    """Return the result of a write that is done, as the commit tells it; None if the log is no longer there."""
    wanted = json.dumps(commit.ledgers)
    for entry in history(table):
        same = entry.get("adutora.app") == commit.app
        if "adutora.result" in entry and (same or (commit.ledger and entry.get("adutora.ledger") == wanted)):
            result = json.loads(entry["adutora.result"])
            return WriteResult(table=name, version=int(entry["version"]), repeated=True, **result)
    return None


def last_content(table: DeltaTable) -> str | None:
    """Return the hash of the rows that the table has, None if somebody else wrote them."""
    for entry in history(table):
        if entry.get("operation") not in NEUTRAL:
            found = entry.get("adutora.content")
            return str(found) if found is not None else None
    return None


def last_loaded_at(table: DeltaTable) -> dt.datetime | None:
    """Return the greatest time in `_loaded_at` that our latest commits know of."""
    for entry in table.history(_PAGES[0]):
        if "adutora.loadedAt" in entry:
            return dt.datetime.fromisoformat(entry["adutora.loadedAt"])
    return None
