"""Sequential comparisons: decisions are a function of the data, hold at any look, and save prompts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popbench.stats import SequentialDesign, SequentialState, korn_graubard, replay_looks, win_rates
from popbench.stats.sequential_design import Goal
from sequential_trials import EVERY, ROUNDS, STRATA, Law, Many, N, outcomes, wrong


def drawn(kind: str = "winner", systems: int = 4, theta: float = 0.75, seed: int = 0, **law: Any) -> Any:
    """Popularity, shape (systems, 200 prompts, 1)."""
    rng = np.random.default_rng(seed)
    return Law(kind, systems, theta, **law).popularity(rng, 1)[0][:, :, None]


def design(systems: int = 4, **options: Any) -> SequentialDesign:
    return SequentialDesign.rounds(systems, N, EVERY, **options)


def same(one: SequentialState, other: SequentialState) -> bool:
    return all(
        np.array_equal(getattr(one, f.name), getattr(other, f.name), equal_nan=f.name == "win_rates")
        or getattr(one, f.name) == getattr(other, f.name)
        for f in fields(SequentialState)
    )


# A function of the data


@pytest.mark.parametrize("goal", ["best", "decided"])
def test_later_looks_change_nothing_about_earlier_ones(goal: Goal) -> None:
    values, plan = drawn("different", theta=0.6), design(goal=goal)
    every = replay_looks(plan, values, ROUNDS, STRATA)
    for looks in range(1, len(every)):
        here = looks * EVERY
        few = replay_looks(plan, values[:, :here], ROUNDS[:here], STRATA[:here])
        assert len(few) == looks + 1
        assert all(same(a, b) for a, b in zip(few, every, strict=False))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 9), st.integers(0, 2**32 - 1), st.sampled_from(["best", "decided"]))
def test_a_round_that_is_not_complete_plays_no_part(look: int, seed: int, goal: Goal) -> None:
    values, plan = drawn("different", theta=0.6), design(goal=goal)
    every = replay_looks(plan, values, ROUNDS, STRATA)
    rng = np.random.default_rng(seed)
    killed = values.copy()
    killed[:, look < ROUNDS] = np.nan
    killed[:, look == ROUNDS] *= np.where(rng.random((4, EVERY, 1)) < 0.7, 1, np.nan)
    killed[0, look * EVERY] = np.nan
    found = replay_looks(plan, killed, ROUNDS, STRATA)
    assert same(found[-1], every[min(len(found) - 1, len(every) - 1)])
    assert len(found) <= len(every)


def test_values_that_no_look_needs_play_no_part() -> None:
    values, plan = drawn("different", theta=0.7), design()
    every = replay_looks(plan, values, ROUNDS, STRATA)
    left = every[-1].left_at
    assert 0 < left.min() < left.max()  # systems left at different looks
    bare = values.copy()
    for system, look in enumerate(left):
        bare[system, look <= ROUNDS] = np.nan
    assert all(same(a, b) for a, b in zip(replay_looks(plan, bare, ROUNDS, STRATA), every, strict=True))


def test_a_look_waits_for_every_system_that_is_active() -> None:
    values = drawn("different", theta=0.6)
    values[2, 30] = np.nan
    state = replay_looks(design(goal="decided"), values, ROUNDS, STRATA)[-1]
    assert (state.look, state.stop) == (1, None)
    assert state.active.all()
    assert replay_looks(design(), np.full((4, N, 1), np.nan), ROUNDS, STRATA)[-1].look == 0


def test_a_prompt_that_failed_for_good_is_left_out_and_counts_as_taken() -> None:
    values, without = drawn("different", theta=0.6), np.zeros(N, bool)
    without[[3, 33]] = True
    values[1, without] = np.nan
    states = replay_looks(design(goal="decided"), values, ROUNDS, STRATA, left_out=without)
    assert states[2].n_prompts.tolist() == [38] * 6
    np.testing.assert_allclose(states[1].win_rates[5], (values[2, :20] > values[3, :20])[~without[:20]].mean())


# What is decided


def test_a_clear_winner_is_found_early_and_others_get_no_more_prompts() -> None:
    state = replay_looks(design(5), drawn(systems=5, theta=0.85), ROUNDS, STRATA)[-1]
    assert state.stop == "best"
    assert state.candidates.tolist() == [True] + [False] * 4
    assert state.look <= 4
    assert not state.active.any()
    assert (state.ruled_out_at[1:] > 0).all()
    assert state.ruled_out_at[0] == 0


def test_all_different_systems_are_decided_in_their_order() -> None:
    states = replay_looks(design(goal="decided"), drawn("different", theta=0.8), ROUNDS, STRATA)
    assert states[-1].stop == "decided"
    assert states[-1].verdicts.tolist() == [1] * 6
    for state in states[1:]:
        now = (state.decided_at > 0) & (state.decided_at <= state.look)
        assert np.array_equal(now, state.verdicts != 0)
    assert states[-1].decided_at.min() < states[-1].decided_at.max() == states[-1].look


def test_equal_systems_stop_for_futility_or_go_to_the_maximum_without_it() -> None:
    values = drawn("equal")
    early = replay_looks(design(), values, ROUNDS, STRATA)[-1]
    assert (early.stop, early.verdicts.tolist()) == ("futility", [0] * 6)
    assert early.look < 10
    full = replay_looks(design(futility=0.0), values, ROUNDS, STRATA)[-1]
    assert (full.stop, full.look) == ("maximum", 10)
    assert full.spent == pytest.approx(0.0475)


def test_systems_that_beat_one_another_in_a_circle_have_no_best() -> None:
    turns = np.array([[3, 2, 1], [1, 3, 2], [2, 1, 3]])  # each beats the next on two prompts of three
    values = turns[:, np.arange(180) % 3][:, :, None]
    state = replay_looks(SequentialDesign(3, (60, 120, 180)), values, np.arange(180) // 60, np.zeros(180, int))[-1]
    assert state.stop == "no best"
    assert not state.candidates.any()


def test_a_width_is_reached_by_every_interval() -> None:
    state = replay_looks(design(3, goal="width", width=0.25), drawn("equal", 3), ROUNDS, STRATA)[-1]
    assert state.stop == "width"
    assert (state.high - state.low).max() <= 0.25
    assert 1 < state.look < 10


def test_fewer_than_ten_prompts_decide_nothing() -> None:
    values = drawn("winner", 2, 0.999)
    without = ROUNDS == 0
    without[:9] = False
    states = replay_looks(design(2, spending="pocock"), values, ROUNDS, STRATA, left_out=without)
    assert states[1].verdicts.tolist() == [0]
    assert (states[1].low[0], states[1].high[0]) == (0, 1)
    assert states[2].verdicts.tolist() == [1]


@pytest.mark.parametrize("goal", ["best", "decided"])
@pytest.mark.parametrize("kind", ["equal", "different", "clusters"])
def test_verdicts_follow_from_the_family_intervals_which_only_get_narrower(goal: Goal, kind: str) -> None:
    states = replay_looks(design(goal=goal), drawn(kind, theta=0.65), ROUNDS, STRATA)
    for before, after in itertools.pairwise(states):
        sides = (after.family_low > 0.5).astype(int) - (after.family_high < 0.5)
        assert np.array_equal(after.verdicts, sides)
        assert (after.family_low >= before.family_low).all()
        assert (after.low >= before.low).all()
        assert (after.high <= before.high).all()
        assert (after.low <= after.high).all()
        assert ((after.verdicts == before.verdicts) | (before.verdicts == 0)).all()
        assert after.spent > before.spent


def test_one_look_gives_the_interval_of_boards() -> None:
    values = drawn("winner", 2, 0.6)
    state = replay_looks(SequentialDesign(2, (N,), reserved=0.0), values, np.zeros(N, int), STRATA)[-1]
    y = (values[:1, :, 0] > values[1:, :, 0]).astype(float)
    np.testing.assert_allclose((state.low, state.high), korn_graubard(y, STRATA), atol=1e-9)
    np.testing.assert_allclose((state.family_low, state.family_high), (state.low, state.high), atol=1e-9)
    assert state.win_rates == pytest.approx(win_rates(y))


# Going on


def test_an_extension_keeps_what_was_decided_and_spends_what_was_reserved() -> None:
    plan = design(goal="decided", futility=0.0)
    longer = plan.extended(400).extended(600)
    assert longer.looks == tuple(range(20, 601, 20))
    np.testing.assert_array_equal(longer.increments[:10], plan.increments)
    assert longer.increments.sum() == pytest.approx(0.05 * (0.95 + 0.025 + 0.0125))
    assert [longer.family.at(look, 3) for look in range(10)] == [plan.family.at(look, 3) for look in range(10)]
    values = drawn("different", theta=0.55)
    first, more = replay_looks(plan, values, ROUNDS, STRATA), replay_looks(longer, values, ROUNDS, STRATA)
    assert first[-1].stop == "maximum"
    assert more[-1].stop is None
    assert more[-1].active.any()
    assert all(np.array_equal(a.verdicts, b.verdicts) for a, b in zip(first, more, strict=True))


def test_an_extension_brings_back_what_was_hopeless_before_it() -> None:
    values, plan = drawn("equal"), design()
    stopped = replay_looks(plan, values, ROUNDS, STRATA)[-1]
    assert stopped.stop == "futility"
    bare = values.copy()
    for system, look in enumerate(stopped.left_at):
        bare[system, look <= ROUNDS] = np.nan
    on = replay_looks(plan.extended(1000), bare, ROUNDS, STRATA)[-1]
    assert (on.stop, on.active.tolist()) == (None, [True] * 4)
    assert on.look == stopped.left_at.min()


def test_a_width_may_need_more_prompts_than_the_verdicts() -> None:
    values = drawn("winner", 2, 0.85)
    states = replay_looks(design(2, goal="width", width=0.15), values, ROUNDS, STRATA)
    assert 0 < states[-1].decided_at[0] < states[-1].look
    assert states[-1].family_low[0] > 0.5


def test_another_goal_says_which_systems_have_to_catch_up() -> None:
    values, plan = drawn("clusters", theta=0.8), design()
    stopped = replay_looks(plan, values, ROUNDS, STRATA)[-1]
    bare = values.copy()
    for system, look in enumerate(stopped.left_at):
        bare[system, look <= ROUNDS] = np.nan
    on = replay_looks(replace(plan, goal="decided"), bare, ROUNDS, STRATA)[-1]
    assert on.stop is None
    behind = on.active & (stopped.left_at <= on.look)
    assert behind.any()
    assert replay_looks(replace(plan, goal="decided"), values, ROUNDS, STRATA)[-1].look >= on.look


# Designs


def test_a_design_survives_json_and_its_digest_tells_designs_apart() -> None:
    plan = design(goal="width", width=0.05).extended(300, 50)
    assert SequentialDesign.from_json(plan.to_json()) == plan
    assert SequentialDesign.from_json(plan.to_json()).digest == plan.digest
    others = {design(4).digest, design(5).digest, design(goal="decided").digest, design(futility=0).digest, plan.digest}
    assert len(others) == 5
    assert SequentialDesign(2, (100,)).digest == "b33b385c3ac0ccd049c9c161524afb87"


def test_default_spending_follows_the_goal() -> None:
    assert (design().spending, design(goal="decided").spending) == ("linear", "obrien-fleming")
    assert replace(design(), goal="decided").spending == "linear"


# Errors, many repetitions at once


@pytest.mark.parametrize(
    ("law", "goal"),
    [
        (Law("equal", 3), "best"),
        (Law("equal", 4, ties=True, invalid=0.1), "decided"),
        (Law("equal", 4, categories=0.7), "decided"),
        (Law("clusters", 5, 0.7), "best"),
        (Law("different", 4, 0.65), "decided"),
    ],
)
def test_many_repetitions_at_once_decide_as_replay_does(law: Law, goal: Goal) -> None:
    """The benchmark's procedure, whose effective numbers of comparisons come from a few repetitions."""
    plan = design(law.systems, goal=goal)
    x = law.popularity(np.random.default_rng(7), 8)
    many = Many(plan, outcomes(x)).run()
    agree = 0
    for one, verdicts, candidates, clips in zip(x, many.verdicts, many.candidates, many.clips, strict=True):
        state = replay_looks(plan, one[:, :, None], ROUNDS, STRATA)[-1]
        used = (np.where(state.left_at == 0, state.look, state.left_at) * EVERY).sum() / (law.systems * N)
        agree += bool((state.verdicts == verdicts).all() and (state.candidates == candidates).all() and used == clips)
    assert agree >= 7


