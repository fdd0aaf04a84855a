"""Win rates over people: right whatever the predictor is worth, and never wider than labels alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from popbench.stats import CorrectedWinRate, corrected_win_rate, korn_graubard


def draw(
    rng: np.random.Generator, labelled: int = 60, prompts: int = 200, strata: int = 4, knows: float = 0.8
) -> dict[str, Any]:
    """Draw predictions and labels; `knows` is the correlation of what both see."""
    people = rng.standard_normal(prompts)
    predictor = knows * people + np.sqrt(1 - knows**2) * rng.standard_normal(prompts)
    return {
        "predicted": (predictor > -0.7).astype(float),
        "labelled": np.arange(labelled),
        "labels": (people[:labelled] > 0.2).astype(float),
        "strata": np.arange(prompts) % strata,
    }


def width(of: Any) -> float:
    return float(of.high - of.low)


# -- labels only


def test_labels_of_one_stratum_give_the_exact_interval_of_boards() -> None:
    data = draw(np.random.default_rng(1), strata=1)
    found = corrected_win_rate(**data).labels
    low, high = korn_graubard(data["labels"][np.newaxis], np.zeros(60, dtype=int))
    assert (found.low, found.high) == pytest.approx((low[0], high[0]), rel=1e-12)
    assert found.value == pytest.approx(data["labels"].mean())


def test_labels_in_proportion_to_strata_give_the_exact_interval_of_boards() -> None:
    data = draw(np.random.default_rng(2))
    found = corrected_win_rate(**data).labels
    low, high = korn_graubard(data["labels"][np.newaxis], data["strata"][:60])
    assert (found.low, found.high) == pytest.approx((low[0], high[0]), rel=1e-12)


def test_a_stratum_counts_by_its_prompts_not_by_its_labels() -> None:
    strata = np.repeat([0, 1], [150, 50])
    labelled = np.r_[np.arange(20), 150 + np.arange(40)]
    labels = np.r_[np.ones(20), np.zeros(40)]
    found = corrected_win_rate(np.full(200, 0.5), labelled, labels, strata).labels
    assert found.value == pytest.approx(0.75)


def test_strata_with_few_labels_are_pooled() -> None:
    data = draw(np.random.default_rng(3), labelled=12, strata=10)
    found = corrected_win_rate(**data)
    assert found.labels.value == pytest.approx(data["labels"].mean())


def test_several_votes_on_a_prompt_are_one_observation() -> None:
    data = draw(np.random.default_rng(4))
    once = corrected_win_rate(**data)
    twice = corrected_win_rate(
        data["predicted"], np.tile(data["labelled"], 2), np.tile(data["labels"], 2), data["strata"]
    )
    assert twice == once


@pytest.mark.parametrize("labels", [np.ones(20), np.zeros(20), np.full(20, 0.5)])
def test_no_interval_collapses(labels: Any) -> None:
    found = corrected_win_rate(np.ones(200), np.arange(20), labels, np.zeros(200, dtype=int))
    assert width(found.labels) > 0.05
    assert width(found.corrected) > 0.05


def test_a_perfect_predictor_leaves_an_interval_of_the_width_of_a_complete_vote() -> None:
    rng = np.random.default_rng(5)
    truth = (rng.random(400) < 0.6).astype(float)
    found = corrected_win_rate(truth, np.arange(100), truth[:100], np.zeros(400, dtype=int))
    low, high = korn_graubard(truth[np.newaxis], np.zeros(400, dtype=int))
    assert found.weight == 1
    assert found.corrected.value == pytest.approx(truth.mean())
    assert high[0] - low[0] < width(found.corrected) < width(found.labels) * 0.65


# -- the correction


@pytest.mark.parametrize("knows", [0.0, 0.3, 0.9, -0.9])
@pytest.mark.parametrize("labelled", [5, 20, 80, 200])
def test_the_corrected_interval_is_never_wider_than_that_of_labels(knows: float, labelled: int) -> None:
    rng = np.random.default_rng(6)
    for _ in range(50):
        found = corrected_win_rate(**draw(rng, labelled, knows=knows))
        assert width(found.corrected) <= width(found.labels)
        assert 0 <= found.weight <= 1
        if found.weight == 0:
            assert found.corrected == found.labels


def test_a_predictor_that_is_right_about_which_prompts_are_won_corrects_an_unlucky_selection() -> None:
    rng = np.random.default_rng(7)
    truth = np.r_[np.ones(40), (rng.random(160) < 0.5)]
    found = corrected_win_rate(truth, np.arange(60), truth[:60], np.zeros(200, dtype=int))
    assert abs(found.corrected.value - truth.mean()) < abs(found.labels.value - truth.mean()) / 5


def test_where_everything_is_labelled_predictions_change_nothing() -> None:
    found = corrected_win_rate(**draw(np.random.default_rng(8), labelled=200, knows=0.95))
    assert found.corrected == found.labels


def test_swapping_the_systems_mirrors_everything() -> None:
    rng = np.random.default_rng(9)
    data = draw(rng)
    sides = rng.permutation(np.arange(60) % 2 * 2 - 1)
    voters = np.arange(60) % 15
    found = corrected_win_rate(**data, sides=sides, voters=voters)
    mirrored = corrected_win_rate(
        1 - data["predicted"], data["labelled"], 1 - data["labels"], data["strata"], sides=-sides, voters=voters
    )
    for a, b in ((found.labels, mirrored.labels), (found.corrected, mirrored.corrected)):
        assert (a.value, a.low, a.high) == pytest.approx((1 - b.value, 1 - b.high, 1 - b.low), abs=1e-9)
    assert found.weight == pytest.approx(mirrored.weight)
    assert found.position_effect == pytest.approx(mirrored.position_effect)


# -- sides


def test_a_habit_of_choosing_the_left_one_does_not_move_the_rate_of_an_unbalanced_vote() -> None:
    sides = np.where(np.arange(100) < 70, 1, -1)
    labels = np.where(sides == 1, np.arange(100) % 10 < 8, np.arange(100) % 10 < 4).astype(float)
    found = corrected_win_rate(np.full(300, 0.5), np.arange(100), labels, np.zeros(300, dtype=int), sides=sides)
    assert found.labels.value == pytest.approx(0.6)
    assert found.position_effect == pytest.approx(0.4)
    ignored = corrected_win_rate(np.full(300, 0.5), np.arange(100), labels, np.zeros(300, dtype=int))
    assert ignored.labels.value == pytest.approx(0.68)


def test_a_strong_habit_makes_a_balanced_vote_more_precise_if_it_is_known() -> None:
    sides = np.arange(100) % 2 * 2 - 1
    labels = (sides == 1).astype(float)
    labels[:10] = 1
    known = corrected_win_rate(np.full(300, 0.5), np.arange(100), labels, np.zeros(300, dtype=int), sides=sides)
    ignored = corrected_win_rate(np.full(300, 0.5), np.arange(100), labels, np.zeros(300, dtype=int))
    assert known.labels.value == pytest.approx(ignored.labels.value)
    assert width(known.labels) < 0.6 * width(ignored.labels)


# -- voters


def test_voters_who_vote_once_change_nothing() -> None:
    data = draw(np.random.default_rng(10))
    assert corrected_win_rate(**data, voters=np.arange(60) + 7) == corrected_win_rate(**data)


def test_voters_of_opposite_taste_widen_intervals() -> None:
    voters = np.repeat(np.arange(10), 10)
    labels = (voters % 2).astype(float)
    arguments = (np.full(300, 0.5), np.arange(100), labels, np.zeros(300, dtype=int))
    apart = corrected_win_rate(*arguments, voters=voters).labels
    alike = corrected_win_rate(*arguments, voters=np.arange(100) % 10).labels
    assert width(apart) > 3 * width(corrected_win_rate(*arguments).labels)
    assert width(alike) < 1.3 * width(corrected_win_rate(*arguments).labels)


def test_names_of_voters_do_not_matter() -> None:
    data = draw(np.random.default_rng(11))
    voters = np.arange(60) % 12
    renamed = corrected_win_rate(**data, voters=1000 - 3 * voters)
    assert renamed.labels.low == pytest.approx(corrected_win_rate(**data, voters=voters).labels.low)


# -- coverage


@pytest.mark.parametrize(("labelled", "voters"), [(20, 0), (100, 0), (100, 8)])
def test_intervals_hold_the_true_rate(labelled: int, voters: int) -> None:
    rng = np.random.default_rng(12)
    truth, hold, repetitions = 1 - 0.5792597094391030, 0, 600  # P(normal > .2)
    for _ in range(repetitions):
        data = draw(rng, labelled)
        found = corrected_win_rate(**data, voters=np.arange(labelled) % voters if voters else None)
        hold += found.corrected.low <= truth <= found.corrected.high
    assert hold / repetitions > 0.935


# -- what is refused


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": np.zeros(59)}, "one prompt each"),
        ({"labels": np.zeros(0), "labelled": np.zeros(0, dtype=int)}, "one prompt each"),
        ({"labels": np.full(60, 1.5)}, r"\[0, 1\]"),
        ({"predicted": np.full(200, np.nan)}, r"\[0, 1\]"),
        ({"labelled": np.arange(60) + 150}, "from 0 to 199"),
        ({"labelled": np.arange(60) - 1}, "from 0 to 199"),
        ({"strata": np.zeros(10, dtype=int)}, "200 prompts"),
        ({"sides": np.full(60, 0.5)}, "sides need 1"),
        ({"voters": np.zeros(60, dtype=int)}, "one voter"),
        ({"voters": np.zeros(10, dtype=int)}, "one integer per label"),
        ({"level": 1.0}, "level"),
    ],
)
def test_what_cannot_be_computed_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corrected_win_rate(**{**draw(np.random.default_rng(13)), **changed})


def test_one_label_gives_an_interval() -> None:
    found = corrected_win_rate(np.ones(50), [3], [1.0], np.zeros(50, dtype=int), sides=[1])
    assert isinstance(found, CorrectedWinRate)
    assert found.labels.low < 0.5 < found.labels.high == 1
