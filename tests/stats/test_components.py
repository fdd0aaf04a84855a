"""Variance components from repeats: the law they come from is found again, with intervals that hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from popbench import stats

SD = {"system": 0.3, "prompt": 0.8, "system_prompt": 0.4, "draft": 0.6, "render": 0.7}


def made(
    rng: np.random.Generator, llms: int = 3, generators: int = 2, prompts: int = 60, repeats: int = 3, **sd: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores of LLMs times generators, (systems, prompts, repeats), and which systems share drafts."""
    sd = {**SD, **sd}
    z = rng.standard_normal
    systems = np.linspace(-1, 1, llms * generators) if llms * generators > 1 else np.zeros(1)
    systems = systems / max(systems.std(ddof=1), 1e-9) * sd["system"] if len(systems) > 1 else systems
    s = (
        systems.reshape(llms, generators, 1, 1)
        + sd["prompt"] * z((1, 1, prompts, 1))
        + sd["system_prompt"] * z((llms, generators, prompts, 1))
        + sd["draft"] * z((llms, 1, prompts, repeats))
        + sd["render"] * z((llms, generators, prompts, repeats))
    )
    return s.reshape(-1, prompts, repeats), np.repeat(np.arange(llms), generators)


def values_of(components: dict[str, stats.Component]) -> dict[str, float]:
    return {name: component.value for name, component in components.items()}


def test_estimates_have_no_bias() -> None:
    rng = np.random.default_rng(1)
    found = [values_of(stats.variance_components(*made(rng, prompts=20))) for _ in range(400)]
    for name, sd in SD.items():
        of = [one[name] for one in found]
        error = np.std(of) / np.sqrt(len(of))
        assert np.mean(of) == pytest.approx(sd**2, abs=4 * error), name


@pytest.mark.parametrize(
    ("shape", "sd"),
    [
        ({"prompts": 20}, {}),
        ({"prompts": 100}, {}),
        ({"prompts": 50, "llms": 1}, {}),
        ({"prompts": 50, "repeats": 2}, {"draft": 0.0}),
        ({"prompts": 50}, {"system": 0.0, "system_prompt": 0.0}),
    ],
)
def test_intervals_hold(shape: dict[str, Any], sd: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    times = 300
    held = dict.fromkeys(SD, 0)
    for _ in range(times):
        for name, of in stats.variance_components(*made(rng, **shape, **sd)).items():
            held[name] += of.low <= {**SD, **sd}[name] ** 2 <= of.high
    # .92 is what normal effects need at least; 3.5 standard errors of 300 repetitions are .045.
    assert min(held.values()) / times >= 0.92 - 0.045, held


def test_without_shared_drafts_only_their_sum_with_the_seeds_is_estimated() -> None:
    rng = np.random.default_rng(3)
    scores, drafts = made(rng, prompts=200)
    shared, alone = stats.variance_components(scores, drafts), stats.variance_components(scores)
    assert list(shared) == ["system", "prompt", "system_prompt", "draft", "render"]
    assert list(alone) == ["system", "prompt", "system_prompt", "draw"]
    assert alone["draw"].value == pytest.approx(shared["draft"].value + shared["render"].value)
    assert alone["prompt"] == shared["prompt"]


def test_seeds_that_all_systems_share_are_no_prompt_effect() -> None:
    """Repeat r is rendered from one seed by all systems, and may favour all alike."""
    rng = np.random.default_rng(4)
    scores, _ = made(rng, llms=2, prompts=400, draft=0.0)
    scores += 0.9 * rng.standard_normal((1, *scores.shape[1:]))
    found = stats.variance_components(scores)
    assert found["prompt"].value == pytest.approx(0.64, rel=0.3)
    assert found["draw"].value == pytest.approx(0.81 + 0.49, rel=0.1)


def test_a_system_alone_has_prompts_and_draws() -> None:
    rng = np.random.default_rng(5)
    scores, _ = made(rng, llms=1, generators=1, prompts=300)
    found = values_of(stats.variance_components(scores))
    assert list(found) == ["prompt", "draw"]
    assert found["prompt"] == pytest.approx(0.8**2 + 0.4**2, rel=0.25)
    assert found["draw"] == pytest.approx(0.6**2 + 0.7**2, rel=0.15)


def test_the_unit_and_the_level_of_scores_do_not_matter() -> None:
    scores, drafts = made(np.random.default_rng(6))
    one, other = (stats.variance_components(x, drafts) for x in (scores, 10 * scores - 7))
    for name in one:
        for end in ("value", "low", "high"):
            assert getattr(other[name], end) == pytest.approx(100 * getattr(one[name], end), rel=1e-6)


def test_missing_samples_leave_the_estimates_where_they_are() -> None:
    rng = np.random.default_rng(7)
    scores, drafts = made(rng, prompts=400)
    holes = np.where(rng.random(scores.shape) < 0.15, np.nan, scores)
    whole, some = stats.variance_components(scores, drafts), stats.variance_components(holes, drafts)
    for name in whole:
        assert some[name].value == pytest.approx(whole[name].value, rel=0.15, abs=0.01), name
        assert some[name].low < whole[name].value < some[name].high


def test_what_does_not_vary_has_no_variance() -> None:
    same = np.repeat(np.random.default_rng(8).standard_normal((3, 30, 1)), 4, axis=2)
    found = stats.variance_components(same)
    assert (found["draw"].value, found["draw"].low, found["draw"].high) == pytest.approx((0, 0, 0), abs=1e-12)
    constant = stats.variance_components(np.ones((3, 30, 2)))
    assert all(of == stats.Component(0, 0, 0) for of in constant.values())


def test_systems_without_any_score_are_left_out() -> None:
    scores, drafts = made(np.random.default_rng(9))
    scores[1] = np.nan
    found = stats.variance_components(scores, drafts)
    assert all(np.isfinite([of.value, of.low, of.high]).all() for of in found.values())
    assert stats.variance_components(np.full((2, 20, 3), np.nan)) == {}


def test_any_pattern_of_missing_samples_gives_finite_numbers() -> None:
    rng = np.random.default_rng(13)
    for _ in range(300):
        systems, repeats = int(rng.integers(1, 5)), int(rng.integers(2, 4))
        scores = rng.standard_normal((systems, 10, repeats))
        scores[rng.random(scores.shape) < rng.choice([0.1, 0.5, 0.9, 0.98])] = np.nan
        for of in stats.variance_components(scores, rng.integers(0, 2, systems)).values():
            assert np.isfinite([of.value, of.low, of.high]).all()
            assert 0 <= of.low <= of.high


@pytest.mark.parametrize("shape", [(3, 9, 2), (3, 20, 1), (20, 3)])
def test_too_few_prompts_or_repeats_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="10 prompts and 2 repeats"):
        stats.variance_components(np.ones(shape))
    with pytest.raises(ValueError, match="finite"):
        stats.variance_components(np.full((2, 20, 2), np.inf))


