"""Is a Pipeline right, and what does it compile to? The CLI's validator and compiler, in a thread of their own.

A pipeline takes two milliseconds, one of 200 KiB half a second: in the event loop that would hold up watching. One
thread is enough, for the interpreter runs one at a time anyway; a pool of processes would double the memory.
"""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from adutora.compile import compile_pipeline
from adutora.dagconfig import canonical_json
from adutora.errors import AdutoraError
from adutora.spec.diagnostics import Diagnostic
from adutora.validate.objects import Neighbourhood, ValidatedProject, validate_objects, validate_project
from adutora_operator.objects import Key, Seen

MAX_TOLD: Final = 20  # findings in one message


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a spec is accepted, why in one word and in many, and the SHA-256 of what it compiles to."""

    accepted: bool
    reason: str
    message: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict and the compiled config, as canonical JSON; empty where the spec is refused."""

    verdict: Verdict
    config: str = ""


class Judge:
    """Holds what all pipelines write. Calls are carried out in their order, one at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._neighbours = Neighbourhood()
        self._projects: dict[str, tuple[Seen, ValidatedProject]] = {}

    def put(self, pipeline: Seen) -> None:
        """Note what a pipeline writes."""
        self._thread.submit(lambda: self._neighbours.put(pipeline.load()))

    def drop(self, key: Key) -> None:
        """Forget a pipeline."""
        self._thread.submit(self._neighbours.drop, key.namespace, key.name)

    async def judge(self, pipeline: Seen, project: Seen | None) -> Judged:
        """Validate and compile."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._judge, pipeline, project)

    async def judge_project(self, project: Seen) -> Verdict:
        """Validate a Project by itself."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._validated, project)
        return _verdict(found.diagnostics, found.project is not None, "InvalidSpec")

    async def answer(self) -> None:
        """Return once all that was asked before has its answer."""
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: None)

    def close(self) -> None:
        """Stop after the call at hand."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _validated(self, project: Seen) -> ValidatedProject:
        """Validate a Project once, for all its pipelines."""
        cached = self._projects.get(project.uid)
        if cached is None or cached[0].generation != project.generation:
            cached = (project, validate_project({**project.load(), "kind": "Project"}, for_pods=True))
            self._projects[project.uid] = cached
        return cached[1]

    def _judge(self, pipeline: Seen, project: Seen | None) -> Judged:
        declared = self._validated(project) if project else None
        found = validate_objects(pipeline.load(), declared, self._neighbours)
        if found.pipeline is None:
            return Judged(_verdict(found.diagnostics, False, _refusal(found.errors)))
        try:
            config = canonical_json(compile_pipeline(found.pipeline, found.project).to_json())
        except AdutoraError as error:
            return Judged(Verdict(False, "InvalidSpec", str(error)))
        accepted = _verdict(found.diagnostics, True, "Valid")
        digest = hashlib.sha256(config.encode()).hexdigest()
        return Judged(Verdict(True, accepted.reason, accepted.message, digest), config)


def _verdict(found: tuple[Diagnostic, ...], accepted: bool, reason: str) -> Verdict:
    """Put the findings into words: errors where it is refused, else warnings."""
    told = [each for each in found if accepted or each.severity == "error"]
    lines = [str(each).replace(": error: ", ": ", 1) for each in told[:MAX_TOLD]]
    more = [f"and {len(told) - MAX_TOLD} more"] if len(told) > MAX_TOLD else []
    return Verdict(accepted, reason, "\n".join(lines + more) or "no errors")


def _refusal(errors: tuple[Diagnostic, ...]) -> str:
    """Return the reason in one word, of the first error."""
    if errors[0].file:
        return "InvalidProject"
    codes = {each.code for each in errors}
    return next(iter(codes)) or "InvalidSpec" if len(codes) == 1 else "InvalidSpec"
