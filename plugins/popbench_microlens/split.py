"""The split of MicroLens-100k that MMRA was trained with: which video is in which part.

MMRA's data code calls scikit-learn's `train_test_split(data, test_size=0.2, random_state=9)` and then, on the fifth
that this leaves, `train_test_split(rest, test_size=0.5, random_state=18)`, whose first output it calls test and whose
second valid. The same draws are made here with NumPy, whose legacy generator is frozen, so that no other version of
scikit-learn can change them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

VERSION = 1
"""Goes up when the same ids would get other parts."""

VIDEOS = 19_738
"""The number of videos in MicroLens-100k, over which MMRA's split was drawn."""


def parts(ids: Sequence[str]) -> dict[str, str]:
    """Return the part of every id: 80 % `train`, 10 % `valid` and 10 % `test`, drawn over their order."""
    train, rest = _drawn(ids, 0.2, seed=9)
    test, valid = _drawn(rest, 0.5, seed=18)
    found = dict.fromkeys(train, "train") | dict.fromkeys(valid, "valid") | dict.fromkeys(test, "test")
    return {id_: found[id_] for id_ in ids}


def _drawn(items: Sequence[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Split as `train_test_split` does: return what it calls train, then what it calls test, in the drawn order."""
    import numpy as np

    order = np.random.RandomState(seed).permutation(len(items)).tolist()
    size = math.ceil(share * len(items))
    return [items[at] for at in order[size:]], [items[at] for at in order[:size]]


def selection_remark(ids: Mapping[str, str]) -> list[str]:
    """Say that a split is over other videos than MMRA's, where it is."""
    if len(ids) == VIDEOS:
        return []
    return [f"split: {len(ids):,} videos here, MMRA's split is over {VIDEOS:,}: parts are of this selection"]
