"""What the lead of the best of several drafts is worth: calibrated by simulation, right where the answer is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from popbench.stats import winner
from popbench.stats.winner import winners_worth, worth_if


@dataclass(frozen=True)
class Calibration:
    """Shares and means over many sets of drafts: how often the interval holds, and how far estimates are off."""

    coverage: float
    naive: float
    shrunk: float
    claimed: float
    true: float


def calibration(share: float | None, drafts: int, repeats: int, rounds: int) -> Calibration:
    """Judge the estimates for drafts that make so much of the variance; None draws that share anew each time."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(rounds):
        rho = rng.random() if share is None else share
        truth = rng.normal(size=drafts) * np.sqrt(rho)
        clips = truth[:, np.newaxis] + rng.normal(size=(drafts, repeats)) * np.sqrt(1 - rho)
        found = winners_worth(clips.tolist(), seed=number)
        of = truth[found.winner]
        rows.append(
            (found.low <= of <= found.high, found.score - of, found.expected - of, found.best, of >= truth.max())
        )
    return Calibration(*np.mean(np.array(rows, dtype=float), axis=0).tolist())


@pytest.fixture
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winner, "_DRAWS", 1000)


@pytest.mark.usefixtures("_few_draws")
@pytest.mark.parametrize(("drafts", "repeats"), [(8, 2), (4, 3)])
def test_intervals_probabilities_and_expected_scores_are_calibrated(drafts: int, repeats: int) -> None:
    found = calibration(None, drafts, repeats, rounds=600)
    assert 0.93 < found.coverage < 0.98
    assert abs(found.shrunk) < 0.05
    assert found.naive > 0.2, "the highest of several means is too high"
    assert abs(found.claimed - found.true) < 0.06


@pytest.mark.usefixtures("_few_draws")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_in_a_world_with_one_share_of_luck_intervals_hold_and_the_estimate_is_nearer_than_the_score(
    share: float,
) -> None:
    found = calibration(share, 8, 2, rounds=200)
    assert found.coverage > 0.92
    assert abs(found.shrunk) < max(0.35 * found.naive, 0.12)
    assert abs(found.claimed - found.true) < 0.15


def test_a_seed_that_changes_nothing_leaves_the_score_as_it_is() -> None:
    found = winners_worth([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]])
    assert (found.winner, found.expected, found.low, found.high, found.best) == (1, 3.0, 3.0, 3.0, 1.0)
    assert winners_worth([[3.0, 3.0], [3.0, 3.0], [2.0, 2.0]]).best == 0.5


def test_drafts_that_score_alike_lead_by_nothing() -> None:
    found = winners_worth([[2.0, 2.0], [2.0, 2.0]])
    assert (found.expected, found.best, found.kept) == (2.0, 0.5, None)


def test_clips_that_differ_by_luck_alone_keep_nothing_of_the_lead() -> None:
    rng = np.random.default_rng(1)
    found = winners_worth(rng.normal(size=(40, 8)).tolist())
    assert found.kept is not None
    assert found.kept < 0.25
    assert found.best < 0.3
    assert found.draft_share[2] < 0.12


def test_drafts_with_unlike_numbers_of_clips_are_shrunk_unlike_much() -> None:
    """One lucky clip does not win against a draft that scored high five times."""
    found = winners_worth([[2.0], [1.9, 1.8, 2.1, 1.7, 1.9], [0.0, 1.2], [0.3, -0.9], [0.1, 0.9], [-0.4, 0.8]])
    assert found.winner == 1


@pytest.mark.parametrize("luck", [0.2, 0.5, 0.8])
def test_with_one_clip_each_the_lead_shrinks_by_the_assumed_share_of_luck(luck: float) -> None:
    found = worth_if([1.0, 2.0, 3.0, 4.0, 5.0], 1 - luck)
    assert found.winner == 4
    assert found.kept == pytest.approx(1 - luck)
    assert found.expected == pytest.approx(3 + 2 * (1 - luck))
    assert 0.2 < found.best < 1


def test_the_same_clips_give_the_same_answer() -> None:
    clips = [[1.0, 2.0], [2.0, 2.5], [0.5, 0.1]]
    assert winners_worth(clips) == winners_worth(clips)


def test_one_draft_is_the_best() -> None:
    assert winners_worth([[1.0, 2.0]]).best == 1.0


@pytest.mark.parametrize(
    ("clips", "why"),
    [
        ([], "one draft or more"),
        ([[1.0], []], "one or more finite scores"),
        ([[1.0, float("nan")]], "one or more finite scores"),
        ([[1.0], [2.0]], "no draft has two clips"),
    ],
)
def test_scores_that_tell_nothing_are_refused(clips: list[list[float]], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        winners_worth(clips)


def test_shares_and_levels_lie_between_0_and_1() -> None:
    with pytest.raises(ValueError, match="draft_share is 1"):
        worth_if([1.0, 2.0], 1)
    with pytest.raises(ValueError, match="level is 1"):
        winners_worth([[1.0, 2.0]], level=1)
