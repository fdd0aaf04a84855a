"""Win rates from votes alone: their values, and how often their intervals hold for voters and prompts that differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from popbench.ballot.tally import tally
from popbench.ballot.votes import Choice, Vote

A, B = "a|basic|x", "b|basic|x"


def vote(voter: int, prompt: int, choice: Choice, left: str = A, right: str = B) -> Vote:
    return {
        "ballot": "0" * 16, "pair": f"{prompt:016x}", "task": "t", "prompt_id": f"p{prompt}", "category": "c",
        "repeat": 0, "left": left, "right": right, "choice": choice, "question": "?", "voter": f"{voter:016x}",
        "name": "", "seconds": 1.0, "at": "2026-01-01T00:00:00+0000",
    }  # fmt: skip


def test_a_win_counts_on_either_side_a_tie_half_and_a_skip_not() -> None:
    votes = [
        vote(0, 0, "left"), vote(0, 1, "right", B, A), vote(1, 0, "tie"), vote(1, 1, "right"), vote(1, 2, "skip"),
    ]  # fmt: skip
    found = tally(votes)
    (pair,) = found.pairs
    assert (pair.a, pair.b, pair.wins, pair.ties, pair.losses) == (A, B, 2, 1, 1)
    assert (pair.rate.value, pair.rate.n, pair.rate.voters) == (0.625, 4, 2)
    assert (found.voters, found.votes, found.skipped) == (2, 4, 1)
    assert found.first is not None
    assert found.first.value == pytest.approx(1 / 3)


def test_no_votes_say_nothing() -> None:
    assert tally([]).pairs == ()
    assert tally([vote(0, 0, "tie"), vote(0, 1, "skip")]).first is None


def test_voters_who_agree_with_themselves_alone_make_the_interval_wider() -> None:
    def width(choices: Sequence[Sequence[Choice]]) -> float:
        votes = [vote(voter, prompt, choice) for voter, row in enumerate(choices) for prompt, choice in enumerate(row)]
        rate = tally(votes).pairs[0].rate
        assert rate.low is not None
        assert rate.high is not None
        assert rate.value == 0.5
        return rate.high - rate.low

    mixed: list[list[Choice]] = [["left", "right"] * 5 if n % 2 else ["right", "left"] * 5 for n in range(10)]
    stubborn: list[list[Choice]] = [["left"] * 10 if n % 2 else ["right"] * 10 for n in range(10)]
    assert width(stubborn) > 2 * width(mixed)


def test_intervals_hold_for_voters_and_prompts_that_differ() -> None:
    """300 audiences of 8 voters and 12 prompts, whose own tastes move the chance of a win by much."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        chance = 0.62 + 0.12 * rng.standard_normal((8, 1)) + 0.15 * rng.standard_normal((1, 12))
        wins = rng.random((8, 12)) < chance.clip(0, 1)
        votes = [vote(v, p, "left" if wins[v, p] else "right") for v in range(8) for p in range(12)]
        rate = tally(votes).pairs[0].rate
        held += rate.low is not None and rate.high is not None and rate.low <= 0.615 <= rate.high
    assert held >= 0.94 * 300
