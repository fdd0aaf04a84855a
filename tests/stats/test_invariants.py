"""What must not change a board: the order of systems, prompts and strata, names, and any increasing transform."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from literal_statistics import Array, Labels
from made_scores import Row, results_of
from popbench.leaderboard.pairs import flipped
from popbench.stats import (
    Resamples,
    bradley_terry,
    bradley_terry_interval,
    head_to_head_ranks,
    korn_graubard,
    mean_outcomes,
    median_interval,
    pairwise_outcomes,
    rank_sets,
    sign_test,
    simultaneous_intervals,
    verdicts,
    win_rates,
)

quick = settings(deadline=None, max_examples=40, database=None, derandomize=True)
B = 300


@dataclass
class Board:
    """Everything said of the systems and pairs of some values; pairs by their two indices, both ways round."""

    pairs: dict[tuple[int, int], dict[str, Any]]
    systems: list[dict[str, Any]]
    critical_value: float


def board(values: Array, strata: Labels) -> Board:
    systems = len(values)
    y = pairwise_outcomes(values)
    resamples = Resamples.draw(strata, B, seed=5)
    low, high, critical_value = resamples.intervals_and_critical_value(y)
    together = simultaneous_intervals(y, strata, critical_value)
    decided = verdicts(*together)
    p, rates, exact = sign_test(y), win_rates(y), korn_graubard(y, strata)
    m = mean_outcomes(y, systems)
    pairs: dict[tuple[int, int], dict[str, Any]] = {}
    for index, (a, b) in enumerate(combinations(range(systems), 2)):
        ends = [(ends[0][index], ends[1][index]) for ends in ((low, high), exact, together)]
        all_tied = bool((y[index] == 0.5).all())
        pairs[a, b] = {"rate": rates[index], "ends": ends, "verdict": decided[index], "p": p[index], "tied": all_tied}
        turned = [(1 - upper, 1 - lower) for lower, upper in ends]
        pairs[b, a] = {**pairs[a, b], "rate": 1 - rates[index], "ends": turned, "verdict": -decided[index]}
    columns = {
        "rank": head_to_head_ranks(rates, systems),
        "lowest": rank_sets(decided, systems)[0],
        "highest": rank_sets(decided, systems)[1],
        "strength": bradley_terry(win_rates(m), len(strata)),
        "strength_low": bradley_terry_interval(m, resamples, 50)[0],
        "strength_high": bradley_terry_interval(m, resamples, 50)[1],
    }
    rows = [
        {
            **{name: column[system] for name, column in columns.items()},
            "median": median_interval(values[system].mean(axis=1), strata),
        }
        for system in range(systems)
    ]
    return Board(pairs, rows, critical_value)


def assert_same(found: Board, expected: Board, order: list[int] | None = None, medians: bool = True) -> None:
    """System `i` of `found` is system `order[i]` of `expected`."""
    order = order or list(range(len(found.systems)))
    assert found.critical_value == pytest.approx(expected.critical_value, rel=1e-6)
    for (a, b), pair in found.pairs.items():
        other = expected.pairs[order[a], order[b]]
        assert pair["verdict"] == other["verdict"]
        assert pair["p"] == other["p"]
        assert pair["rate"] == pytest.approx(other["rate"], abs=1e-12)
        # The pseudo-wins of a pair that ties throughout are nobody's, so its bootstrap interval has no sides.
        ends = slice(1 if pair["tied"] else 0, None)
        np.testing.assert_allclose(pair["ends"][ends], other["ends"][ends], atol=1e-6)
    for index, system in enumerate(found.systems):
        for name, value in expected.systems[order[index]].items():
            if name != "median" or medians:
                assert system[name] == pytest.approx(value, abs=1e-7), name


@st.composite
def boards(draw: st.DrawFn, lowest: float = 0.0) -> tuple[Array, Labels]:
    systems, prompts, repeats = draw(st.integers(2, 5)), draw(st.integers(4, 24)), draw(st.integers(1, 3))
    seed, spread = draw(st.integers(0, 2**16)), draw(st.sampled_from([0.0, 1.0, 4.0]))
    rng = np.random.default_rng(seed)
    x = spread * rng.random((systems, 1, 1)) + rng.normal(size=(systems, prompts, repeats))
    step = draw(st.sampled_from([0.01, 0.5, 2.0]))  # the larger, the more ties
    return np.maximum(np.round(np.exp(x) / step) * step, lowest), rng.integers(0, draw(st.integers(1, 3)), prompts)


# Of arrays


@quick
@given(boards(), st.randoms(use_true_random=False))
def test_the_order_of_systems_changes_nothing(drawn: tuple[Array, Labels], rng: random.Random) -> None:
    values, strata = drawn
    order = list(range(len(values)))
    rng.shuffle(order)
    assert_same(board(values[order], strata), board(values, strata), order)


@pytest.mark.slow
@quick
@given(boards())
def test_swapping_two_systems_mirrors_all_that_is_said_of_them(drawn: tuple[Array, Labels]) -> None:
    values, strata = drawn[0][:2], drawn[1]
    there, back = board(values, strata), board(values[::-1], strata)
    assert_same(back, there, [1, 0])
    a_over_b, b_over_a = win_rates(pairwise_outcomes(values)), win_rates(pairwise_outcomes(values[::-1]))
    assert a_over_b[0] + b_over_a[0] == pytest.approx(1, abs=1e-15)


@pytest.mark.slow
@quick
@given(boards(lowest=0.01), st.sampled_from(["log", "square root", "cube", "shift", "ranks"]))
def test_an_increasing_transform_of_popularity_changes_nothing_but_medians(
    drawn: tuple[Array, Labels], name: str
) -> None:
    values, strata = drawn
    transforms: dict[str, Callable[[Array], Array]] = {
        "log": lambda v: np.log(v / 0.005),
        "square root": np.sqrt,
        "cube": lambda v: v**3,
        "shift": lambda v: v + 1e6,
        "ranks": lambda v: np.unique(v, return_inverse=True)[1].reshape(v.shape).astype(float),
    }
    assert_same(board(transforms[name](values), strata), board(values, strata), medians=False)


@pytest.mark.slow
@quick
@given(boards())
def test_the_names_of_strata_change_nothing(drawn: tuple[Array, Labels]) -> None:
    values, strata = drawn
    assert_same(board(values, np.array([7, -3, 40])[strata]), board(values, strata))


@quick
@given(boards(), st.randoms(use_true_random=False))
def test_the_order_of_prompts_changes_nothing_that_is_not_drawn(
    drawn: tuple[Array, Labels], rng: random.Random
) -> None:
    values, strata = drawn
    order = list(range(len(strata)))
    rng.shuffle(order)
    y, shuffled = pairwise_outcomes(values), pairwise_outcomes(values[:, order])
    np.testing.assert_array_equal(sign_test(shuffled), sign_test(y))
    for critical_value in (1.96, 3.2):
        found = simultaneous_intervals(shuffled, strata[order], critical_value)
        expected = simultaneous_intervals(y, strata, critical_value)
        np.testing.assert_allclose(found, expected, atol=1e-9)
        np.testing.assert_array_equal(verdicts(*found), verdicts(*expected))
    for system in values:
        one = system.mean(axis=1)
        assert median_interval(one[order], strata[order]) == median_interval(one, strata)


@quick
@given(boards())
def test_a_prompt_on_which_all_tie_moves_win_rates_toward_one_half(drawn: tuple[Array, Labels]) -> None:
    values, strata = drawn
    tied = np.concatenate([values, np.ones_like(values[:, :1])], axis=1)
    y, more = pairwise_outcomes(values), pairwise_outcomes(tied)
    n = len(strata)
    np.testing.assert_allclose(win_rates(more) - 0.5, (win_rates(y) - 0.5) * n / (n + 1), atol=1e-12)
    np.testing.assert_array_equal(sign_test(more), sign_test(y))


@quick
@given(boards())
def test_what_is_said_of_a_system_agrees_with_what_is_said_of_its_pairs(drawn: tuple[Array, Labels]) -> None:
    values, strata = drawn
    values = np.concatenate([values, values[:1]])  # with a system that is another one's equal
    found, last = board(values, strata), len(values) - 1
    assert (found.pairs[0, last]["rate"], found.pairs[0, last]["verdict"], found.pairs[0, last]["p"]) == (0.5, 0, 1)
    for (a, b), pair in found.pairs.items():
        bootstrap, exact, together = pair["ends"]
        assert pair["verdict"] == (1 if together[0] > 0.5 else -1 if together[1] < 0.5 else 0)
        assert together[0] <= exact[0] <= exact[1] <= together[1]
        for low, high in pair["ends"]:
            assert -1e-12 <= low <= pair["rate"] + 1e-9
            assert pair["rate"] - 1e-9 <= high <= 1 + 1e-12
        assert bootstrap[0] < bootstrap[1]
        if pair["verdict"] == 1:
            assert pair["rate"] > 0.5
            assert found.systems[a]["highest"] < len(values)
            assert found.systems[b]["lowest"] > 1
    for system in found.systems:
        assert 1 <= system["lowest"] <= system["rank"] <= system["highest"] <= len(values)
        assert system["strength_low"] - 1e-9 <= system["strength"] <= system["strength_high"] + 1e-9


# Of results.json


def rows(systems: int = 5, prompts: int = 30, repeats: int = 3, seed: int = 3) -> list[Row]:
    """Scores with ties, invalid samples, three categories and a system that is another one's equal."""
    rng = np.random.default_rng(seed)
    popularity = np.round(2 * np.exp(rng.normal(size=(systems, prompts, repeats)) + np.arange(systems)[:, None, None]))
    popularity[-1] = popularity[0]
    return [
        {
            "system": f"s{system}",
            "task": "t",
            "prompt_id": f"p{prompt:02d}",
            "repeat": repeat,
            "category": ("food", "art", "sports")[prompt % 3],
            "popularity": float(popularity[system, prompt, repeat]),
            "status": "ok" if popularity[system, prompt, repeat] else "invalid",
        }
        for system in range(systems)
        for prompt in range(prompts)
        for repeat in range(repeats)
    ]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = results_of(tmp_path_factory.mktemp("results"), rows())
    verdict = {pair["verdict"] for pair in found["pairs"]}
    assert verdict == {"worse", "better", "undecided"}
    assert any(pair["ties"] for pair in found["pairs"])
    assert any(system["invalid"] for system in found["systems"])
    return found


