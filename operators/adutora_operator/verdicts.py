"""Verdicts that are known: a spec is judged again when it, its Project or a neighbour changed, and not before."""

from adutora_operator.judge import Judge, Judged, Verdict
from adutora_operator.mentions import Mentions
from adutora_operator.objects import Cluster, Json, Key, Seen

Fingerprint = tuple[str, int, str, int]


class Verdicts:
    """Keeps verdicts without what was compiled, which is large."""

    def __init__(self, cluster: Cluster, judge: Judge) -> None:
        self._cluster, self._judge = cluster, judge
        self._known: dict[Key, tuple[Fingerprint, Verdict]] = {}
        self._asked: dict[Key, object] = {}
        self._mentions = Mentions()

    async def of(self, key: Key, *, anew: bool = False) -> Judged:
        """Return the verdict on a Pipeline that is known of, with what it compiles to if it had to be judged."""
        pipeline = self._cluster.get(key)
        if pipeline is None:
            raise KeyError(key)
        project_key = self._cluster.project_of(key.namespace)
        project = self._cluster.get(project_key) if project_key else None
        fingerprint = _fingerprint(pipeline, project)
        known = self._known.get(key)
        if known is not None and known[0] == fingerprint and not anew:
            return Judged(known[1])
        ticket = self._asked[key] = object()
        judged = await self._judge.judge(pipeline, project)
        if self._asked.get(key) is ticket:  # no neighbour changed in the meantime
            del self._asked[key]
            self._known[key] = (fingerprint, judged.verdict)
        return judged

    def changed(self, key: Key, pipeline: Seen, spec: Json) -> set[Key]:
        """Note a new spec. Return the other Pipelines that are to be judged again."""
        self._judge.put(pipeline)
        return self._concerned(self._mentions.put(key, spec))

    def gone(self, key: Key) -> set[Key]:
        """Forget a Pipeline. Return the others that are to be judged again."""
        self._judge.drop(key)
        self._forget(key)
        return self._concerned(self._mentions.put(key, None))

    def _concerned(self, others: set[Key]) -> set[Key]:
        for other in others:
            self._forget(other)
        return others

    def _forget(self, key: Key) -> None:
        self._known.pop(key, None)
        self._asked.pop(key, None)


def _fingerprint(pipeline: Seen, project: Seen | None) -> Fingerprint:
    declared = (project.uid, project.generation) if project else ("", 0)
    return (pipeline.uid, pipeline.generation, *declared)
