"""From the combined score G to a p-value.

Placebo replay has already taken account of each series, so that the distribution of G without a
release is nearly the same for all of them. One table per set of questions holds it.
`benchmarks/calibrate.py` makes the tables from generated quiet series; half of them are restless,
as the spread of real KPIs comes and goes, and that is the hardest case.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

import numpy as np

from anomaly.baseline.robust import Floats
from anomaly.model import Direction

P = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.003)


class NullDistribution(Enum):
    """G at the probabilities `P`, and the exponent of its tail beyond the last."""

    BOTH_WAYS = ((1e-6, 0.058, 0.096, 0.171, 0.331, 0.498, 0.813, 1.224, 2.337), 1.9)
    ONE_WAY = ((1e-6, 0.022, 0.067, 0.160, 0.354, 0.570, 0.934, 1.295, 2.311), 2.3)
    LEVEL = ((1e-6, 0.009, 0.050, 0.152, 0.349, 0.570, 0.907, 1.191, 1.900), 3.1)


def null_of(direction: Direction) -> NullDistribution:
    """The null distribution of the answers that are bad for a KPI with this direction."""
    both_ways = direction is Direction.EITHER
    return NullDistribution.BOTH_WAYS if both_ways else NullDistribution.ONE_WAY


def p_value(g: Floats, null: NullDistribution) -> Floats:
    """Probability of at least `g` without a change, log-log between the table's entries."""
    table, exponent = null.value
    inside = np.exp(np.interp(np.log(np.maximum(g, table[0])), *_logarithms(null)))
    return np.asarray(
        np.where(g > table[-1], P[-1] * (np.maximum(g, table[-1]) / table[-1]) ** -exponent, inside)
    )


def g_at(p: float, null: NullDistribution) -> float:
    """The G whose p-value is `p`: the inverse of `p_value`."""
    table, exponent = null.value
    if p < P[-1]:
        return float(table[-1] * (p / P[-1]) ** (-1 / exponent))
    log_g, log_p = _logarithms(null)
    return float(np.exp(np.interp(-np.log(p), -log_p, log_g)))


@cache
def _logarithms(null: NullDistribution) -> tuple[Floats, Floats]:
    """The logarithms of the table's entries, G and p."""
    return np.log(null.value[0]), np.log(P)
