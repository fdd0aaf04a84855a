"""Chooses which clips people compare: where the run's results decide least, balanced over prompts and sides."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

from popbench.records import Sample

Two: TypeAlias = tuple[Sample, Sample]
"""Two samples of a prompt and repeat, the first of which is shown first, on the left."""


class Comparison(NamedTuple):
    """Two systems on a task; `a` is the first by name."""

    task: str
    a: str
    b: str


def margins(results: Mapping[str, Any], tasks: Mapping[str, str | None]) -> dict[Comparison, tuple[bool, float]]:
    """Return, by comparison, whether the first predictor decides it, and how far its win rate is from a half.

    `tasks` maps the run's tasks to their groups, whose rows stand for a task that has none of its own.
    """
    predictor = next((item.get("name") for item in results.get("predictors") or ()), None)
    found: dict[Comparison, tuple[bool, float]] = {}
    for row in results.get("pairs") or ():
        if row.get("predictor") != predictor:
            continue
        a, b = sorted((row["a"], row["b"]))
        distance = abs(row["win_rate"]["value"] - 0.5)
        own = [task for task in tasks if task == row["task"]]
        for task in own or [task for task, group in tasks.items() if group == row["task"]]:
            comparison = Comparison(task, a, b)
            if own or comparison not in found:
                found[comparison] = (row["verdict"] in ("better", "worse"), distance)
    return found


def candidates(samples: Iterable[Sample]) -> dict[Comparison, list[Two]]:
    """Return the pairs of samples that can be compared, `a` of each comparison first."""
    cells: dict[tuple[str, str, int], dict[str, Sample]] = {}
    for sample in samples:
        cells.setdefault((sample.task, sample.prompt_id, sample.repeat), {})[sample.system] = sample
    found: dict[Comparison, list[Two]] = {}
    for (task, _, _), by_system in sorted(cells.items()):
        for a, b in combinations(sorted(by_system), 2):
            found.setdefault(Comparison(task, a, b), []).append((by_system[a], by_system[b]))
    return found


def choose(
    possible: Mapping[Comparison, list[Two]],
    decided: Mapping[Comparison, tuple[bool, float]],
    count: int,
    rng: random.Random,
) -> list[Two]:
    """Choose at most `count` pairs in the order in which they are shown.

    Undecided comparisons take turns, the closest ones first, and decided ones follow when those have no pair left.
    Prompts and categories that were taken least come first; a system of a comparison is on either side as often, give
    or take one pair.
    """
    order = sorted(possible)
    rng.shuffle(order)
    order.sort(key=lambda comparison: decided.get(comparison, (False, 0.0)))
    left = {comparison: rng.sample(twos, len(twos)) for comparison, twos in possible.items()}
    swapped = {comparison: rng.random() < 0.5 for comparison in order}
    used: Counter[tuple[str, ...]] = Counter()
    chosen: list[Two] = []
    for level in (False, True):
        turns = [comparison for comparison in order if decided.get(comparison, (False, 0.0))[0] == level]
        while turns and len(chosen) < count:
            for comparison in turns[: count - len(chosen)]:
                two = min(left[comparison], key=lambda two: _taken(two[0], used))
                left[comparison].remove(two)
                used.update(_places(two[0]))
                chosen.append((two[1], two[0]) if swapped[comparison] else two)
                swapped[comparison] = not swapped[comparison]
            turns = [comparison for comparison in turns if left[comparison]]
    rng.shuffle(chosen)
    return chosen


def _places(sample: Sample) -> list[tuple[str, ...]]:
    return [("prompt", sample.task, sample.prompt_id), ("category", sample.task, sample.category)]


def _taken(sample: Sample, used: Counter[tuple[str, ...]]) -> list[int]:
    return [used[place] for place in _places(sample)]
