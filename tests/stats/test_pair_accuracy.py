"""How often a predictor puts two items into the right order: the shares, their bins, and the coverage of intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from popbench.stats import pair_accuracy, pair_accuracy_by_difference, pair_accuracy_by_group


def test_the_share_is_that_of_counting_pairs_one_by_one() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 12, 40).astype(float)
    predicted = np.round(truth + rng.normal(0, 6, 40))
    right, pairs = 0.0, 0
    for i, j in combinations(range(40), 2):
        if truth[i] != truth[j]:
            pairs += 1
            equal = predicted[i] == predicted[j]
            right += 0.5 if equal else (predicted[i] > predicted[j]) == (truth[i] > truth[j])
    found = pair_accuracy(predicted, truth)
    assert found is not None
    assert (found.items, found.pairs) == (40, pairs)
    assert found.value == pytest.approx(right / pairs)
    assert found.low < found.value < found.high


def test_bins_hold_every_pair_once_and_larger_differences_are_more_often_right() -> None:
    rng = np.random.default_rng(6)
    predicted = rng.normal(size=300)
    truth = predicted + rng.normal(0, 1.5, 300)
    whole, bins = pair_accuracy(predicted, truth), pair_accuracy_by_difference(predicted, truth)
    assert whole is not None
    assert len(bins) == 5
    assert sum(one.pairs for one in bins) == whole.pairs
    assert [one.below for one in bins[:-1]] == [one.least for one in bins[1:]]
    assert (bins[0].least, bins[-1].below) == (0.0, None)
    assert max(one.pairs for one in bins) < 1.1 * min(one.pairs for one in bins)
    assert [one.value for one in bins] == sorted(one.value for one in bins)


def test_equal_predictions_are_one_bin_of_a_half() -> None:
    (only,) = pair_accuracy_by_difference(np.ones(10), np.arange(10))
    assert (only.value, only.pairs, only.below) == (0.5, 45, None)


def test_groups_count_pairs_within_them_and_those_without_a_pair_are_left_out() -> None:
    found = pair_accuracy_by_group([1, 2, 3, 4, 9], [1, 2, 4, 3, 0], ["a", "a", "b", "b", "c"])
    assert {name: one.value for name, one in found.items()} == {"a": 1.0, "b": 0.0}
    assert found["a"].low < 0.1
    assert found["a"].high == 1.0


def test_nothing_is_said_where_there_is_no_pair() -> None:
    assert pair_accuracy([1.0], [2.0]) is None
    assert pair_accuracy([1.0, 2.0], [3.0, 3.0]) is None
    assert pair_accuracy_by_difference([1.0, 2.0], [3.0, 3.0]) == []


@pytest.mark.parametrize(
    ("predicted", "truth", "says"),
    [([1.0], [1.0, 2.0], "one shape"), ([1.0, float("nan")], [1.0, 2.0], "finite"), ([[1.0]], [[1.0]], "one shape")],
)
def test_what_is_no_prediction_is_refused(predicted: list[float], truth: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pair_accuracy(predicted, truth)
    with pytest.raises(ValueError, match="1 bin"):
        pair_accuracy_by_difference([1.0], [1.0], bins=0)
    with pytest.raises(ValueError, match="one group per item"):
        pair_accuracy_by_group([1.0], [1.0], [])


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("items", [12, 60])
def test_intervals_cover_although_pairs_share_items(correlation: float, items: int) -> None:
    rng = np.random.default_rng([items, int(10 * correlation)])
    true = 0.5 + np.arcsin(correlation) / np.pi  # of two normal variables
    repetitions, covered = 400, 0
    for _ in range(repetitions):
        predicted, noise = rng.normal(size=(2, items))
        found = pair_accuracy(predicted, correlation * predicted + np.sqrt(1 - correlation**2) * noise)
        assert found is not None
        covered += found.low <= true <= found.high
    assert covered >= 0.92 * repetitions
