"""Series that hardly ever leave one value: a step that does is the surprise.

With e exceptions in n steps, the exceptions among m later steps follow a beta-binomial distribution
(Jeffreys' prior ½, ½).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, betaln, gammaln, logsumexp

from anomaly.baseline.robust import Bools, Floats, median
from anomaly.model import Direction

MOSTLY = 0.9  # share of the history at one value from which a series counts as nearly constant
PRIOR = 0.5  # Jeffreys' prior of a share
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Per series: whether it is nearly or exactly constant, at which value, and the p-values of its
    later exceptions, all of them and those above or below (1 where it is not constant)."""

    constant: Bools
    exact: Bools
    value: Floats
    any_p: Floats
    up_p: Floats
    down_p: Floats

    def p_values(self, i: int, direction: Direction) -> tuple[float, float]:
        """For series `i`, in the bad direction and in the good one."""
        if direction is Direction.EITHER:
            return float(self.any_p[i]), 1.0
        up, down = float(self.up_p[i]), float(self.down_p[i])
        return (up, down) if direction is Direction.UP else (down, up)


def exceptions(value: Floats, before: int) -> Exceptions:
    """Count the exceptions of `value` `(series, time)` before and after row `before`."""
    usual = median(value[:, :before])
    has_value = np.isfinite(value)
    past, later = has_value[:, :before].sum(axis=1), has_value[:, before:].sum(axis=1)
    differs = has_value & (value != usual[:, None])
    above = has_value & (value > usual[:, None])
    below = has_value & (value < usual[:, None])
    count = differs[:, :before].sum(axis=1)
    constant = (past > 0) & (count <= (1 - MOSTLY) * past)

    def p_values(marks: Bools) -> Floats:
        old, new = marks[:, :before].sum(axis=1), marks[:, before:].sum(axis=1)
        p = np.ones(len(value))
        for i in np.flatnonzero(constant):
            p[i] = tail(int(new[i]), int(later[i]), int(old[i]), int(past[i]))
        return p

    exact = (past > 0) & (count == 0)
    return Exceptions(constant, exact, usual, p_values(differs), p_values(above), p_values(below))


def tail(k: int, m: int, e: int, n: int) -> float:
    """P(at least `k` of `m` steps are exceptions | `e` of `n` were)."""
    if k <= 0 or m <= 0:
        return 1.0
    i = np.arange(k, m + 1)
    choose = gammaln(m + 1) - gammaln(i + 1) - gammaln(m - i + 1)
    a, b = PRIOR + e, PRIOR + n - e
    return float(min(1.0, np.exp(logsumexp(choose + betaln(i + a, m - i + b) - betaln(a, b)))))


def share_interval(k: float, m: int) -> tuple[float, float]:
    """Jeffreys' 95 % interval of a share of `k` in `m`; of weighted steps `k` need not be whole."""
    ends = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
    low, high = betaincinv(k + PRIOR, m - k + PRIOR, ends)
    return (float(low) if k >= 1 else 0.0, float(high) if k <= m - 1 else 1.0)
