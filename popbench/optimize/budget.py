"""What an optimisation may cost: clips, USD or GPU-hours, and how much of it the search has used.

Decisions of the search depend on what its own trials took, and not on what a ledger happens to hold, so that a search
that was killed goes on as it would have. Inside a round, `popbench.pipeline.budget` ends requests before the limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from popbench.errors import UsageError
from popbench.records import Sample
from popbench.text import dollars

Kind = Literal["clips", "usd", "gpu-hours"]


@dataclass(frozen=True)
class Allowance:
    """A budget: what is counted, and how much of it there is in all."""

    kind: Kind
    limit: float
    PROOF: ClassVar[float] = 0.3
    SELECTION: ClassVar[float] = 0.15
    """The shares that are kept for proof and selection."""

    def text(self, amount: float) -> str:
        """Return an amount in words."""
        if self.kind == "usd":
            return dollars(amount)
        return f"{amount:,.0f} clips" if self.kind == "clips" else f"{amount:,.3g} GPU-hours"


def read_budget(text: str) -> Allowance:
    """Read `clips=N`, `usd=X` or `gpu-hours=X`; raises UsageError for anything else."""
    match = re.fullmatch(r"\s*(clips|usd|gpu-hours)\s*=\s*(\d+(?:\.\d+)?)\s*", text.lower(), re.ASCII)
    limit = float(match[2]) if match else 0.0
    if match is None or not 0 < limit < math.inf or (match[1] == "clips" and limit != int(limit)):
        raise UsageError(f"--budget: expected clips=N, usd=X or gpu-hours=X, such as clips=400, not {text!r:.80}")
    kinds: dict[str, Kind] = {"clips": "clips", "usd": "usd", "gpu-hours": "gpu-hours"}
    return Allowance(kinds[match[1]], limit)


class Account:
    """Adds up what trials took, and says what is left."""

    def __init__(self, allowance: Allowance, gpus: Callable[[str], float]) -> None:
        """`gpus` returns the number of GPUs that a stage occupies: `llm`, `generate` or `predict`."""
        self.allowance = allowance
        self.spent = 0.0
        self.largest = 1.0 if allowance.kind == "clips" else 0.0
        """What a trial took at most."""
        self._gpus = gpus

    def add(self, sample: Sample) -> None:
        """Add what a sample took."""
        took = self._of(sample)
        self.spent += took
        self.largest = max(self.largest, took)

    def pay(self, usd: float | None, gpu_seconds: float) -> None:
        """Add what a call took that is no trial."""
        if self.allowance.kind == "usd":
            self.spent += usd or 0.0
        elif self.allowance.kind == "gpu-hours":
            self.spent += gpu_seconds / 3600

    def _of(self, sample: Sample) -> float:
        if self.allowance.kind == "clips":
            return 1.0
        if self.allowance.kind == "usd":
            known = {"llm": sample.cost, **sample.costs}
            return sum(usd for usd in known.values() if usd is not None)
        return sum((seconds or 0.0) * self._gpus(stage) for stage, seconds in sample.seconds.items()) / 3600

    def room(self, kept: float) -> float:
        """Return how many trials there is room for, if so much is kept: those that take the most, to be sure."""
        left = self.allowance.limit - kept - self.spent
        if not self.largest:
            return math.inf if left > 0 else 0.0
        return max(0.0, left) / self.largest * (1 + 1e-9)
