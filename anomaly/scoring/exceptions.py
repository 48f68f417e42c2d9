"""Series that hardly ever leave one value: what is surprising is a step that does.

With e exceptions in n steps the exceptions among m later steps follow a beta-binomial law
(Jeffreys' prior ½, ½).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, betaln, gammaln, logsumexp

from anomaly.baseline.robust import Bools, Floats, median
from anomaly.model import Direction

MOSTLY = 0.9  # share of the history at one value from which a series counts as nearly constant
PRIOR = 0.5
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Exceptions:
    """Per series: whether it is nearly or exactly constant, at which value, and how surprising its
    later exceptions are; 1 if not."""

    constant: Bools
    exact: Bools
    value: Floats
    any_p: Floats
    up_p: Floats
    down_p: Floats

    def p_values(self, i: int, direction: Direction) -> tuple[float, float]:
        """For series `i`, in the bad direction and in the good one."""
        pair = {
            Direction.UP: (self.up_p, self.down_p),
            Direction.DOWN: (self.down_p, self.up_p),
        }.get(direction)
        return (
            (float(self.any_p[i]), 1.0) if pair is None else (float(pair[0][i]), float(pair[1][i]))
        )


def exceptions(value: Floats, before: int) -> Exceptions:
    """Count the exceptions of `value` `(series, time)` before and after row `before`."""
    usual = median(value[:, :before])
    seen = np.isfinite(value)
    past, later = seen[:, :before].sum(axis=1), seen[:, before:].sum(axis=1)
    differs = [
        seen & (value != usual[:, None]),
        seen & (value > usual[:, None]),
        seen & (value < usual[:, None]),
    ]
    strange = differs[0][:, :before].sum(axis=1)
    constant = (past > 0) & (strange <= (1 - MOSTLY) * past)
    ps = np.ones((3, len(value)))
    for kind, p in zip(differs, ps, strict=True):
        old, new = kind[:, :before].sum(axis=1), kind[:, before:].sum(axis=1)
        p[constant] = [
            tail(int(new[i]), int(later[i]), int(old[i]), int(past[i]))
            for i in np.flatnonzero(constant)
        ]
    return Exceptions(constant, (past > 0) & (strange == 0), usual, *ps)


def tail(k: int, m: int, e: int, n: int) -> float:
    """P(at least `k` of `m` steps are exceptions | `e` of `n` were)."""
    if k <= 0 or m <= 0:
        return 1.0
    i = np.arange(k, m + 1)
    choose = gammaln(m + 1) - gammaln(i + 1) - gammaln(m - i + 1)
    a, b = PRIOR + e, PRIOR + n - e
    return float(min(1.0, np.exp(logsumexp(choose + betaln(i + a, m - i + b) - betaln(a, b)))))


def share_interval(k: float, m: int) -> tuple[float, float]:
    """Jeffreys' interval of a share of `k` in `m`; of weighted steps `k` need not be whole."""
    low, high = betaincinv(k + PRIOR, m - k + PRIOR, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low) if k >= 1 else 0.0, float(high) if k <= m - 1 else 1.0)