def test_shuffled_rows_give_the_same_bytes(tmp_path: Path, results: dict[str, Any]) -> None:
    shuffled = rows()
    random.Random(8).shuffle(shuffled)
    assert json.dumps(results_of(tmp_path, shuffled)) == json.dumps(results)


def test_renamed_systems_keep_their_numbers_whichever_comes_first(tmp_path: Path, results: dict[str, Any]) -> None:
    names = {f"s{place}": f"x{9 - place}" for place in range(5)}  # the last comes first
    found = results_of(tmp_path, [{**row, "system": names[row["system"]]} for row in rows()])
    systems = {row["system"]: row for row in found["systems"]}
    for row in results["systems"]:
        assert same(systems[names[row["system"]]], {**row, "system": names[row["system"]]})
    pairs = {(pair["a"], pair["b"]): pair for pair in found["pairs"]}
    assert len(pairs) == 10
    for pair in results["pairs"]:
        expected = {**flipped(pair), "a": names[pair["b"]], "b": names[pair["a"]]}
        assert same(pairs[expected["a"], expected["b"]], expected)
    assert found["minimum_detectable_win_rate"] == results["minimum_detectable_win_rate"]


def test_renamed_categories_change_no_number(tmp_path: Path, results: dict[str, Any]) -> None:
    names = {"food": "zoo", "art": "beauty", "sports": "music"}  # they sort in another order
    found = results_of(tmp_path, [{**row, "category": names[row["category"]]} for row in rows()])
    assert found["pairs"] == results["pairs"]
    for row, expected in zip(found["systems"], results["systems"], strict=True):
        renamed = {names[name]: about for name, about in expected["by_category"].items()}
        assert row == {**expected, "by_category": renamed}


def same(found: Any, expected: Any) -> bool:
    """Equal, numbers to the ten digits of results.json."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(same(a, b) for a, b in zip(found, expected, strict=True))
    return bool(found == (pytest.approx(expected, rel=2e-10, abs=2e-10) if isinstance(expected, float) else expected))
