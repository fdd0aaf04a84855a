"""Ridge regression whose penalty is chosen by cross-fitting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PENALTIES = tuple(float(f"{10.0**exponent:.6g}") for exponent in np.arange(-5, 1.25, 0.5))
"""Penalties that are tried, for each row: the penalty of the sum of squares is so many times the number of rows.

Rows of an embedder have length 1, so that the largest one leaves next to nothing but the mean.
"""


@dataclass(frozen=True, slots=True)
class Ridge:
    """A linear model: `mean + (row - centre) @ weights`, in log2."""

    weights: Floats
    centre: Floats
    mean: float

    def predict(self, rows: NDArray[np.floating]) -> Floats:
        """Predict rows (n, d), each independently of the others; returns (n,)."""
        return self.mean + np.array([float((row - self.centre) @ self.weights) for row in rows.astype(np.float64)])


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model fitted to all rows with the penalty that predicts held-out folds best.

    `losses` are the mean squared errors on held-out folds by penalty, in the order of PENALTIES.
    """

    model: Ridge
    penalty: float
    losses: list[float]
    held_out: Floats
    """The prediction of each row by the model that has not seen its fold, at the penalty chosen."""


def fit(rows: NDArray[np.floating], target: Floats, folds: NDArray[np.int64]) -> Fitted:
    """Fit rows (n, d) to targets (n,); `folds` (n,) are numbers from 0, and each fold is predicted from the others.

    The largest penalty is taken of those that predict equally well.
    """
    x = rows.astype(np.float64)
    held_out = np.empty((len(PENALTIES), len(x)))
    for fold in np.unique(folds):
        inside = folds == fold
        for number, model in enumerate(_path(x[~inside], target[~inside], PENALTIES)):
            held_out[number, inside] = model.mean + (x[inside] - model.centre) @ model.weights
    losses = ((held_out - target) ** 2).mean(axis=1)
    best = int(len(losses) - 1 - np.argmin(losses[::-1]))
    (model,) = _path(x, target, (PENALTIES[best],))
    return Fitted(model, PENALTIES[best], losses.tolist(), held_out[best])


def _path(x: Floats, target: Floats, penalties: tuple[float, ...]) -> list[Ridge]:
    """Fit a model with each penalty; the mean is not penalised."""
    centre, mean = x.mean(axis=0), float(target.mean())
    centred = x - centre
    values, vectors = np.linalg.eigh(centred.T @ centred)
    rotated = vectors.T @ (centred.T @ (target - mean))
    values = np.maximum(values, 0.0)
    return [Ridge(vectors @ (rotated / (values + penalty * len(x))), centre, mean) for penalty in penalties]
