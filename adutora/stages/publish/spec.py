"""`publish`: rows of a table as hashes in the online store."""

from typing import Annotated, Literal

from pydantic import Field

from adutora.spec.base import Columns, Spec
from adutora.spec.scalars import Duration, ResourceName


class Publish(Spec):
    """Publish each row as the hash `prefix:key1:key2`."""

    connection: ResourceName = Field("online", description="Connection of type redis or sqlite")
    key: Columns = Field(description="Columns that make the key; they are percent-encoded where they hold `:` or `%`")
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)*$", min_length=1, max_length=127)] = (
        Field(description="First part of every key, which this stage alone writes")
    )
    columns: Columns | None = Field(None, description="Columns of the hash; default: all but the system's")
    ttl: Duration | None = Field(None, description="Keys vanish after this; default: never")
    mode: Literal["overwrite", "merge"] = Field(
        "overwrite", description="`overwrite`: keys that no longer come are deleted; `merge`: they stay"
    )
    visibility: Literal["key", "set"] = Field(
        "key",
        description="`key`: each hash is replaced atomically; `set`: the whole set is switched at once, by a pointer",
    )
