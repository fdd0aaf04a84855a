"""Computes win rates among valid samples, to stand beside those in which an invalid sample loses."""

from __future__ import annotations

from typing import Any

import numpy as np

from popbench import stats
from popbench.leaderboard.pairs import LEVEL
from popbench.records import JSON, Scale


def valid_win_rates(values: Any, scale: Scale, resamples: stats.Resamples) -> list[dict[str, JSON] | None] | None:
    """Return each system's mean win rate where it and the other system are both valid; None if all samples are valid.

    The rate over another system is the mean, over the `n_ab` prompts on which both are valid in some repeat, of the
    share won of those repeats; a system's is the mean of its rates. `n` is the number of prompts on which it and some
    other system are valid; None stands for a system that has none. The interval is from the resamples that all
    statistics of the table share, of each prompt's contribution to the rate (its linearised value).

    `values` have the shape (systems, prompts, repeats).
    """
    invalid = 0 if scale == "positive" else -np.inf
    valid = values != invalid
    if valid.all() or len(values) < 2:
        return None
    n_systems, n_prompts, _ = values.shape
    opponents, compared = np.zeros(n_systems), np.zeros((n_systems, n_prompts), bool)
    rate, share, deviations = np.zeros(n_systems), np.zeros(n_systems), np.zeros((n_systems, n_prompts))
    for a in range(n_systems - 1):
        others = slice(a + 1, None)
        both = valid[a] & valid[others]
        meetings = both.sum(axis=2)
        won = ((values[a] > values[others]) & both).sum(axis=2) + ((values[a] == values[others]) & both).sum(axis=2) / 2
        met = meetings > 0
        y = np.divide(won, meetings, out=np.zeros(met.shape), where=met)
        n = met.sum(axis=1)
        of = np.divide(y.sum(axis=1), n, out=np.zeros(len(n)), where=n > 0)
        off = (
            np.where(met, y - of[:, np.newaxis], 0)
            * np.divide(n_prompts, n, out=np.zeros(len(n)), where=n > 0)[:, np.newaxis]
        )
        rate[a] += of.sum()
        rate[others] += np.where(n > 0, 1 - of, 0)
        deviations[a] += off.sum(axis=0)
        deviations[others] -= off
        opponents[a] += (n > 0).sum()
        opponents[others] += n > 0
        share[a] += n.sum() / n_prompts
        share[others] += n / n_prompts
        compared[a] |= met.any(axis=0)
        compared[others] |= met
    some = opponents > 0
    rate, share = rate[some] / opponents[some], share[some] / opponents[some]
    deviations = deviations[some] / opponents[some, np.newaxis]
    ends = _intervals(rate, deviations, share, resamples)
    found = iter(zip(rate.tolist(), *(end.tolist() for end in ends), compared[some].sum(axis=1).tolist(), strict=True))
    return [dict(zip(("value", "low", "high", "n"), next(found), strict=True)) if any_ else None for any_ in some]


def _intervals(rate: Any, deviations: Any, share: Any, resamples: stats.Resamples) -> tuple[Any, Any]:
    """Return percentile intervals; a pseudo-win is won by the system if it leads, as in those of all win rates.

    `share` is the share of prompts that are compared: a pseudo-row is one of them.
    """
    n_prompts = deviations.shape[1]
    leads = (rate > 0.5)[:, np.newaxis]
    wins = np.where(leads, resamples.pseudo_wins, resamples.pseudo_losses)
    losses = np.where(leads, resamples.pseudo_losses, resamples.pseudo_wins)
    pseudo = (wins * (1 - rate[:, np.newaxis]) - losses * rate[:, np.newaxis]) / share[:, np.newaxis]
    replicates = rate[:, np.newaxis] + (resamples.totals(deviations) + pseudo) / n_prompts
    low, high = stats.percentile_interval(replicates, LEVEL)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
