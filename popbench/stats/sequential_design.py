"""The design of a sequential comparison: everything that is fixed before anything is rendered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from ._arrays import Float64s
from .spending import Spending, Table, spent

Goal: TypeAlias = Literal["best", "decided", "width"]
FEWEST = 10
"""Prompts below which no pair is decided."""
METHOD = 1
"""Counts the changes of the method: a stored design of another one gives other decisions."""
_RESERVED = 0.05


@dataclass(frozen=True)
class SequentialDesign:
    """What is looked at when, and how much error each look may spend.

    The error probability alpha = 1 - level is that of the family: any pair of the systems decided in the wrong
    direction, or decided though neither is better, at any look. The looks up to the maximum spend `1 - reserved` of it,
    by the spending function. An extension beyond the maximum spends half of what is reserved then.

    Attributes:
        n_systems: K, at least 2.
        looks: the number of prompts after each round, increasing; the first at least 10.
        goal: when to stop. `best`: as soon as all systems but one are ruled out as the best; `decided`: as soon as
            every pair is decided; `width`: as soon as the interval of every win rate is at most `width` wide.
        width: from the lower to the upper end, of a single win rate's interval; None for the other goals.
        level: confidence level, 0.95 for 95 %.
        spending: the spending function; by default linear to find the best and for a width, O'Brien and Fleming's to
            decide all pairs.
        futility: a pair gets no more prompts if its chance to be decided by the maximum is below this; 0 for never.
        reserved: the share of alpha that is kept for extensions.
        maxima: the places in `looks`, from 1, at which the design and each of its extensions ends.

    Raises:
        ValueError: if an attribute is outside its range, in one line.
    """

    n_systems: int
    looks: tuple[int, ...]
    goal: Goal = "best"
    width: float | None = None
    level: float = 0.95
    spending: Spending | None = None
    futility: float = 0.1
    reserved: float = _RESERVED
    maxima: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.spending is None:
            object.__setattr__(self, "spending", self._spending)
        if not self.maxima:
            object.__setattr__(self, "maxima", (len(self.looks),))
        if self.n_systems < 2:
            raise ValueError(f"a comparison needs at least 2 systems, got {self.n_systems}")
        if not self.looks or self.looks[0] < FEWEST:
            raise ValueError(f"the first look needs at least {FEWEST} prompts, got {self.looks[:1] or 'no look'}")
        if any(later <= n for n, later in pairwise(self.looks)):
            raise ValueError(f"each look needs more prompts than the look before, got {list(self.looks)}")
        if self.maxima[-1] != len(self.looks) or any(later <= n for n, later in pairwise((0, *self.maxima))):
            raise ValueError(f"maxima must increase to the number of looks, {len(self.looks)}, got {self.maxima}")
        if self.goal not in ("best", "decided", "width"):
            raise ValueError(f"a goal is best, decided or width, not {self.goal!r}")
        if (self.width is not None) != (self.goal == "width"):
            raise ValueError("the goal width needs a width, and no other goal has one")
        if self.width is not None and not 0 < self.width < 1:
            raise ValueError(f"a width must be between 0 and 1, got {self.width}")
        if not 0 < self.level < 1:
            raise ValueError(f"level must be between 0 and 1, got {self.level}")
        if not (0 <= self.futility < 1 and 0 <= self.reserved < 1):
            raise ValueError("futility and reserved must be at least 0 and below 1")
        if len(self.maxima) > 1 and not self.reserved:
            raise ValueError("an extension needs a share of the error probability that was reserved for it")
        spent(np.zeros(0), 0.05, self._spending)

    @classmethod
    def rounds(cls, n_systems: int, maximum: int, every: int = 20, **options: Any) -> SequentialDesign:
        """Return the design with a look after every so many prompts, and at the maximum.

        Args:
            n_systems: K.
            maximum: the most prompts, N.
            every: prompts in a round, best a multiple of the number of categories; the last round may be smaller.
            options: further attributes.

        Raises:
            ValueError: as the class, or if `every` is below 1.
        """
        return cls(n_systems, _steps(0, maximum, every), **options)

    def extended(self, maximum: int, every: int = 20) -> SequentialDesign:
        """Return the design that goes on beyond its maximum, with what was reserved for it.

        The looks so far spend what they spent, so that what was decided stays decided. What is hopeless is judged by
        the new maximum: systems that were given up come back, and have to catch up with the rounds that they missed.

        Raises:
            ValueError: if `maximum` is not above the present one, or nothing was reserved.
        """
        if maximum <= self.maximum:
            raise ValueError(f"an extension needs a maximum above {self.maximum} prompts, got {maximum}")
        looks = (*self.looks, *_steps(self.maximum, maximum, every))
        return replace(self, looks=looks, maxima=(*self.maxima, len(looks)))

    @property
    def maximum(self) -> int:
        """The most prompts, extensions included."""
        return self.looks[-1]

    @property
    def _spending(self) -> Spending:
        return self.spending or ("obrien-fleming" if self.goal == "decided" else "linear")

    @property
    def n_pairs(self) -> int:
        """The number of pairs."""
        return self.n_systems * (self.n_systems - 1) // 2

    @cached_property
    def increments(self) -> Float64s:
        """The error probability that each look spends, shape (looks,)."""
        alpha = 1 - self.level
        found, start, left = np.zeros(len(self.looks)), 0, alpha
        for end in self.maxima:
            share = (alpha * (1 - self.reserved)) if start == 0 else left / 2
            # An extension spends from the last maximum on, by the same function of the prompts.
            first = self.looks[start - 1] / self.looks[end - 1] if start else 0.0
            times = np.array([first, *(n / self.looks[end - 1] for n in self.looks[start:end])])
            used = spent(times, share, self._spending, self.n_pairs)
            found[start:end] = np.diff(used) * share / (used[-1] - used[0])
            start, left = end, left - share
        return found

    @cached_property
    def family(self) -> Table:
        """Critical values for the comparisons of a family."""
        return Table(self.looks, self.increments.tolist(), self.n_pairs)

    @cached_property
    def alone(self) -> Float64s:
        """The critical value of each look for a single pair, shape (looks,)."""
        return np.array([self.family.at(look, 1) for look in range(len(self.looks))])

    def to_json(self) -> dict[str, Any]:
        """Return the design as JSON."""
        return {"method": METHOD, **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SequentialDesign:
        """Return the design that `to_json` returned.

        Raises:
            ValueError: if it is of another method, has other fields, or is none that the class takes.
        """
        names = {field.name for field in fields(cls)}
        if stored.get("method") != METHOD:
            raise ValueError(f"the design is of method {stored.get('method')}, this popbench has method {METHOD}")
        if stored.keys() != names | {"method"}:
            raise ValueError(f"a design needs the fields {', '.join(sorted(names))}")
        values: dict[str, Any] = {
            name: tuple(stored[name]) if isinstance(stored[name], list) else stored[name] for name in names
        }
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"the stored design is damaged: {error}") from None

    @property
    def digest(self) -> str:
        """32 hexadecimal digits, the same for the same design on every machine."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:32]


def _steps(start: int, maximum: int, every: int) -> tuple[int, ...]:
    if every < 1:
        raise ValueError(f"a round needs at least 1 prompt, got {every}")
    return (*range(start + every, maximum, every), maximum)
