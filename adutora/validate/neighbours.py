"""What other pipelines write and publish: one stage writes a table, one stage publishes under a prefix."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from adutora.spec.pipeline import Stage

TABLE: Final = "table"
PREFIX: Final = "prefix"
# ("table", namespace, table), or ("prefix", where the connection is declared, connection, prefix)
Key = tuple[str, ...]
# Of a cluster: `creationTimestamp` and name, the older first.
Age = tuple[str, str]


@dataclass(frozen=True)
class Writer:
    """A stage that writes a table or publishes a prefix. `file` is empty where the pipeline comes from no file."""

    pipeline: str
    stage: str
    file: str = ""
    line: int = 0
    age: Age | None = None

    @property
    def place(self) -> str:
        """In words, for messages."""
        return f"stage `{self.stage}` of {self.pipeline}" + (f" ({self.file}:{self.line})" if self.file else "")


class Neighbours:
    """An index of writers. Whoever validates many pipelines keeps one, and claims and drops as they come and go."""

    def __init__(self) -> None:
        self._writers: dict[Key, list[Writer]] = {}
        self._keys: dict[str, list[Key]] = defaultdict(list)

    def claim(self, key: Key, writer: Writer) -> None:
        """Note that a stage writes what `key` names."""
        self._writers.setdefault(key, []).append(writer)
        self._keys[writer.pipeline].append(key)

    def drop(self, pipeline: str) -> None:
        """Forget all that a pipeline, named `namespace.name`, writes."""
        for key in self._keys.pop(pipeline, ()):
            left = [each for each in self._writers.get(key, ()) if each.pipeline != pipeline]
            if left:
                self._writers[key] = left
            else:
                self._writers.pop(key, None)

    def others(self, key: Key, pipeline: str) -> Iterator[Writer]:
        """Stages of other pipelines that write what `key` names."""
        return (each for each in self._writers.get(key, ()) if each.pipeline != pipeline)

    def tables(self, namespace: str, pipeline: str) -> set[str]:
        """Every table of a namespace that another pipeline writes. Slow: for messages."""
        return {
            key[2]
            for key, writers in self._writers.items()
            if key[:2] == (TABLE, namespace) and any(each.pipeline != pipeline for each in writers)
        }


def keys_of(stage: Stage, namespace: str, home: str) -> Iterable[tuple[Key, tuple[str, str]]]:
    """Yield what a stage writes, each with the path of its name below the stage. `home` declares the connections."""
    if stage.output:
        yield (TABLE, namespace, stage.output.table), ("output", "table")
    if stage.publish:
        yield (PREFIX, home, stage.publish.connection, stage.publish.prefix), ("publish", "prefix")
