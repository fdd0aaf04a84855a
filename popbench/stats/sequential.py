"""Decisions of a sequential comparison: what is decided at each look, who gets more prompts, and when to stop.

    design = SequentialDesign.rounds(n_systems=5, maximum=200, goal="best")  # fixed before anything is rendered
    states = replay_looks(design, values, rounds, strata)  # values[system, prompt, repeat], NaN: not there (yet)
    states[-1].active                                      # the systems that get the next round
    states[-1].stop                                        # None, or why nothing more is needed

`replay_looks` is a function of the data alone: it goes through all looks from the first, so that a run that was killed
and resumed comes to the decisions of one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from . import _arrays
from ._arrays import Float64s, Ints, Scale
from .effective import EffectiveComparisons, residual_directions
from .intervals import korn_graubard
from .outcomes import pairwise_outcomes
from .sequential_design import FEWEST, SequentialDesign
from .simultaneous import Verdicts
from .strata import pool_strata

Stop: TypeAlias = Literal["best", "no best", "decided", "width", "futility", "maximum"]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SequentialState:
    """What is known after a look. Pairs are in the order of `pairwise_outcomes`.

    All intervals hold at whatever look one stops: repeated confidence intervals, of which the narrowest so far is kept.
    A win rate that made a comparison stop is too far from 1/2 on average; its interval is not affected.

    Attributes:
        look: the number of looks so far, 0 before the first.
        n_prompts: prompts of each pair, shape (pairs,): those that came before either system got no more.
        win_rates: of each pair, shape (pairs,); NaN before the first look.
        low, high: interval of each win rate by itself.
        family_low, family_high: intervals that hold for all pairs together; of a pair that is decided, that of the look
            at which it was.
        verdicts: 1 (better), -1 (worse), 0 (undecided), from the family's intervals against 1/2 and nothing else.
        decided_at: the look at which each pair was decided, 0 if it is not.
        active: whether each system gets the prompts of the next round, shape (systems,). It needs those of all rounds
            before it, too, which matters where an extension or another goal brings back a system that got no more.
        left_at: the look after which each system got no more prompts, 0 while it gets more.
        candidates: the systems that may be the best, shape (systems,). The best one, that no other beats, is among them
            with the design's level; for the goal `best` this is judged by fewer comparisons than all pairs are, so that
            a system can be ruled out while its pairs are undecided.
        ruled_out_at: the look at which each system was ruled out as the best, 0 if it was not.
        critical_value: of the pairs in question at this look, in standard deviations.
        spent: the error probability used up by now.
        stop: None, or why no system gets more prompts. `best`: one candidate is left; `no best`: none is, the systems
            beat one another in a circle; `decided`: all pairs are; `width`: all intervals are narrow enough;
            `futility`: what is undecided would hardly be decided by the maximum; `maximum`: the last look was taken.
    """

    look: int
    n_prompts: Ints
    win_rates: Float64s
    low: Float64s
    high: Float64s
    family_low: Float64s
    family_high: Float64s
    verdicts: Verdicts
    decided_at: Ints
    active: Bools
    left_at: Ints
    candidates: Bools
    ruled_out_at: Ints
    critical_value: float
    spent: float
    stop: Stop | None


def replay_looks(
    design: SequentialDesign,
    values: ArrayLike,
    rounds: ArrayLike,
    strata: ArrayLike,
    left_out: ArrayLike | None = None,
    scale: Scale = "positive",
) -> list[SequentialState]:
    """Go through all looks that the data allow, from the first.

    A look is taken when its rounds are complete: all prompts of the design up to it are here, and every active system
    has all of them but those left out. Values that a look does not need, of later rounds or of systems that got no more
    prompts by then, play no part in it. No look is taken after one that says stop. To go on, for instance from the best
    to all decided, replay with another goal and the same spending function: the pairs in question are judged anew.

    Critical values depend, within .3 %, on the order of systems and prompts: give both in the order of the run.

    Args:
        design: fixed beforehand.
        values: popularity as in `pairwise_outcomes`, shape (systems, prompts, repeats); NaN for what is not there.
        rounds: the round in which each prompt is taken, from 0, shape (prompts,).
        strata: one integer label per prompt, shape (prompts,).
        left_out: whether a prompt is left out for all systems, as one failed at it for good, shape (prompts,). It
            counts as taken in its round.
        scale: as in `pairwise_outcomes`.

    Returns:
        The states before the first look and after each look; the last is the present one.

    Raises:
        ValueError: if shapes do not fit the design, there are more prompts or rounds than it has, or a value is refused
            by `pairwise_outcomes`.
    """
    data = _Data(design, values, rounds, strata, left_out, scale)
    states = [_before(design)]
    while states[-1].stop is None and data.complete(states[-1]):
        states.append(_look(design, data, states[-1]))
    return states


class _Data:
    """The outcomes of all pairs, prompts in the order of their rounds."""

    def __init__(
        self,
        design: SequentialDesign,
        values: ArrayLike,
        rounds: ArrayLike,
        strata: ArrayLike,
        left_out: ArrayLike | None,
        scale: Scale,
    ) -> None:
        x, numbers, looks = np.asarray(values, dtype=np.float64), np.asarray(rounds), len(design.looks)
        if x.ndim != 3 or len(x) != design.n_systems:
            raise ValueError(f"values need the axes ({design.n_systems} systems, prompts, repeats), got {x.shape}")
        codes = _arrays.strata_codes(strata, x.shape[1])
        if numbers.shape != codes.shape or numbers.dtype.kind not in "iu":
            raise ValueError(f"rounds need one integer per prompt: {len(codes)} prompts, rounds of {numbers.shape}")
        if numbers.min() < 0 or numbers.max() >= looks:
            raise ValueError(f"the design has the rounds 0 to {looks - 1}, got {numbers.max()}: extend the design")
        without = np.zeros(codes.shape, bool) if left_out is None else np.asarray(left_out, dtype=bool)
        if without.shape != codes.shape:
            raise ValueError(f"left_out needs one value per prompt: {len(codes)} prompts, got {without.shape}")
        taken = np.cumsum(np.bincount(numbers, minlength=looks))
        if (taken > design.looks).any():
            raise ValueError(f"rounds have more prompts than the design: {taken.tolist()}, not {list(design.looks)}")
        self._all_here = np.array([n == asked for n, asked in zip(taken.tolist(), design.looks, strict=True)])
        order = np.argsort(numbers, kind="stable")
        order = order[~without[order]]
        self.ends = np.cumsum(np.bincount(numbers[~without], minlength=looks))
        x = x[:, order]
        self.there: Bools = np.asarray(np.logical_not(np.isnan(x)).all(axis=2))
        x[~self.there] = 0
        self.first, self.second = np.triu_indices(len(x), 1)
        self.codes = codes[order]
        self.y = pairwise_outcomes(x, scale) if len(order) else np.zeros((design.n_pairs, 0))
        self.directions = np.zeros(self.y.shape, np.float32)

    def complete(self, state: SequentialState) -> bool:
        """Say whether the next look can be taken."""
        end = self.ends[state.look]
        return bool(self._all_here[state.look] and end and self.there[state.active, :end].all())


def _before(design: SequentialDesign) -> SequentialState:
    pairs, systems = design.n_pairs, design.n_systems
    zero, one, every = np.zeros(pairs), np.ones(pairs), np.ones(systems, bool)
    none = np.zeros(pairs, np.int64)
    return SequentialState(
        look=0,
        n_prompts=none,
        win_rates=np.full(pairs, np.nan),
        low=zero,
        high=one,
        family_low=zero,
        family_high=one,
        verdicts=np.zeros(pairs, np.int8),
        decided_at=none,
        active=every,
        left_at=np.zeros(systems, np.int64),
        candidates=every,
        ruled_out_at=np.zeros(systems, np.int64),
        critical_value=np.inf,
        spent=0.0,
        stop=None,
    )


def _look(design: SequentialDesign, data: _Data, last: SequentialState) -> SequentialState:
    """Take the next look."""
    look, n = last.look, int(data.ends[last.look])
    measured = np.flatnonzero(last.active[data.first] & last.active[data.second])
    y, codes = data.y[measured, :n].astype(np.float64), data.codes[:n]
    data.directions[measured, :n] = residual_directions(y, pool_strata(codes))
    # What this look spends is shared by the pairs in question before it; those that futility left out keep their share,
    # as chance chose them.
    family = last.verdicts == 0
    if design.goal == "best":
        family &= last.candidates[data.first] & last.candidates[data.second]
    c = EffectiveComparisons(data.directions[family, :n]).solve(lambda number: design.family.at(look, number))
    low, high = _narrowed((last.low, last.high), measured, _interval(y, codes, design.alone[look]))
    asked = family[measured]
    family_low, family_high = _narrowed(
        (last.family_low, last.family_high), measured[asked], _interval(y[asked], codes, c)
    )
    verdicts = (family_low > 0.5).astype(np.int8) - (family_high < 0.5).astype(np.int8)
    candidates = last.candidates & ~_beaten(data, verdicts)
    if design.goal == "best":
        rivals = design.family.at(look, int(last.candidates.sum()) - 1)
        lower, upper = _interval(y[asked], codes, rivals)
        against = np.zeros(design.n_pairs, np.int8)
        against[measured[asked]] = (lower > 0.5).astype(np.int8) - (upper < 0.5).astype(np.int8)
        candidates &= ~_beaten(data, against)
    win_rates, n_prompts = last.win_rates.copy(), last.n_prompts.copy()
    win_rates[measured], n_prompts[measured] = y.mean(axis=1), n
    state = replace(
        last,
        look=look + 1,
        n_prompts=n_prompts,
        win_rates=win_rates,
        low=low,
        high=high,
        family_low=family_low,
        family_high=family_high,
        verdicts=verdicts,
        decided_at=np.where((verdicts != 0) & (last.decided_at == 0), look + 1, last.decided_at),
        candidates=candidates,
        ruled_out_at=np.where(last.candidates & ~candidates, look + 1, last.ruled_out_at),
        critical_value=c,
        spent=float(design.increments[: look + 1].sum()),
    )
    goes_on = np.zeros(design.n_pairs, bool)
    goes_on[measured] = True
    goes_on &= _wanted(design, data, state)
    if design.futility and design.goal != "width":
        goes_on[measured] &= _chance(design, state, y, codes) >= design.futility
    active = np.zeros(design.n_systems, bool)
    active[data.first[goes_on]] = active[data.second[goes_on]] = True
    stop = _reason(design, data, state, bool(active.any()))
    if stop is not None:
        active[:] = False
    left_at = np.where(last.active & ~active, look + 1, last.left_at)
    return replace(state, active=active, left_at=left_at, stop=stop)


def _interval(y: Float64s, codes: Ints, critical_value: float) -> tuple[Float64s, Float64s]:
    """Return the Korn-Graubard intervals at this critical value; everything where float64 has no level for it."""
    level = float(1 - 2 * ndtr(-critical_value))
    if level >= 1 or y.shape[1] < FEWEST:
        return np.zeros(len(y)), np.ones(len(y))
    return korn_graubard(y, codes, level)


def _narrowed(last: tuple[Float64s, Float64s], rows: Ints, now: tuple[Float64s, Float64s]) -> tuple[Float64s, Float64s]:
    """Return the part of the intervals that those of now share with them, and leave them where that is none."""
    low, high = last[0].copy(), last[1].copy()
    lower, upper = np.maximum(low[rows], now[0]), np.minimum(high[rows], now[1])
    shared = lower <= upper
    low[rows[shared]], high[rows[shared]] = lower[shared], upper[shared]
    return low, high


def _beaten(data: _Data, verdicts: Verdicts) -> Bools:
    """Say of each system whether another one is better by these verdicts."""
    found: Bools = np.zeros(len(data.there), np.bool_)
    found[data.first[verdicts < 0]] = found[data.second[verdicts > 0]] = True
    return found


def _wanted(design: SequentialDesign, data: _Data, state: SequentialState) -> Bools:
    """Say of each pair whether the goal needs more of it."""
    if design.width is not None:
        wide: Bools = state.high - state.low > design.width
        return wide
    wanted: Bools = state.verdicts == 0
    if design.goal == "best":
        wanted &= state.candidates[data.first] & state.candidates[data.second]
    return wanted


def _chance(design: SequentialDesign, state: SequentialState, y: Float64s, codes: Ints) -> Float64s:
    """Return each pair's chance to be decided at the maximum, given the data so far.

    Z at the maximum is normal with the mean Z / sqrt(t) and the variance (1 - t) / t at the share t of its prompts, if
    before the data any true win rate was as likely as any other.
    """
    t = design.looks[state.look - 1] / design.maximum
    if t >= 1:
        return np.zeros(len(y))
    candidates, undecided = int(state.candidates.sum()), int((state.verdicts == 0).sum())
    open_ones = candidates - 1 if design.goal == "best" else undecided
    c = design.family.at(len(design.looks) - 1, open_ones)
    member = (codes[:, np.newaxis] == np.arange(codes.max() + 1)).astype(np.float64)
    squares = ((y - (y @ member / member.sum(axis=0)) @ member.T) ** 2).sum(axis=1)
    z = (y.sum(axis=1) - y.shape[1] / 2) / np.sqrt(squares + 0.5)
    mean, sd = z / np.sqrt(t), np.sqrt((1 - t) / t)
    chance: Float64s = ndtr((mean - c) / sd) + ndtr((-mean - c) / sd)
    return chance


def _reason(design: SequentialDesign, data: _Data, state: SequentialState, any_active: bool) -> Stop | None:
    """Return why to stop at this look, if at all."""
    if design.goal == "best" and state.candidates.sum() <= 1:
        return "best" if state.candidates.any() else "no best"
    if design.goal != "best" and not _wanted(design, data, state).any():
        return "width" if design.goal == "width" else "decided"
    if state.look == len(design.looks):
        return "maximum"
    return None if any_active else "futility"
