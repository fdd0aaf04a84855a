"""Puts the systems of a table into one order, and ranks them in it, so that ranks never contradict the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from popbench import stats


def ranks(rates: Any, decided: Any, means: Any) -> tuple[list[int], list[int], list[int]]:
    """Return each system's rank, and the lowest and highest of its rank set.

    Systems are ordered by the number of those that win most prompts against them, equal ones by mean win rate, but none
    stands above one that is decided to be better. A rank is 1 + the number of rows above, systems with the same number
    and no verdict between them having the same rank: so the first row has rank 1, and no rank is lower than one above.

    A rank lies in its rank set, since those decided better are above, and those decided worse below. Verdicts that go
    round in a circle give no order: they are left out of account, and the sets of its systems are widened to the ranks.

    Args:
        rates: win rates of all pairs, shape (pairs,), in the order of `pairwise_outcomes`.
        decided: verdicts of these pairs: 1, 0 or -1.
        means: mean win rates, shape (systems,).
    """
    n_systems = len(means)
    beaten = stats.head_to_head_ranks(rates, n_systems)
    lowest, highest = stats.rank_sets(decided, n_systems)
    better = _better(decided, n_systems)
    best_first = np.lexsort((-np.asarray(means), beaten))
    left = better.sum(axis=0)  # those decided better that have no row yet
    waiting = np.ones(n_systems, bool)
    rank = np.zeros(n_systems, np.int64)
    group: list[int] = []
    for place in range(1, n_systems + 1):
        system = int(best_first[np.argmax((waiting & (left == 0))[best_first])])
        if group and (beaten[group[0]] != beaten[system] or better[group, system].any()):
            group = []
        group.append(system)
        rank[system] = place if len(group) == 1 else rank[group[0]]
        waiting[system] = False
        left -= better[system]
    return rank.tolist(), np.minimum(lowest, rank).tolist(), np.maximum(highest, rank).tolist()


def _better(decided: Any, n_systems: int) -> Any:
    """Return a matrix that says whether a system is decided better than another, directly or by way of others.

    Of two systems in one circle of verdicts, neither is.
    """
    verdicts = np.asarray(decided)
    reached = np.zeros((n_systems, n_systems), np.float32)
    first, second = np.triu_indices(n_systems, 1)
    reached[first, second], reached[second, first] = verdicts > 0, verdicts < 0
    while True:
        further = np.minimum(reached + reached @ reached, 1)
        if (further == reached).all():
            return (reached > reached.T).astype(np.int64)
        reached = further
