"""The split of MicroLens-100k that MMRA was trained with.

MMRA's data code calls scikit-learn's `train_test_split(data, test_size=0.2, random_state=9)`. It splits the fifth that
is left with `train_test_split(rest, test_size=0.5, random_state=18)`; the first output is test, the second valid. Here
NumPy makes the same draws, because its legacy generator is frozen and a new version of scikit-learn cannot change them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

SPLIT_VERSION = 1
"""Rises when the same ids would get other parts."""

VIDEOS = 19_738
"""The number of videos in MicroLens-100k. MMRA's split was drawn over all of them."""


def parts(ids: Sequence[str]) -> dict[str, str]:
    """Return the part of every id: 80 % `train`, 10 % `valid`, 10 % `test`. The draw depends on their order."""
    train, rest = _drawn(ids, 0.2, seed=9)
    test, valid = _drawn(rest, 0.5, seed=18)
    part_of = dict.fromkeys(train, "train") | dict.fromkeys(valid, "valid") | dict.fromkeys(test, "test")
    return {id_: part_of[id_] for id_ in ids}


def _drawn(items: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split as `train_test_split` does: return its train part, then its test part, in the drawn order."""
    import numpy as np

    order = np.random.RandomState(seed).permutation(len(items)).tolist()
    size = math.ceil(share * len(items))
    return [items[index] for index in order[size:]], [items[index] for index in order[:size]]


def selection_remark(ids: Mapping[str, str]) -> list[str]:
    """Return a remark if a split is drawn over other videos than MMRA's; nothing otherwise."""
    if len(ids) == VIDEOS:
        return []
    return [f"split: {len(ids):,} videos here, MMRA's split is over {VIDEOS:,}: parts are of this selection"]
