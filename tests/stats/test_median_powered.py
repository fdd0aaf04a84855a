"""Medians of real outcomes, corrected by predictions: right whatever the predictor is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from popbench.stats import RealMedian, corrected_median, corrected_win_rate


def draw(rng: np.random.Generator, knows: float, labelled: int = 120, prompts: int = 400) -> tuple[Any, ...]:
    """Draw predictions of all prompts and real counts of some, whose logarithms correlate; the true median is 1."""
    lead = np.arange(prompts) % 4 * 0.4 - 0.6
    people = rng.standard_normal(prompts)
    seen = knows * people + np.sqrt(1 - knows**2) * rng.standard_normal(prompts)
    return seen + lead, np.arange(labelled), np.exp(people + lead)[:labelled], np.arange(prompts) % 4


def width(of: RealMedian) -> float:
    assert of.low is not None
    assert of.high is not None
    return float(np.log(of.high / of.low))


def test_from_labels_only_it_is_the_median_between_outcomes_of_the_sample() -> None:
    rng = np.random.default_rng(1)
    outcomes = rng.permutation(np.arange(1.0, 62))
    for_labels, corrected = corrected_median(np.zeros(200), np.arange(61), outcomes, np.zeros(200, dtype=int))
    assert for_labels == corrected
    assert for_labels.value == 31
    shares = [
        corrected_win_rate(np.full(200, 0.5), np.arange(61), outcomes >= of, np.zeros(200, dtype=int)).labels.low
        for of in (for_labels.low, for_labels.low + 1)  # type: ignore[operator]
    ]
    assert shares[0] > 0.5 >= shares[1]


@pytest.mark.parametrize("knows", [0.0, 0.5, 0.9])
def test_intervals_hold_and_a_good_predictor_makes_them_narrower(knows: float) -> None:
    rng, hold, widths = np.random.default_rng(2), np.zeros(2), []
    for _ in range(120):
        both = corrected_median(*draw(rng, knows))
        hold += [of.low <= 1 <= of.high for of in both]  # type: ignore[operator]
        widths.append([width(of) for of in both])
        assert widths[-1][1] <= widths[-1][0] * 1.6
    assert (hold / 120 > 0.92).all()  # nominal .95, standard error .02
    narrower = np.mean(widths, axis=0)
    assert narrower[1] / narrower[0] < {0.0: 1.001, 0.5: 0.975, 0.9: 0.87}[knows]


def test_only_the_order_of_predictions_counts() -> None:
    scores, *rest = draw(np.random.default_rng(3), 0.8)
    assert corrected_median(np.exp(3 * scores), *rest) == corrected_median(scores, *rest)


def test_ties_an_unknown_scale_and_few_labels_give_what_they_tell() -> None:
    scores, index, counts, strata = draw(np.random.default_rng(4), 0.8)
    labels, corrected = corrected_median(scores, index, np.floor(counts), strata)
    assert labels.low in np.floor(counts)
    assert corrected.value in np.arange(0, 20, 0.5)
    few, same = corrected_median(scores, index[:90], counts[:90], strata)
    assert few == same
    lone, _ = corrected_median(scores, [3], [7.0], strata)
    assert lone == RealMedian(7, None, None)
    zeros, _ = corrected_median(scores, index, np.zeros(120), strata)
    assert (zeros.value, zeros.low, zeros.high) == (0, 0, 0)
    scores[5] = -np.inf
    assert corrected_median(scores, index, counts, strata)[0].value > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"predicted": np.full(400, np.nan)}, "no NaN"),
        ({"outcomes": np.full(120, np.inf)}, "finite outcomes"),
        ({"labelled": np.arange(119)}, "one prompt each"),
        ({"labelled": np.arange(120) + 350}, "from 0 to 399"),
        ({"strata": np.zeros(3, dtype=int)}, "400 prompts"),
    ],
)
def test_what_cannot_be_computed_is_refused(changed: dict[str, Any], message: str) -> None:
    given = dict(zip(("predicted", "labelled", "outcomes", "strata"), draw(np.random.default_rng(5), 0.5), strict=True))
    with pytest.raises(ValueError, match=message):
        corrected_median(**{**given, **changed})
