"""Paired statistics for ranking systems by popularity, as functions over arrays. Public; no I/O.

Takes popularity, or outcomes of pairs; hands on estimates, intervals and ranks. `pairwise_outcomes` turns popularity
into outcomes y[pair, prompt] (1 if the first system wins, 1/2 for a tie, 0 if it loses); the other functions take y:

    y = pairwise_outcomes(values)                       # values[system, prompt, repeat]
    win_rates(y)                                        # the estimate
    korn_graubard(y, strata)                            # its exact interval
    resamples = Resamples.draw(strata, seed=42)         # one set of bootstrap resamples ...
    low, high, furthest = resamples.intervals_and_furthest(y)   # ... for the win rate of every pair
    m = mean_outcomes(y, n_systems)
    resamples.intervals(m)                              # ... and the mean win rate of every system
    family = MaxT.of(furthest, len(y))                  # the pairs that are judged together
    decided = verdicts(*simultaneous_intervals(y, strata, family.critical_value()))
    family.adjusted(win_rate_p_values(y, strata))       # at most .05 where a pair is decided
    rank_sets(decided, n_systems)
    bradley_terry(win_rates(m), n_prompts)

`power` says, by simulation, how often a study of so many prompts decides a pair.
`variance_components` and `win_rate_variance` say how much of scores and of win rates is luck, from repeats.
`sequential` is for comparisons that stop as soon as they can: what `sequential_design` fixes beforehand; and, from the
data of all rounds so far, what is decided, which systems need more prompts, and intervals that hold after stopping:

    design = SequentialDesign.rounds(n_systems, maximum=200, goal="best")   # a look after every 20 prompts
    state = replay_looks(design, values, rounds, strata)[-1]                # of the present look

`prediction_powered` is for what people say of some prompts and a predictor of all: the win rate over people.
`order_agreement` says how far a predicted order carries: how often the one of two real videos that is predicted higher
is the higher one, by the size of the difference; what a run's win rates are worth by that; and what several predictors
say together.
`variance` attributes the variance of scores to the parts of what is scored, with resamples of groups of items.
`winner` says what the best of several drafts is worth, once the luck that chose it is taken off.
`agreement` compares two orders: before and after a change, or two rankings.
`best_of_equals` says what choosing the best of several variants does to its win rate.

A stratum is a group of prompts that was fixed when the prompts were chosen: a category, and also the task if tasks are
pooled. The systems, the strata and the number of prompts in each are given; the prompts are the sample.
"""

from .agreement import kendall_tau_b, rank_agreement, reordered_pairs
from .bootstrap import Resamples, bootstrap_win_rates, percentile_interval
from .bradley_terry import bradley_terry, bradley_terry_interval
from .components import Component, variance_components
from .intervals import (
    korn_graubard,
    median_interval,
    median_intervals,
    proportion_interval,
    too_few_for_a_median,
    win_rate_p_values,
)
from .median_powered import FEWEST_LABELLED, RealMedian, corrected_median
from .order_agreement import (
    OrderAgreement,
    PanelVerdicts,
    group_agreement,
    order_agreement,
    panel_verdicts,
    smallest_true_win,
    true_win_rate,
    win_in_truth,
)
from .outcomes import mean_outcomes, outcome_counts, pairwise_outcomes, win_rates
from .prediction_powered import CorrectedWinRate, HumanWinRate, corrected_win_rate
from .repeats import sample_medians
from .selection import best_of_equals
from .sequential import SequentialState, replay_looks
from .sequential_design import SequentialDesign
from .sign import minimum_detectable_win_rate, sign_test
from .simultaneous import MaxT, head_to_head_ranks, holm, rank_sets, simultaneous_intervals, verdicts
from .strata import pool_strata
from .variance import GroupResamples, change_share, medians, pair_across, r_squared, swap_shares
from .win_rate_variance import WinRateVariance, win_rate_variance
from .winner import Worth, winners_worth, worth_if

__all__ = [
    "FEWEST_LABELLED",
    "Component",
    "CorrectedWinRate",
    "GroupResamples",
    "HumanWinRate",
    "MaxT",
    "OrderAgreement",
    "PanelVerdicts",
    "RealMedian",
    "Resamples",
    "SequentialDesign",
    "SequentialState",
    "WinRateVariance",
    "Worth",
    "best_of_equals",
    "bootstrap_win_rates",
    "bradley_terry",
    "bradley_terry_interval",
    "change_share",
    "corrected_median",
    "corrected_win_rate",
    "group_agreement",
    "head_to_head_ranks",
    "holm",
    "kendall_tau_b",
    "korn_graubard",
    "mean_outcomes",
    "median_interval",
    "median_intervals",
    "medians",
    "minimum_detectable_win_rate",
    "order_agreement",
    "outcome_counts",
    "pair_across",
    "pairwise_outcomes",
    "panel_verdicts",
    "percentile_interval",
    "pool_strata",
    "proportion_interval",
    "r_squared",
    "rank_agreement",
    "rank_sets",
    "reordered_pairs",
    "replay_looks",
    "sample_medians",
    "sign_test",
    "simultaneous_intervals",
    "smallest_true_win",
    "swap_shares",
    "too_few_for_a_median",
    "true_win_rate",
    "variance_components",
    "verdicts",
    "win_in_truth",
    "win_rate_p_values",
    "win_rate_variance",
    "win_rates",
    "winners_worth",
    "worth_if",
]
