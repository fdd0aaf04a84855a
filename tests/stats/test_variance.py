"""What moves a score: exact for laws that are known, and intervals that hold what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from popbench.stats import GroupResamples, change_share, medians, pair_across, r_squared, swap_shares

Law = Callable[[Any, Any], Any]


class Items:
    """Items of two normal parts, related within their groups, and the pairs they are in."""

    def __init__(
        self,
        groups: int,
        size: int,
        *,
        var_a: float = 1,
        var_b: float = 1,
        cov: float = 0,
        seed: int = 0,
        rounds: int = 4,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.groups = np.repeat(np.arange(groups), size)
        common = rng.normal(size=(groups, 2))[self.groups]
        mixed = np.sqrt(0.5) * common + np.sqrt(0.5) * rng.normal(size=(groups * size, 2))
        root = np.linalg.cholesky(np.array([[var_a, cov], [cov, var_b]]))
        self.a, self.b = (mixed @ root.T).T
        self.i, self.j, self.round = pair_across(self.groups, rounds, seed)

    def mean(self, resamples: GroupResamples) -> Callable[[Any], Any]:
        return lambda values: resamples.pair_means(values, self.groups[self.i], self.groups[self.j])

    def scores(self, law: Law) -> tuple[Any, Any, Any, Any]:
        a, b, i, j = self.a, self.b, self.i, self.j
        return law(a[i], b[i]), law(a[j], b[j]), law(a[j], b[i]), law(a[i], b[j])

    def shares(self, law: Law, resamples: GroupResamples) -> dict[str, Any]:
        return swap_shares(*self.scores(law), self.mean(resamples))


def added(a: Any, b: Any) -> Any:
    return a + b


# -- pairs


@pytest.mark.parametrize("sizes", [[4] * 10, [1, 1], [2, 1], [3, 3, 3], [7, 1, 1], [1] * 9, [5, 2, 2, 1]])
def test_pairs_are_of_two_groups_and_every_item_is_in_every_round(sizes: list[int]) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    first, second, of = pair_across(groups, 3, seed=5)
    assert (groups[first] != groups[second]).all()
    for number in range(3):
        chosen = of == number
        assert set(first[chosen]) | set(second[chosen]) == set(range(len(groups)))
    assert [x.tolist() for x in pair_across(groups, 3, seed=5)] == [first.tolist(), second.tolist(), of.tolist()]


def test_an_even_number_of_items_in_small_groups_is_paired_without_rest() -> None:
    groups = np.repeat(np.arange(20), 4)
    first, _, _ = pair_across(groups, 1, seed=1)
    assert len(first) < 48  # 40, and a few more where both of a pair happened to be of one group
    assert len(first) >= 40


@pytest.mark.parametrize(("groups", "rounds"), [([0, 0, 0], 1), ([0, 1], 0), ([], 1)])
def test_pairs_need_two_groups_and_a_round(groups: list[int], rounds: int) -> None:
    with pytest.raises(ValueError):
        pair_across(np.array(groups, dtype=np.int64), rounds)


# -- shares


def test_a_score_that_one_part_decides_is_all_of_that_part_in_every_resample() -> None:
    items = Items(15, 3, cov=0.7)
    found = items.shares(lambda a, b: np.exp(a) + 0 * b, GroupResamples.draw(15, 200, 1))
    for name, value in (("a", 1), ("b", 0), ("remainder", 0), ("shared", 0), ("together", 0)):
        assert found[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("cov", [-0.8, 0.0, 0.8])
def test_an_additive_law_gives_the_variances_of_its_parts_whether_they_are_correlated_or_not(cov: float) -> None:
    items = Items(3000, 2, var_a=2, var_b=1, cov=cov, rounds=2)
    v = 3 + 2 * cov
    found = {name: values[0] for name, values in items.shares(added, GroupResamples.draw(3000, 1)).items()}
    assert found["a"] == pytest.approx(2 / v, abs=0.06)
    assert found["b"] == pytest.approx(1 / v, abs=0.06)
    assert found["shared"] == pytest.approx(2 * cov / v, abs=0.1)
    assert found["together"] == pytest.approx(0, abs=1e-12)
    assert found["remainder"] == pytest.approx(2 * cov / v, abs=0.1)


def test_what_only_both_do_together_counts_for_both_parts() -> None:
    """f = a b of independent standard normals is all interaction: both total effects are 1."""
    items = Items(4000, 2, rounds=2)
    found = {k: v[0] for k, v in items.shares(lambda a, b: a * b, GroupResamples.draw(4000, 1)).items()}
    for name, value in (("a", 1), ("b", 1), ("together", 1), ("remainder", -1), ("shared", 0)):
        assert found[name] == pytest.approx(value, abs=0.12), name


def test_the_remainder_is_what_is_shared_less_what_is_done_together() -> None:
    items = Items(12, 3, cov=0.4)
    found = items.shares(lambda a, b: a + b + 0.5 * a * b + 1.5, GroupResamples.draw(12, 300, 3))
    assert found["remainder"] == pytest.approx(found["shared"] - found["together"], nan_ok=True)


def test_equal_scores_have_no_shares() -> None:
    items = Items(6, 2)
    resamples = GroupResamples.draw(6, 50, 1)
    found = items.shares(lambda a, b: 0 * a + 3, resamples)
    assert all(resamples.interval(values) is None for values in found.values())


def test_a_part_put_to_a_constant_explains_what_it_explained() -> None:
    items = Items(3000, 2, var_a=2, var_b=1, rounds=2)
    s, lost = items.a + items.b, items.a - 4.0  # A is put to 4
    resamples = GroupResamples.draw(3000, 1)
    found = change_share(s[items.i], s[items.j], lost[items.i], lost[items.j], items.mean(resamples))
    assert found[0] == pytest.approx(2 / 3, abs=0.05)


def test_a_change_that_shifts_all_alike_explains_nothing() -> None:
    items = Items(10, 2)
    s = items.a
    shift = np.full(len(s), 2.5)
    found = change_share(
        s[items.i], s[items.j], shift[items.i], shift[items.j], items.mean(GroupResamples.draw(10, 20))
    )
    assert np.nanmax(found) == 0


# -- covariates and medians


def test_r_squared_is_that_of_a_straight_line() -> None:
    rng = np.random.default_rng(1)
    groups, x = np.repeat(np.arange(30), 2), rng.normal(size=60)
    s = 2 * x + rng.normal(size=60)
    found = r_squared(x, s, groups, GroupResamples.draw(30, 100))
    assert found is not None
    assert found[0] == pytest.approx(np.corrcoef(x, s)[0, 1] ** 2)
    assert 0 <= np.nanmin(found) <= np.nanmax(found) <= 1 + 1e-9
    assert r_squared(np.ones(60), s, groups, GroupResamples.draw(30, 10)) is None


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_median_is_the_usual_one_also_of_items_that_are_drawn_more_than_once(n: int) -> None:
    rng = np.random.default_rng(n)
    values, groups = rng.integers(0, 4, n).astype(float), np.arange(n)
    resamples = GroupResamples.draw(n, 40, 2)
    found = medians(values, groups, resamples)
    for counts, median in zip(resamples.counts.astype(int), found, strict=True):
        assert median == np.median(np.repeat(values, counts))


# -- resamples


def test_the_first_row_is_the_data_as_they_are_and_the_same_seed_draws_the_same() -> None:
    resamples = GroupResamples.draw(7, 30, 4)
    assert (resamples.counts[0] == 1).all()
    assert (resamples.counts.sum(axis=1) == 7).all()
    assert (GroupResamples.draw(7, 30, 4).counts == resamples.counts).all()
    values, groups = np.arange(14.0)[:, None], np.repeat(np.arange(7), 2)
    means = resamples.group_means(values, groups)
    literal = [np.repeat(np.arange(14.0), np.repeat(counts.astype(int), 2)).mean() for counts in resamples.counts]
    assert means[:, 0] == pytest.approx(literal)


def test_fewer_than_five_groups_have_no_interval() -> None:
    four = GroupResamples.draw(4, 50).interval(np.linspace(0, 1, 51))
    assert four is not None
    assert np.isnan(four[1:]).all()
    assert GroupResamples.draw(5, 50).interval(np.linspace(0, 1, 51)) != four


@pytest.mark.parametrize("arguments", [(0, 10), (3, 0)])
def test_resamples_need_groups_and_a_number(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError):
        GroupResamples.draw(*arguments)


# -- coverage


@pytest.mark.parametrize(("groups", "cov"), [(12, 0.0), (30, 0.6), (30, -0.6)])
def test_intervals_hold_the_shares_of_an_additive_law(groups: int, cov: float) -> None:
    """A fast version of tests/benchmarks/audit_coverage.py, which measures .93 to 1 for a nominal .95."""
    v = 3 + 2 * cov
    truth = {"a": 2 / v, "b": 1 / v, "remainder": 2 * cov / v}
    held = dict.fromkeys(truth, 0)
    for seed in range(100):
        items = Items(groups, 4, var_a=2, var_b=1, cov=cov, seed=seed)
        resamples = GroupResamples.draw(groups, 300, seed)
        found = items.shares(added, resamples)
        for name, value in truth.items():
            interval = resamples.interval(found[name])
            assert interval is not None
            held[name] += interval[1] <= value <= interval[2]
    assert min(held.values()) >= 88, held
