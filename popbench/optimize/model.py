"""A linear model of what changes are worth, from the scores of all candidates so far.

score of a candidate on a prompt = level of the prompt + sum of the effects of its changes + noise, where scores are
turned into normal scores by their rank, so that heavy tails, ties and failed samples do no harm. Effects have a normal
prior around 0. Prompts' levels drop out by centring within prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from popbench.keys import digest
from popbench.records import JSON

Floats = NDArray[np.float64]
_PRIOR = 0.3
"""Standard deviation of effects before anything is known, in standard deviations of scores."""
_OWN = 0.2
"""Standard deviation of what a candidate is worth beyond the sum of its changes."""


class LinearModel:
    """Effects of changes; before `fit`, all of them are 0 on average."""

    def __init__(self) -> None:
        self.known: list[tuple[str, JSON]] = []
        """The changes that have been tried: name and value."""
        self._at: dict[str, int] = {}
        self._mean = np.zeros(0)
        self._root = np.zeros((0, 0))
        self._noise = 1.0
        self._levels = np.zeros(0)
        self._sorted = np.zeros(0)

    def fit(self, tried: Sequence[tuple[Mapping[str, JSON], Floats]]) -> None:
        """Fit the effects to candidates' changes and their scores on the first prompts."""
        tried = [(changes, values) for changes, values in tried if len(values)]
        self.known = []
        self._at = {}
        for changes, _ in tried:
            for name, value in changes.items():
                if self._at.setdefault(digest(name, value), len(self.known)) == len(self.known):
                    self.known.append((name, value))
        of = np.concatenate([np.full(len(values), row) for row, (_, values) in enumerate(tried)])
        prompts = np.concatenate([np.arange(len(values)) for _, values in tried])
        scores = np.concatenate([values for _, values in tried])
        self._sorted = np.sort(scores)
        y = ndtri((rankdata(scores) - 0.5) / len(scores))
        x = np.stack([self._row(changes) for changes, _ in tried])[of]
        counts = np.bincount(prompts)
        centred_x = (
            x - np.stack([np.bincount(prompts, column) / counts for column in x.T], axis=1)[prompts]
            if (x.shape[1])
            else x
        )
        centred_y = y - (np.bincount(prompts, y) / counts)[prompts]
        gram, moment = centred_x.T @ centred_x, centred_x.T @ centred_y
        noise = max(float(np.mean(centred_y**2)), 0.05)
        for _ in range(3):  # the noise is what the effects leave
            precision = gram / noise + np.eye(len(gram)) / _PRIOR**2
            self._mean = np.linalg.solve(precision, moment / noise)
            free = max(len(y) - len(counts) - len(gram), len(y) // 4, 1)
            noise = max(float(((centred_y - centred_x @ self._mean) ** 2).sum() / free), 0.05)
        self._noise = noise
        self._root = np.linalg.cholesky(np.linalg.inv(gram / noise + np.eye(len(gram)) / _PRIOR**2))
        levels = np.bincount(prompts, y - x @ self._mean) / counts
        self._levels = levels

    def _row(self, changes: Mapping[str, JSON]) -> Floats:
        row = np.zeros(len(self.known))
        for name, value in changes.items():
            if (at := self._at.get(digest(name, value))) is not None:
                row[at] = 1
        return row

    def mean(self, name: str, value: JSON) -> float:
        """Return the expected effect of a change."""
        at = self._at.get(digest(name, value))
        return 0.0 if at is None else float(self._mean[at])

    def draw(self, rng: np.random.Generator) -> Callable[[str, JSON], float]:
        """Return possible effects: what is not tried yet may be anything that the prior holds for possible."""
        effects = self._mean + self._root @ rng.standard_normal(len(self._mean)) if len(self._mean) else self._mean
        new: dict[str, float] = {}

        def effect(name: str, value: JSON) -> float:
            key = digest(name, value)
            if (at := self._at.get(key)) is not None:
                return float(effects[at])
            if key not in new:
                new[key] = float(rng.normal(0, _PRIOR))
            return new[key]

        return effect

    def estimate(self, changes: Mapping[str, JSON], values: Floats, where: NDArray[np.bool_] | None = None) -> float:
        """Return what a candidate is worth over the start: its changes, and what it shows of its own, shrunk.

        With `where`, by the prompts of `values` that it selects.
        """
        if not len(self._levels):
            return 0.0
        expected = float(self._row(changes) @ self._mean)
        ranks = (np.searchsorted(self._sorted, values, "left") + np.searchsorted(self._sorted, values, "right")) / 2
        rest = ndtri(ranks / len(self._sorted)) - self._levels[: len(values)] - expected
        if where is not None:
            rest = rest[where]
        if not len(rest):
            return expected
        return expected + float(rest.mean()) * len(rest) / (len(rest) + self._noise / _OWN**2)
