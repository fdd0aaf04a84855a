"""Win rates among valid samples: what they are, their intervals, and where they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from made_scores import results_of, score_rows
from popbench import stats
from popbench.leaderboard.markdown import markdown
from popbench.leaderboard.terminal import show
from popbench.leaderboard.valid import valid_win_rates
from popbench.report.page import board_page

STRATA = np.repeat(np.arange(4), 5)
RESAMPLES = stats.Resamples.draw(STRATA, 2000, seed=1)


def with_invalid(rng: np.random.Generator, shape: tuple[int, int, int], share: float, scale: str = "positive") -> Any:
    x = np.ceil(5 * np.exp(rng.normal(size=shape)))
    return np.where(rng.random(shape) < share, 0 if scale == "positive" else -np.inf, x)


@pytest.mark.parametrize("scale", ["positive", "real"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_rate_is_the_mean_over_systems_of_what_is_won_where_both_are_valid(repeats: int, scale: Any) -> None:
    x = with_invalid(np.random.default_rng(4), (4, 20, repeats), 0.4, scale)
    found = valid_win_rates(x, scale, RESAMPLES)
    assert found is not None
    valid = np.isfinite(x) & (x != 0)
    for a, row in enumerate(found):
        rates, prompts = [], set()
        for b in set(range(4)) - {a}:
            of_prompts = []
            for i in range(20):
                meetings = [r for r in range(repeats) if valid[a, i, r] and valid[b, i, r]]
                if meetings:
                    met = [(x[a, i, r], x[b, i, r]) for r in meetings]
                    of_prompts.append(np.mean([(ours > theirs) + (ours == theirs) / 2 for ours, theirs in met]))
                    prompts.add(i)
            rates.append(np.mean(of_prompts))
        assert row is not None
        assert row["value"] == pytest.approx(np.mean(rates))
        assert row["n"] == len(prompts)
    assert np.mean([row["value"] for row in found if row]) == pytest.approx(0.5)


def test_without_invalid_samples_there_is_none_and_a_system_of_invalid_ones_has_none() -> None:
    x = with_invalid(np.random.default_rng(4), (3, 20, 1), 0)
    assert valid_win_rates(x, "positive", RESAMPLES) is None
    assert valid_win_rates(x[:1] * 0, "positive", RESAMPLES) is None
    x[1] = 0
    found = valid_win_rates(x, "positive", RESAMPLES)
    assert found is not None
    assert found[1] is None
    assert found[0] is not None
    assert found[0]["n"] == 20


def test_one_pair_with_few_invalid_samples_has_nearly_the_interval_of_all_win_rates() -> None:
    x = with_invalid(np.random.default_rng(4), (2, 20, 1), 0)
    x[0] += 0.5  # no ties
    low, high = RESAMPLES.intervals(stats.pairwise_outcomes(x))
    x[0, 3] = 0.1 * (x[1, 3] <= 0)
    found = valid_win_rates(x, "positive", RESAMPLES)
    assert found is not None
    assert found[0] is not None
    assert found[0]["low"] == pytest.approx(low[0], abs=0.08)
    assert found[0]["high"] == pytest.approx(high[0], abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize(("prompts", "share", "gap"), [(20, 0.2, 0.3), (20, 0.4, 1.5), (100, 0.4, 1), (200, 0.5, 2.5)])
def test_the_interval_holds_the_rate_of_endless_prompts(prompts: int, share: float, gap: float) -> None:
    """Nominal .95; measured, also with repeats and up to five systems: .939 to .996. The standard error is .007."""

    def draw(n: int, rng: np.random.Generator) -> Any:
        difficulty = rng.normal(size=(n, 1))
        x = np.exp(np.array([0, gap])[:, np.newaxis, np.newaxis] - difficulty + rng.normal(size=(2, n, 1)))
        x[rng.random(x.shape) < share * (1 + 0.8 * np.sign(difficulty))] = 0
        return x

    strata = np.repeat(np.arange(5), prompts // 5)
    resamples = stats.Resamples.draw(strata, 1000, seed=1)
    large = draw(400_000, np.random.default_rng(1))[:, :, 0]
    both = (large > 0).all(axis=0)
    true = (large[0] > large[1])[both].mean()
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(1000):
        found = valid_win_rates(draw(prompts, rng), "positive", resamples)
        assert found is not None
        assert found[0] is not None
        held += found[0]["low"] <= true <= found[0]["high"]
    assert held > 920


def test_every_output_shows_them_where_samples_are_invalid(tmp_path: Path) -> None:
    rows = score_rows()
    whole = results_of(tmp_path, rows)
    assert all("valid_win_rate" not in row for row in whole["systems"])
    assert "mong valid" not in markdown(whole) + board_page(whole, "Board", [])
    rows[5] |= {"popularity": 0, "status": "invalid"}
    found = results_of(tmp_path, rows)
    row = next(row for row in found["systems"] if row["invalid"])
    rate = row["valid_win_rate"]
    assert rate["n"] == 11
    assert row["mean_win_rate"] < rate["value"] < rate["high"] <= 1
    cell = f"{100 * rate['value']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}] n = 11"
    assert f"| {cell} |" in markdown(found)
    assert "Among valid: the mean win rate where both samples are valid" in markdown(found)
    assert "n = 11" in board_page(found, "Board", [])
    for width in (60, 80, 110, 200):
        console = Console(record=True, width=width)
        show(found, console)
        text = console.export_text()
        assert cell in text
        assert all(len(line) <= width for line in text.splitlines())
