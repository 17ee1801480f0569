"""What delta-rs, its object store and Arrow raise, as our errors: by what should happen next."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from deltalake.exceptions import CommitFailedError, DeltaError, SchemaMismatchError, TableNotFoundError

from adutora.errors import AdutoraError, ConfigError, DataError, TemporaryError
from adutora.io import duck

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_BACKTRACE = re.compile(r"\n\s*0: .*", re.DOTALL)
_LENGTH = 600  # of a message of delta-rs that we pass on

# In this order: the first that matches decides.
_KNOWN: tuple[tuple[str, type[AdutoraError], str, str | None], ...] = (
    (r"No space left on device|os error 28|StorageFull|[Qq]uota exceeded", TemporaryError, "the disk is full",
     "free space"),
    (r"NoSuchBucket|\?list-type=2[^\n]*\n?.*404 Not Found", ConfigError, "there is no such bucket",
     "create it, or correct the lake's root; some stores say so for an unknown access key too"),
    (r"SignatureDoesNotMatch|InvalidAccessKeyId|InvalidToken|ExpiredToken|AccessDenied|401 Unauthorized|403 Forbidden"
     r"|lacked the necessary privileges|lacked valid authentication", ConfigError, "the store refuses the credentials",
     "check the keys of the lake's connection, and what they may do"),
    (r"IMDS|loading credentials|169\.254\.169\.254", ConfigError, "there are no credentials for the store",
     "name a connection of type s3 under lake.connection in adutora.yaml and give it a secretRef, or set "
     "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    (r"[Mm]issing region|invalid configuration|Unknown configuration|builder error|URL scheme is not allowed"
     r"|No suitable object store", ConfigError, "the store's address or settings are wrong", None),
    (r"Permission denied|os error 13|Read-only file system|os error 30|don't have access", TemporaryError,
     "no permission to read or write", "check who owns the folder"),
    (r"\b50[0234] [A-Z]|SlowDown|ServiceUnavailable|429 Too Many", TemporaryError,
     "the store is overloaded or failing", None),
    (r"timed out|operation timeout|deadline", TemporaryError, "the store is too slow to answer", None),
    (r"client error \(Connect\)|error sending request|Connection (refused|reset)|dns error|error trying to connect"
     r"|broken pipe|connection closed|error decoding response body|IncompleteMessage", TemporaryError,
     "the store cannot be reached", None),
    (r"max_retries|after \d+ retries", TemporaryError, "the store does not answer", None),
    (r"Out of Memory Error|failed to allocate|Resources exhausted", DataError, "out of memory",
     "raise resources.memory of the stage"),
    (r"Conversion Error|Out of Range Error|Invalid Input Error", DataError, "a value does not fit", None),
)  # fmt: skip

_CONFLICT = re.compile(
    r"concurrent transaction|ConcurrentTransaction|Failed to commit transaction|VersionAlreadyExists"
    r"|already exists|transaction conflict|Conflict"
)
_GONE = re.compile(r"(?i)\.parquet.*(not found|no such file|404)|(not found|no such file|404).*\.parquet", re.DOTALL)


class Conflict(Exception):  # noqa: N818  (it is no failure: the write is worked out again)
    """Another writer committed first. Nothing was written."""


class FilesGone(DataError):  # noqa: N818  (named for what happened, as the others are)
    """Data files that an old version needs have been vacuumed."""


def clean(error: BaseException) -> str:
    """Return the text of a delta-rs error, without colours and backtrace."""
    text = _BACKTRACE.sub("", _COLOUR.sub("", str(error)))
    text = " ".join(text.replace("↳", ":").split())
    return text if len(text) <= _LENGTH else text[:_LENGTH] + "…"


def translate(error: BaseException, what: str) -> AdutoraError:
    """Return our error for one of the lake's; `what` names the thing that was done."""
    if isinstance(error, duckdb.Error) and not duck.is_store_failure(error):
        return duck.translate(error, what)
    plain = _COLOUR.sub("", str(error))
    if _GONE.search(plain) and "NoSuchBucket" not in plain:
        return FilesGone(f"{what}: a file of this version is gone: {clean(error)}")
    for pattern, kind, meaning, hint in _KNOWN:
        if re.search(pattern, plain):
            return kind(f"{what}: {meaning}: {clean(error)}", hint=hint)
    if isinstance(error, SchemaMismatchError):
        return DataError(f"{what}: {clean(error)}")
    if isinstance(error, OSError):
        return TemporaryError(f"{what}: {clean(error)}")
    return AdutoraError(f"{what}: {clean(error)}")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn errors into ours, and a lost race into `Conflict`."""
    try:
        yield
    except (AdutoraError, Conflict, TableNotFoundError):
        raise
    except CommitFailedError as error:
        raise Conflict(clean(error)) from error
    except (DeltaError, duckdb.Error, OSError, ValueError) as error:
        known = translate(error, what)
        if type(known) is AdutoraError and _CONFLICT.search(str(error)):
            raise Conflict(clean(error)) from error
        raise known from error
    except Exception as error:  # delta-rs also raises bare Exception
        if type(error) is not Exception:
            raise
        raise translate(error, what) from error
