"""How often is any of several KPIs surprising at a harmless release? Fewer than their sum says, if
they move together.

What moves together at a release did so at the placebo releases before it, replayed at the same
moments for all. One number holds it: the mean correlation of their combined scores, by ranks. It
makes a Gaussian copula with one common factor, under p-values whose own null distribution comes
from many series. The tail of a copula is nearly independent, and so the credit is small there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Bools, Floats
from anomaly.scoring.student import NORMAL

# placebo releases replayed together, and independent ones among them, before any dependence is
# credited
LEAST_PLACEBOS = 30
LEAST_WINDOWS = 12
LEAST_SHARE = 0.5  # of the placebo releases, that a series must have answered to be replayed
MOST = 0.95  # the largest correlation that is believed
FACTOR = np.linspace(-8, 8, 161)  # values of the common factor, and their probabilities
WEIGHT = np.exp(-(FACTOR**2) / 2) / np.exp(-(FACTOR**2) / 2).sum()
HALVINGS = 40


@dataclass(frozen=True)
class Dependence:
    """How series depend on each other: those marked by `together` share the `correlation`, the
    others are independent."""

    together: Bools
    correlation: float

    def any_below(self, alphas: Floats) -> float:
        """Probability that any p-value is below its one of the `alphas` at a harmless release."""
        alone = np.log1p(-np.minimum(alphas[~self.together], 1 - 1e-12)).sum()
        if not self.together.any():
            return float(1 - np.exp(alone) * WEIGHT.sum())
        from scipy.special import ndtr, ndtri  # dear to load, where nothing depends on another

        edge = -ndtri(np.clip(alphas[self.together], 1e-300, 1 - 1e-12))[:, None]
        none = ndtr((edge - np.sqrt(self.correlation) * FACTOR) / np.sqrt(1 - self.correlation))
        return float(1 - np.exp(alone) * (WEIGHT @ np.prod(none, axis=0)))

    def alpha(self, weight: Floats, false_alarms: float) -> float:
        """How much of `false_alarms` there is to divide by `weight` (sum 1), so that any is below
        its part as often as that."""
        if not self.correlation:
            return false_alarms
        low, high = false_alarms, false_alarms / float(weight.max())
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if self.any_below(middle * weight) <= false_alarms else (low, middle)
            )
        return low

    def subset(self, rows: Bools) -> Dependence:
        """The dependence of some of the series."""
        return Dependence(self.together[rows], self.correlation)


def learn_dependence(replayed: Floats, weight: Floats, windows: int) -> Dependence:
    """Learn how KPIs move together from their scores `(series, placebo releases)`, of which
    `windows` are independent.

    `weight` are their shares of `false_alarms`. What is believed is one standard error below the
    mean correlation.
    """
    none = Dependence(np.zeros(len(replayed), bool), 0.0)
    has_answer = np.isfinite(replayed)
    together = has_answer.mean(axis=1) >= LEAST_SHARE if replayed.shape[1] else none.together
    columns = has_answer[together].all(axis=0)
    # a pair
    if together.sum() < 2 or columns.sum() < LEAST_PLACEBOS or windows < LEAST_WINDOWS:  # noqa: PLR2004
        return none
    scores = _normal_scores(replayed[together][:, columns])
    pairs = np.outer(weight[together], weight[together])
    np.fill_diagonal(pairs, 0.0)
    mean = float((pairs * (scores @ scores.T)).sum() / pairs.sum())
    believed = float(np.tanh(np.arctanh(min(mean, MOST)) - 1 / np.sqrt(windows - 3)))  # Fisher 1921
    return Dependence(together, believed) if believed > 0 else none


def _normal_scores(values: Floats) -> Floats:
    """Rows as normal scores of their ranks (van der Waerden 1952), scaled to length 1; equal values
    share a rank, 0 if all are."""
    ordered = np.sort(values, axis=1)
    below = np.stack(
        [np.searchsorted(row, each, "left") for row, each in zip(ordered, values, strict=True)]
    )
    upto = np.stack(
        [np.searchsorted(row, each, "right") for row, each in zip(ordered, values, strict=True)]
    )
    ranks = 2 * values.shape[1]
    normal = np.array([0.0, *(NORMAL.inv_cdf(rank / ranks) for rank in range(1, ranks))])
    scores = normal[below + upto]
    scores -= scores.mean(axis=1, keepdims=True)
    length = np.sqrt((scores**2).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(scores, length, out=np.zeros_like(scores), where=length > 0))
