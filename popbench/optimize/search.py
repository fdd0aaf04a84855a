"""The search: rounds of candidates that race on common prompts, until the budget is used up.

It is a function of the scores alone, and knows neither models nor files: `Trials` has what candidates are tried with,
and `Reflect`, if there is one, writes candidates that are no combination of known values. A search that is replayed
with the same scores comes to the same candidates.

In every round, some children of the best candidates so far meet the incumbent. Their values come from a linear model
of all scores so far (`popbench.optimize.model`), drawn from what it holds for possible, so that a change that is not
tried yet is tried, and one that hurts is tried no more. The race is a sequential comparison: candidates that are ruled
out as the best get no more prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from popbench.keys import digest
from popbench.optimize.model import LinearModel
from popbench.records import JSON
from popbench.stats import SequentialDesign, pairwise_outcomes, replay_looks

By = Literal["start", "edit", "merge", "reflection"]
Changes = Mapping[str, JSON]
"""What differs from the start, by name."""
Floats = NDArray[np.float64]

CHILDREN = 4
"""Candidates that a round has beside the incumbent."""
FINALISTS = 3
"""Candidates that meet in the selection."""
RACE_LEVEL = 0.5
"""Confidence of a race. It proves nothing, and a candidate that is lost by mistake has relatives."""
LOOKS, LATER = 2, 3
"""Looks of a race at most, and the rounds after which races may have another one."""
_NOTHING = 1e-6
"""A difference that is none: rounding."""
_DRAWS = 30
"""How often the model is drawn from for a child that is not there yet."""


@dataclass
class Candidate:
    """What is tried: the start with some changes."""

    number: int
    changes: Changes
    by: By = "start"
    parents: tuple[int, ...] = ()
    round: int = 0
    why: str | None = None
    values: Floats = field(default_factory=lambda: np.zeros(0))
    """Its scores on the first prompts of the search."""

    @property
    def id(self) -> str:
        """Its name."""
        return f"c{self.number}"


@dataclass(frozen=True)
class Proposal:
    """A candidate to be, of a parent."""

    changes: Changes
    by: By
    parents: tuple[int, ...]
    why: str | None = None


@dataclass(frozen=True)
class Round:
    """A race: who took part, the prompts that each took, and who is the incumbent afterwards."""

    number: int
    candidates: Sequence[int]
    prompts: Mapping[int, int]
    looks: int
    stop: str
    incumbent: int
    lost: Sequence[int]


class BudgetEndError(Exception):
    """Trials were held back, since the budget would not have held what they cost."""


class Trials(Protocol):
    """Tries candidates on prompts."""

    @property
    def strata(self) -> Sequence[int]:
        """Return the category of each prompt of the search, as a number, in the order in which they are taken."""

    def affords(self, wanted: Sequence[tuple[Candidate, int]]) -> bool:
        """Say whether the budget of the search has candidates tried on so many of its first prompts."""

    def scores(self, wanted: Sequence[tuple[Candidate, int]]) -> Sequence[Floats]:
        """Return the scores of candidates on so many of the first prompts. Raises BudgetEndError."""


Reflect = Callable[["Search", Candidate, int], Proposal | None]
"""Writes a child of a candidate; the number counts the children of this round. None where no usable one came."""


class Search:
    """The state of a search: all candidates, and the rounds so far."""

    def __init__(
        self,
        space: Mapping[str, Sequence[JSON]],
        trials: Trials,
        *,
        seed: int,
        reflect: Reflect | None = None,
        valid: Callable[[Changes], bool] = lambda _: True,
        real: bool = False,
    ) -> None:
        """Begin with the start alone.

        `space` has by name the values that a change may have, `valid` says whether changes go together, and `real`
        that scores may have any sign.
        """
        self._valid = valid
        self.space, self._trials, self._reflect, self._real = space, trials, reflect, real
        self.candidates = [Candidate(0, {})]
        self.incumbent = self.candidates[0]
        self.rounds: list[Round] = []
        self.known = {digest({}): 0}
        self._seed = seed
        self.model = LinearModel()

    def run(self) -> Iterator[Round]:
        """Race children of the best, round by round; ends where the budget does, or where nothing is left to try."""
        first = self._looks()[0]
        if not self._trials.affords([(self.incumbent, first)]):
            return
        try:  # the start by itself, so that what a trial costs is known before many are made
            (self.incumbent.values,) = self._trials.scores([(self.incumbent, first)])
        except BudgetEndError:
            return
        while True:
            children = self._children(len(self.rounds) + 1)
            while children and not self._trials.affords([(one, first) for one in (self.incumbent, *children)]):
                children.pop()  # a smaller race
            if not children:
                return
            yield self._race(children)

    def _looks(self) -> tuple[int, ...]:
        """Return the prompts at each look of a race: some of every category."""
        strata = self._trials.strata
        categories, n = len(set(strata)), len(strata)
        step = categories * -(-10 // categories)
        looks = (*range(step, n, step), n) if n > step else (n,)
        return looks[: LOOKS + len(self.rounds) // LATER]

    def _race(self, children: Sequence[Candidate]) -> Round:
        looks = self._looks()
        racers = [self.incumbent, *children]
        self.candidates += [child for child in children if child.number >= len(self.candidates)]
        design = SequentialDesign(len(racers), looks, goal="best", level=RACE_LEVEL, futility=0.2)
        rounds = np.searchsorted(looks, np.arange(looks[-1]), side="right")
        active, stop, look = np.ones(len(racers), bool), "budget", 0
        while look < len(looks):
            wanted = [(one, looks[look]) for one, on in zip(racers, active, strict=True) if on]
            if not self._trials.affords(wanted):
                break
            try:
                scores = self._trials.scores(wanted)
            except BudgetEndError:
                break
            for (one, n), values in zip(wanted, scores, strict=True):
                one.values = values if n > len(one.values) else one.values
            shown = np.full((len(racers), looks[-1], 1), np.nan)
            for row, one in enumerate(racers):
                shown[row, : min(len(one.values), looks[-1]), 0] = one.values[: looks[-1]]
            # A race that is replayed knows the incumbent's scores beyond this look: they play no part.
            shown[:, looks[look] :] = np.nan
            state = replay_looks(
                design, shown, rounds, self._trials.strata[: looks[-1]], scale="real" if self._real else "positive"
            )[-1]
            look, active = state.look, state.active
            if state.stop is not None:
                stop = state.stop
                break
        self.model.fit([(one.changes, one.values) for one in self.candidates])
        return self._end(racers, look, stop, state.candidates if look else np.ones(len(racers), bool))

    def _end(self, racers: Sequence[Candidate], looks: int, stop: str, left: NDArray[np.bool_]) -> Round:
        """Make the most promising of those that are left the incumbent."""
        kept = [one for one, on in zip(racers, left, strict=True) if on and len(one.values)] or [self.incumbent]
        best = max(kept, key=lambda one: (self.model.estimate(one.changes, one.values), -one.number))
        worth = [self.model.estimate(one.changes, one.values) for one in (best, self.incumbent)]
        if self.incumbent not in kept or worth[0] > worth[1] + _NOTHING:
            self.incumbent = best
        done = Round(
            len(self.rounds) + 1,
            [one.number for one in racers],
            {one.number: len(one.values) for one in racers},
            looks,
            stop,
            self.incumbent.number,
            [one.number for one, on in zip(racers, left, strict=True) if not on],
        )
        self.rounds.append(done)
        return done

    def _children(self, round_: int) -> list[Candidate]:
        """Return new candidates: the model's best, those of the reflection, and draws from the model."""
        rng = np.random.Generator(np.random.PCG64([self._seed, round_]))
        made: list[Candidate] = []
        for slot in range(CHILDREN):
            proposal = self._merge() if slot == 0 and self.rounds else None
            parent = self._parent(rng)
            if proposal is None and self._reflect is not None and slot % 2 == 1:
                proposal = self._new(self._reflect(self, parent, slot))
            if proposal is None:
                proposal = self._drawn(parent, rng)
            if proposal is not None:
                number = len(self.candidates) + len(made)
                self.known[digest(dict(proposal.changes))] = number
                made.append(Candidate(number, proposal.changes, proposal.by, proposal.parents, round_, proposal.why))
        return made

    def _new(self, proposal: Proposal | None) -> Proposal | None:
        """Return a proposal, None if there is such a candidate already."""
        if proposal is None or digest(dict(proposal.changes)) in self.known or not self._valid(proposal.changes):
            return None
        return proposal

    def _merge(self) -> Proposal | None:
        """Return the changes that the model holds for the best; None if they have been tried."""
        changes = self._best_values(self.model.mean)
        others = sorted(
            (one for one in self.candidates if one is not self.incumbent and len(one.values)),
            key=lambda one: -self.model.estimate(one.changes, one.values),
        )
        parents = (self.incumbent.number, *(one.number for one in others[:1]))
        return self._new(Proposal(changes, "merge", parents))

    def _drawn(self, parent: Candidate, rng: np.random.Generator) -> Proposal | None:
        """Return a child with values drawn by what the model holds for possible; None if none is new."""
        for _ in range(_DRAWS):
            effects = self.model.draw(rng)
            changes = self._best_values(effects, keep=parent.changes)
            if (proposal := self._new(Proposal(changes, "edit", (self._nearest(changes).number,)))) is not None:
                return proposal
        return None

    def _nearest(self, changes: Changes) -> Candidate:
        """Return the candidate so far that differs least from some changes, of several the most promising."""

        def distance(one: Candidate) -> tuple[int, float]:
            names = {*changes, *one.changes}
            apart = sum(changes.get(name) != one.changes.get(name) for name in names)
            return apart, -self.model.estimate(one.changes, one.values)

        return min((one for one in self.candidates if len(one.values)), key=distance)

    def _best_values(self, effect: Callable[[str, JSON], float], keep: Changes | None = None) -> Changes:
        """Return for each name the value with the largest effect, if that is above 0, which is the start's.

        Names that `space` does not have, such as templates, come from `keep`, or from what the model knows of.
        """
        found = {name: value for name, value in (keep or {}).items() if name not in self.space}
        known = dict(self.space)
        if keep is None:
            for name, value in self.model.known:
                if name not in self.space:
                    known[name] = [*known.get(name, ()), value]
        for name, values in known.items():
            effects = [effect(name, value) for value in values]
            if effects and max(effects) > _NOTHING:
                found[name] = values[int(np.argmax(effects))]
        return dict(sorted(found.items()))

    def _parent(self, rng: np.random.Generator) -> Candidate:
        """Draw a parent: of those that are best in some category, in proportion to how many categories that is."""
        front = self.front()
        weights = np.array(list(front.values()), float)
        return self.candidates[list(front)[int(rng.choice(len(front), p=weights / weights.sum()))]]

    def front(self) -> dict[int, int]:
        """Return candidates that are best in some category, with the number of categories."""
        strata = np.asarray(self._trials.strata)
        front: dict[int, int] = {}
        for category in np.unique(strata):
            best = max(
                (one for one in self.candidates if len(one.values)),
                key=lambda one: (
                    self.model.estimate(one.changes, one.values, strata[: len(one.values)] == category),
                    -one.number,
                ),
                default=self.incumbent,
            )
            front[best.number] = front.get(best.number, 0) + 1
        return dict(sorted(front.items()))

    def finalists(self, most: int = FINALISTS) -> list[Candidate]:
        """Return the most promising candidates for the selection, the best first."""
        tried = [one for one in self.candidates if len(one.values)]
        tried.sort(key=lambda one: (-round(self.model.estimate(one.changes, one.values), 6), one.number))
        return tried[:most]


def against(one: Candidate, other: Candidate, *, real: bool) -> Any:
    """Return the outcomes of a candidate against another on the prompts that both were tried on, shape (1, prompts)."""
    n = min(len(one.values), len(other.values))
    values = np.stack([one.values[:n], other.values[:n]])[:, :, np.newaxis]
    return pairwise_outcomes(values, "real" if real else "positive")
