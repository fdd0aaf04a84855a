"""What people prefer, from predictions on all prompts and labels on some: prediction-powered inference.

A predictor says of every prompt which of two systems wins; people have said it of a part. The mean of the labels is
right and varies; the mean of the predictions varies less and may be wrong. The corrected rate is that of the labels
less the part of its error that the predictor can see: how the predictions of the labelled prompts differ from those of
all prompts. It is about people whatever the predictor is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from . import _arrays
from ._arrays import Float64s, Ints
from .intervals import clopper_pearson, variance_of_strata
from .strata import too_small

FEWEST_IN_STRATUM = 5
"""Labelled prompts that a stratum needs to stand alone; others are pooled."""


@dataclass(frozen=True)
class HumanWinRate:
    """A win rate over people, between 0 and 1.

    Attributes:
        value: the rate.
        low: lower end of its interval.
        high: upper end.
        effective_labels: n_eff, the number of independent labels that tell as much without predictions.
    """

    value: float
    low: float
    high: float
    effective_labels: float


@dataclass(frozen=True)
class CorrectedWinRate:
    """The win rate of one pair of systems over people, in two ways.

    Attributes:
        labels: from the labels only.
        corrected: from labels and predictions; the same as `labels` where `weight` is 0.
        weight: lambda, the part of the predictor's word that is believed, 0 to 1.
        position_effect: how much more often the left one of two is chosen, whatever it is; 0 without sides.
        labelled_prompts: prompts with at least one label.
    """

    labels: HumanWinRate
    corrected: HumanWinRate
    weight: float
    position_effect: float
    labelled_prompts: int


def corrected_win_rate(
    predicted: ArrayLike,
    labelled: ArrayLike,
    labels: ArrayLike,
    strata: ArrayLike,
    *,
    sides: ArrayLike | None = None,
    voters: ArrayLike | None = None,
    level: float = 0.95,
) -> CorrectedWinRate:
    """Estimate how often people prefer the first system, over prompts like these, from labels and predictions.

    Of N prompts with predicted outcomes f_i, n have labels; Y_i is the mean label of a prompt and s_i its mean side
    (1/2 if the first system was on the left, -1/2 on the right). Stratum c has N_c prompts, n_c of them labelled:

        rate   = sum over c of N_c/N (mean of Y_i - beta s_i - lambda (mean of f_i - mean of f_i of all prompts of c))
        lambda = the regression of Y on f within strata, at least 0 and at most 1; beta that on s, beside it
        z_i    = Y_i - beta s_i - lambda (1 - r_c) (f_i - mean of f_i),  r_c = n_c/N_c
        v      = g (v of `korn_graubard` of z, with weights N_c/N)
                 + lambda^2 sum over c of (N_c/N)^2 r_c (1 - r_c) s2_c(f) / n_c
        g      = (m / (m - k)) (1 + k / (m - k - 1)),  m = n - strata,  k = number of lambda and beta that are estimated

    and the interval is Clopper-Pearson's at n_eff = t (1 - t)/v, as there. g is what estimating lambda and beta costs:
    residuals are too small by its first factor, and the rate varies more by its second. From labels only, lambda is 0.
    With one stratum and no sides that is `korn_graubard` of the labelled prompts.

    The corrected interval is never wider than that from labels only: where it would be, lambda is set to 0.

    Labelled prompts have to be a chance selection within their stratum. Strata with fewer than 5 of them are pooled.

    Votes of one person hang together. With `voters`, v gets the part that they share,

        x = G/(G - 1) (sum over voters of (sum of u_l)^2 - sum over voters and prompts of (sum of u_l)^2), at least 0

    for the contributions u_l of single labels to the rate and G = (number of labels)^2 / sum of (labels of a voter)^2,
    and n_eff the factor (z / t)^2, with the quantile t of Student's distribution with G - 1 degrees of freedom: of few
    voters x is often 0 by chance. Where nobody voted on two prompts, voters change nothing.

    Args:
        predicted: f, the predicted outcome of the pair on each prompt, in [0, 1], shape (prompts,).
        labelled: for each label the index of its prompt, shape (labels,); a prompt may have several labels, or none.
        labels: 1 if the first system won, 1/2 for a tie, 0 if it lost, or anything between, shape (labels,).
        strata: one integer label per prompt, shape (prompts,).
        sides: for each label 1 if the first system was shown on the left, -1 on the right, 0 for neither. The effect
            of the position is removed; half of the labels should have either.
        voters: for each label who gave it, as an integer. Without it labels of different prompts are independent.
        level: confidence level. For several pairs that are judged together, 1 - alpha / pairs (Bonferroni).

    Raises:
        ValueError: if there are no labels, they or predictions leave [0, 1], the shapes do not fit, a side is none of
            the three, or `voters` has a single voter: what other people would say cannot be told from one.

    Source: Angelopoulos, Duchi and Zrnic 2023, PPI++, arXiv 2311.01453 (the correction and lambda); Sarndal, Swensson
    and Wretman 1992, Model Assisted Survey Sampling (two phases); Cameron, Gelbach and Miller 2011, Journal of Business
    and Economic Statistics 29 (voters beside prompts); the interval as in `korn_graubard`.
    """
    data = _Data.of(predicted, labelled, labels, strata, sides, voters)
    alone, effect = data.estimate(0.0, level)
    weight = data.weight()
    corrected, position = alone, effect
    if weight > 0:
        corrected, position = data.estimate(weight, level)
        if corrected.high - corrected.low >= alone.high - alone.low:
            corrected, position, weight = alone, effect, 0.0
    return CorrectedWinRate(alone, corrected, weight, position, len(data.y))


@dataclass(frozen=True, eq=False)
class _Data:
    """Labels and predictions by labelled prompt.

    Attributes:
        y: mean label of each labelled prompt, shape (n,).
        s: mean side, in halves.
        f: prediction.
        codes: stratum.
        sizes: labelled prompts of each stratum, shape (strata,).
        weights: share of all prompts.
        ratio: labelled prompts over all prompts.
        f_mean: mean prediction over all prompts.
        f_variance: variance of predictions over all prompts.
        place: for each label, which labelled prompt it is of, shape (labels,).
        label: each label.
        side: its side, in halves.
        voter: who gave it, 0 to the number of voters - 1; None if labels are independent.
    """

    y: Float64s
    s: Float64s
    f: Float64s
    codes: Ints
    sizes: Ints
    weights: Float64s
    ratio: Float64s
    f_mean: Float64s
    f_variance: Float64s
    place: Ints
    label: Float64s
    side: Float64s
    voter: Ints | None

    @classmethod
    def of(
        cls,
        predicted: ArrayLike,
        labelled: ArrayLike,
        labels: ArrayLike,
        strata: ArrayLike,
        sides: ArrayLike | None,
        voters: ArrayLike | None,
    ) -> _Data:
        """Check the arguments of `corrected_win_rate`."""
        f = _arrays.outcomes(np.asarray(predicted, dtype=np.float64)[np.newaxis])[0].astype(np.float64)
        label = np.asarray(labels, dtype=np.float64)
        index = np.asarray(labelled)
        if label.ndim != 1 or index.shape != label.shape or label.size == 0:
            raise ValueError(f"labels need one prompt each, got the shapes {label.shape} and {index.shape}")
        _arrays.outcomes(label[np.newaxis])
        if index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= len(f):
            raise ValueError(f"labels need the index of their prompt, from 0 to {len(f) - 1}")
        side = np.zeros(len(label)) if sides is None else np.asarray(sides, dtype=np.float64)
        if side.shape != label.shape or not np.isin(side, (-1, 0, 1)).all():
            raise ValueError("sides need 1 (first system on the left), -1 (on the right) or 0 for each label")
        voter = None
        if voters is not None:
            names = np.asarray(voters)
            if names.shape != label.shape or names.dtype.kind not in "iu":
                raise ValueError("voters need one integer per label")
            voter = np.unique(names, return_inverse=True)[1]
            if not voter.any():
                raise ValueError("all labels are of one voter: what other people would say cannot be told from one")
        codes = _arrays.strata_codes(strata, len(f))
        prompts, place = np.unique(index, return_inverse=True)
        found = np.bincount(codes[prompts], minlength=codes.max() + 1)
        pooled = too_small(found, FEWEST_IN_STRATUM)
        codes = np.unique(np.where(pooled[codes], len(found), codes), return_inverse=True)[1]
        all_sizes, sizes = np.bincount(codes), np.bincount(codes[prompts])
        votes = np.bincount(place)
        f_mean = np.bincount(codes, f) / all_sizes
        return cls(
            y=np.bincount(place, label) / votes,
            s=np.bincount(place, side) / (2 * votes),
            f=f[prompts],
            codes=codes[prompts],
            sizes=sizes,
            weights=all_sizes / len(f),
            ratio=sizes / all_sizes,
            f_mean=f_mean,
            f_variance=np.bincount(codes, (f - f_mean[codes]) ** 2) / all_sizes,
            place=place,
            label=label,
            side=side / 2,
            voter=voter,
        )

    def means(self, values: Float64s) -> Float64s:
        """Return means over the labelled prompts of each stratum."""
        mean: Float64s = np.bincount(self.codes, values) / self.sizes
        return mean

    def within(self, values: Float64s) -> Float64s:
        """Return deviations from the stratum's mean."""
        return values - self.means(values)[self.codes]

    def spare(self, estimated: int) -> int:
        """Return m - k - 1, which has to be above 0 for so many coefficients."""
        return len(self.y) - len(self.sizes) - estimated - 1

    def slope_on_side(self, values: Float64s) -> float:
        """Return the regression on the side within strata; 0 where there is none."""
        side = self.within(self.s)
        square = float(side @ side)
        return float(side @ values) / square if square > 1e-9 and self.spare(1) > 0 else 0.0

    def weight(self) -> float:
        """Return lambda, 0 where nothing can be told."""
        side, f = self.within(self.s), self.within(self.f)
        f -= self.slope_on_side(f) * side
        square = float(f @ f)
        if square < 1e-9 or self.spare(2) <= 0:
            return 0.0
        return float(np.clip(f @ self.y / square, 0, 1))

    def estimate(self, weight: float, level: float) -> tuple[HumanWinRate, float]:
        """Return the rate with this lambda, and beta."""
        beta = self.slope_on_side(self.y - weight * self.f)
        f_seen = self.means(self.f)
        seen_by_predictor = weight * (1 - self.ratio)[self.codes] * (self.f - f_seen[self.codes])
        z = self.y - beta * self.s - seen_by_predictor
        z_mean = self.means(z)
        rate = float(np.clip(self.weights @ (z_mean - weight * (f_seen - self.f_mean)), 0, 1))
        squares = self.means(z**2) * self.sizes
        of_labels = variance_of_strata((z_mean * self.sizes)[np.newaxis], squares[np.newaxis], self.sizes, self.weights)
        v = self.cost((weight > 0) + (beta != 0)) * float(of_labels[0])
        of_all = self.weights**2 * self.ratio * (1 - self.ratio) * self.f_variance / self.sizes
        v += weight**2 * float(of_all.sum())
        n = len(self.y)
        t = (n * rate + 1) / (n + 2)
        least = 1 / float((self.weights**2 / self.sizes).sum()) / 2
        n_eff = float(np.clip(t * (1 - t) / v, least, 40 * n))
        if self.voter is not None:
            expected = beta * self.side + (seen_by_predictor + z_mean[self.codes])[self.place]
            n_eff *= self.of_voters(v, expected, level)
        low, high = clopper_pearson(np.array([rate]), np.array([n_eff]), level)
        return HumanWinRate(rate, float(low[0]), float(high[0]), n_eff), beta

    def cost(self, estimated: int) -> float:
        """Return g."""
        spare = self.spare(estimated)
        return (spare + 1 + estimated) / (spare + 1) * (1 + estimated / spare) if estimated else 1.0

    def of_voters(self, v: float, expected: Float64s, level: float) -> float:
        """Return the factor of n_eff for what labels of the same voter share, at most 1."""
        assert self.voter is not None
        of = self.codes[self.place]
        u = (self.label - expected) * (self.weights / self.sizes)[of] / np.bincount(self.place)[self.place]
        by_voter = np.bincount(self.voter, u)
        cells = np.unique(self.voter * len(self.y) + self.place, return_inverse=True)[1]
        by_cell = np.bincount(cells, u)
        if len(by_cell) == len(by_voter):
            return 1.0  # nobody voted on two prompts
        voters = len(u) ** 2 / float((np.bincount(self.voter) ** 2).sum())
        x = voters / (voters - 1) * (float(by_voter @ by_voter) - float(by_cell @ by_cell))
        tail = _arrays.tail(level)
        return v / (v + max(0.0, x)) * (float(ndtri(tail)) / float(stdtrit(voters - 1, tail))) ** 2
