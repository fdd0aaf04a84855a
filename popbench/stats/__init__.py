"""Paired statistics for ranking systems by popularity, as functions over arrays. Public; no I/O.

Takes popularity, or outcomes of pairs; hands on estimates, intervals and ranks. `pairwise_outcomes` turns popularity
into outcomes y[pair, prompt] (1 if the first system wins, 1/2 for a tie, 0 if it loses); the other functions take y:

    y = pairwise_outcomes(values)                       # values[system, prompt, repeat]
    win_rates(y)                                        # the estimate
    korn_graubard(y, strata)                            # its exact interval
    resamples = Resamples.draw(strata, seed=42)         # one set of bootstrap resamples ...
    low, high, c = resamples.intervals_and_critical_value(y)    # ... for the win rate of every pair
    m = mean_outcomes(y, n_systems)
    resamples.intervals(m)                              # ... and the mean win rate of every system
    decided = verdicts(*simultaneous_intervals(y, strata, c))   # what holds for all pairs at once
    rank_sets(decided, n_systems)
    bradley_terry(win_rates(m), n_prompts)
    holm(sign_test(y))                                  # p-values

`variance` attributes the variance of scores to the parts of what is scored, with resamples of groups of items.
`agreement` compares two orders: before and after a change, or two rankings.

A stratum is a group of prompts that was fixed when the prompts were chosen: a category, and also the task if tasks are
pooled. The systems, the strata and the number of prompts in each are given; the prompts are the sample.
"""

from .agreement import kendall_tau_b, rank_agreement, reordered_pairs
from .bootstrap import Resamples, bootstrap_win_rates, percentile_interval
from .bradley_terry import bradley_terry, bradley_terry_interval
from .intervals import korn_graubard, median_interval, median_intervals, proportion_interval, too_few_for_a_median
from .outcomes import mean_outcomes, outcome_counts, pairwise_outcomes, win_rates
from .repeats import sample_medians
from .sign import minimum_detectable_win_rate, sign_test
from .simultaneous import head_to_head_ranks, holm, rank_sets, simultaneous_intervals, verdicts
from .strata import pool_strata
from .variance import GroupResamples, change_share, medians, pair_across, r_squared, swap_shares

__all__ = [
    "GroupResamples",
    "Resamples",
    "bootstrap_win_rates",
    "bradley_terry",
    "bradley_terry_interval",
    "change_share",
    "head_to_head_ranks",
    "holm",
    "kendall_tau_b",
    "korn_graubard",
    "mean_outcomes",
    "median_interval",
    "median_intervals",
    "medians",
    "minimum_detectable_win_rate",
    "outcome_counts",
    "pair_across",
    "pairwise_outcomes",
    "percentile_interval",
    "pool_strata",
    "proportion_interval",
    "r_squared",
    "rank_agreement",
    "rank_sets",
    "reordered_pairs",
    "sample_medians",
    "sign_test",
    "simultaneous_intervals",
    "swap_shares",
    "too_few_for_a_median",
    "verdicts",
    "win_rates",
]
