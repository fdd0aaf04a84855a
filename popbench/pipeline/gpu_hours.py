"""A budget in seconds of GPUs: no request follows once the calls so far, and those under way, would take more."""

from __future__ import annotations

from collections.abc import Collection

from popbench.ledger.ledger import Ledger
from popbench.pipeline.budget import Budget, Permit
from popbench.pipeline.queues import WorkQueue
from popbench.planning.systems import Part


class GpuHours(Budget):
    """A budget in GPU-seconds. A call under way counts with the mean of its component, so the last ones may end later.

    `reached` says whether requests were held back.
    """

    def __init__(self, limit: float, ledger: Ledger) -> None:
        self.limit, self.reached = limit, False
        self._ledger = ledger
        self._under_way: dict[str, set[str]] = {}

    def admit(self, queue: WorkQueue, key: str, unanswered: Collection[str], *, submitted: bool) -> Permit:  # noqa: ARG002
        """Say whether a request may be made."""
        rows = self._ledger.spent()
        spent = sum(gpu_seconds for *_, gpu_seconds in rows)
        mean = {part: gpu_seconds / calls for part, _, calls, _, gpu_seconds in rows if calls > 0}
        digest = queue.part.digest
        promised = sum(mean.get(part, 0.0) * len(keys) for part, keys in self._under_way.items())
        if spent + promised + mean.get(digest, 0.0) > self.limit:
            self.reached = True
            return "end"
        self._under_way.setdefault(digest, set()).add(key)
        return "ask" if digest in mean else "alone"

    def answered(self, part: Part, key: str, usd: float | None, *, error: bool) -> str | None:  # noqa: ARG002
        """Count a call as over: the ledger has what it took."""
        self.release(part, [key])
        return None

    def release(self, part: Part, keys: Collection[str]) -> None:
        """Count calls as not under way any more."""
        self._under_way.get(part.digest, set()).difference_update(keys)