# -- win rates


def test_the_two_variances_of_a_win_rate_are_those_of_its_law() -> None:
    """Prompts have a win probability each, and outcomes are drawn from it."""
    rng = np.random.default_rng(10)
    prompts, repeats = 4000, 3
    chance = rng.choice([0.3, 0.9], prompts)
    wins = rng.random((prompts, repeats)) < chance[:, np.newaxis]
    values = np.stack([1.0 + wins, np.full(wins.shape, 1.5)])
    found = stats.win_rate_variance(values, np.zeros(prompts, np.int64))
    assert found.seeds[0] == pytest.approx(np.mean(chance * (1 - chance)), rel=0.05)
    assert found.prompts[0] == pytest.approx(0.09, rel=0.1)
    assert found.by_repeat[0] == pytest.approx(wins.mean(axis=0))


@pytest.mark.parametrize("repeats", [2, 5])
def test_they_add_up_to_the_spread_of_win_rates_over_studies(repeats: int) -> None:
    rng = np.random.default_rng(11)
    rates, predicted = [], []
    strata = np.repeat(np.arange(5), 20)
    for _ in range(300):
        scores, _ = made(rng, llms=2, generators=1, prompts=100, repeats=repeats)
        values = np.exp(scores)
        found = stats.win_rate_variance(values, strata)
        rates.append(found.by_repeat[0].mean())
        predicted.append((found.prompts[0] + found.seeds[0] / repeats) / 100)
    assert np.mean(predicted) == pytest.approx(np.var(rates), rel=0.25)


def test_repeats_that_never_differ_leave_the_prompts_alone() -> None:
    rng = np.random.default_rng(12)
    values = np.repeat(rng.lognormal(size=(3, 40, 1)), 3, axis=2)
    found = stats.win_rate_variance(values, np.zeros(40, np.int64))
    y = stats.pairwise_outcomes(values)
    assert found.seeds == pytest.approx(np.zeros(3))
    assert found.prompts == pytest.approx(y.var(axis=1, ddof=1))


def test_strata_take_their_difference_out_of_the_prompts_variance() -> None:
    values = np.ones((2, 40, 2))
    values[0, :20] = 2
    values[0, 20:] = 0.5
    strata = np.repeat([0, 1], 20)
    assert stats.win_rate_variance(values, strata).prompts[0] == 0
    assert stats.win_rate_variance(values, np.zeros(40, np.int64)).prompts[0] == pytest.approx(0.25, rel=0.05)


def test_one_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="2 prompts and 2 repeats"):
        stats.win_rate_variance(np.ones((2, 5, 1)), np.zeros(5, np.int64))
