"""What every online store can do.

A store keeps hashes of text. A publication owns a prefix and writes each row as the hash `<set>:<key>`, where
the *set* is the prefix itself (visibility `key`) or `<prefix>@<number>` (visibility `set`). Readers of the
latter take the value of `<prefix>@current`, for example `city@7`, and then read `city@7:<key>`: each set is
complete before the pointer names it, and stays for `GRACE_SECONDS` after the pointer has left it.
"""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self

from adutora.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pyarrow as pa

GRACE_SECONDS = 60  # how long readers who hold an old pointer can still read its set


@dataclass(frozen=True)
class Publication:
    """How rows are published.

    `ttl` is in seconds, None for ever. `mode` overwrite deletes, last of all, the keys that this prefix's
    earlier publications wrote and that no longer come; keys that others put there are never deleted.
    `run` names who publishes, for the message that another one gets meanwhile.

    No rows at all in mode overwrite would empty what programs read right now, which is far more often a
    failure upstream than a wish: it is refused with DataError if there are keys, unless `allow_empty`
    (a full refresh).
    """

    prefix: str
    ttl: int | None = None
    mode: Literal["overwrite", "merge"] = "overwrite"
    visibility: Literal["key", "set"] = "key"
    run: str = ""
    allow_empty: bool = False

    def __post_init__(self) -> None:
        if self.visibility == "set" and self.mode == "merge":
            raise ConfigError(
                "visibility set switches a whole set, so it cannot be merged into",
                hint="use mode: overwrite, or visibility: key",
            )
        if self.ttl is not None and self.ttl <= 0:
            raise ConfigError("ttl must be more than 0", hint="leave it out for keys that stay")

    @property
    def overwrites(self) -> bool:
        """Keys that no longer come are deleted."""
        return self.mode == "overwrite"

    def refuse_empty(self) -> DataError:
        """Return the error for no rows where there are keys."""
        return DataError(
            f"there are no rows to publish, and mode overwrite would delete every key of {self.prefix!r}",
            hint="look at what feeds this stage; run with --full-refresh to delete the keys, or use mode: merge",
        )

    def refuse_merge(self, current: str) -> ConfigError:
        """Return the error for a merge where readers follow the pointer to a set."""
        return ConfigError(
            f"prefix {self.prefix!r} was published with visibility set (now {current}), which cannot be merged into",
            hint="publish once with mode: overwrite and visibility: key",
        )


@dataclass(frozen=True)
class PublishResult:
    """Counts of keys. Rows that came = `published` + `empty`.

    `published` stand in the store now, `unchanged` of them as they stood before (after a reconnection these
    may include keys that this publication itself wrote); `empty` rows had no value in any column, and a
    hash without fields does not exist; `deleted` keys came no more.
    """

    published: int
    deleted: int
    unchanged: int
    empty: int = 0


class OnlineStore(Protocol):
    """An online store. Every method may raise TemporaryError or ConfigError, as the store's trouble is."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...

    def lease(self, prefix: str, holder: str = "") -> AbstractContextManager[None]:
        """Hold a prefix: nobody else publishes to it meanwhile. May be nested.

        What is read under the lease is at least as new as what the holder before published, so read inputs
        within it. Raises TemporaryError, after a wait, if another holds it.
        """
        ...

    def publish(self, rows: "Iterator[pa.RecordBatch]", publication: Publication) -> PublishResult:
        """Publish text rows, as `text.text_rows` makes them: the first column is the key, others the fields.

        All columns are strings; a null field is absent from its hash; keys are unique and never null. Each
        hash is replaced at once, its TTL with it. Doing the same again gives the same end, also after a
        death at any moment. Memory is bounded by a few batches. Raises DataError for no rows, see
        `Publication`.
        """
        ...

    def get(self, key: str) -> dict[str, str] | None:
        """Return the hash of a whole key such as `city:Recife`, or None."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the whole keys of a prefix's current set that were published and live, in no order."""
        ...

    def current(self, prefix: str) -> str:
        """Return what stands before the keys of a prefix now: `city`, or `city@7` with visibility set."""
        ...

    def probe(self) -> None:
        """Return if the store answers and takes our credentials."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...


def set_name(publication: Publication, generation: int) -> str:
    """Return what stands before the keys of one publication. `@` is in no prefix, so names never clash."""
    return publication.prefix if publication.visibility == "key" else f"{publication.prefix}@{generation}"


def with_rows(rows: "Iterable[pa.RecordBatch]") -> "Iterator[pa.RecordBatch] | None":
    """Return the batches that have rows, or None if none has."""
    batches = (batch for batch in rows if batch.num_rows)
    first = next(batches, None)
    return None if first is None else itertools.chain([first], batches)