@pytest.mark.parametrize("goal", ["best", "decided"])
def test_a_wrong_verdict_at_any_look_is_rare(goal: Goal) -> None:
    """A fast version of tests/benchmarks/sequential.py; looks without correction are wrong in 15 %."""
    law = Law("equal", 3)
    result = Many(design(3, goal=goal, futility=0.0), outcomes(law.popularity(np.random.default_rng(5), 1000))).run()
    assert wrong(law, result.verdicts, result.candidates).mean() <= 0.055


# What is refused


ONES = np.ones((4, N, 1))


def stored(changes: dict[str, object]) -> object:
    return SequentialDesign.from_json({**design().to_json(), **changes})


def replayed(*of: Any) -> object:
    return replay_looks(design(), *of)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SequentialDesign(1, (20,)), "at least 2 systems, got 1"),
        (lambda: SequentialDesign(2, ()), "at least 10 prompts, got no look"),
        (lambda: SequentialDesign(2, (9, 20)), "first look needs at least 10 prompts"),
        (lambda: SequentialDesign(2, (20, 20)), "more prompts than the look before"),
        (lambda: SequentialDesign(2, (20,), goal="all"), "best, decided or width, not 'all'"),  # type: ignore[arg-type]
        (lambda: SequentialDesign(2, (20,), goal="width"), "needs a width"),
        (lambda: SequentialDesign(2, (20,), width=0.1), "no other goal has one"),
        (lambda: SequentialDesign(2, (20,), goal="width", width=1.5), "between 0 and 1, got 1.5"),
        (lambda: SequentialDesign(2, (20,), level=95), "level must be between 0 and 1, got 95"),
        (lambda: SequentialDesign(2, (20,), futility=1), "at least 0 and below 1"),
        (lambda: SequentialDesign(2, (20,), spending="flat"), "not 'flat'"),  # type: ignore[arg-type]
        (lambda: SequentialDesign(2, (20, 40), maxima=(1,)), "maxima must increase to the number of looks, 2"),
        (lambda: SequentialDesign.rounds(2, 100, 0), "at least 1 prompt, got 0"),
        (lambda: design().extended(200), "above 200 prompts, got 200"),
        (lambda: design(reserved=0.0).extended(400), "reserved for it"),
        (
            lambda: stored({"method": 0}),
            "of method 0, this popbench has method 1",
        ),
        (lambda: SequentialDesign.from_json({"method": 1}), "a design needs the fields"),
        (lambda: stored({"looks": ["20"]}), "the stored design is damaged"),
        (lambda: replayed(np.ones((3, N, 1)), ROUNDS, STRATA), "4 systems, prompts, repeats"),
        (lambda: replayed(np.ones((4, N)), ROUNDS, STRATA), "4 systems, prompts, repeats"),
        (lambda: replayed(ONES, ROUNDS[1:], STRATA), "200 prompts, rounds of"),
        (
            lambda: replayed(ONES, ROUNDS + 1, STRATA),
            "rounds 0 to 9, got 10: extend the design",
        ),
        (lambda: replayed(ONES, ROUNDS * 0, STRATA), "more prompts than the design"),
        (lambda: replayed(ONES, ROUNDS, STRATA[1:]), "200 prompts, 199 strata labels"),
        (
            lambda: replayed(ONES, ROUNDS, STRATA, [True]),
            "left_out needs one value per prompt",
        ),
        (lambda: replayed(-ONES, ROUNDS, STRATA), "must be finite and >= 0"),
    ],
)
def test_refusals_are_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        call()
    assert "\n" not in str(refusal.value)
