"""From the combined score G to a p-value.

Placebo replay has already done the work of each series, so that the law of G without a release is nearly the same for every
series; one table per set of questions holds it. It was measured on quiet stretches of real KPIs, and is nearly that of the
hardest generated kind of quiet series (`restless` in `benchmarks/quiet.py`, whose spread comes and goes), from which the tail is
taken; on every other kind false alarms are rarer.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from anomaly.baseline.robust import Floats

P = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01)


class Law(Enum):
    """G at the probabilities `P`, and the exponent of its tail beyond the last."""

    BOTH_WAYS = ((1e-6, 0.074, 0.141, 0.278, 0.55, 0.90, 1.7, 2.6), 2.3)
    ONE_WAY = ((1e-6, 0.074, 0.141, 0.278, 0.55, 0.90, 1.7, 2.6), 2.3)
    LEVEL = ((1e-6, 0.074, 0.141, 0.278, 0.55, 0.90, 1.7, 2.6), 2.3)


def p_value(g: Floats, law: Law) -> Floats:
    """Probability of at least `g` without a change, log-log between the table's entries."""
    table, exponent = law.value
    inside = np.exp(np.interp(np.log(np.maximum(g, table[0])), np.log(table), np.log(P)))
    return np.asarray(np.where(g > table[-1], P[-1] * (np.maximum(g, table[-1]) / table[-1]) ** -exponent, inside))


def needed(p: float, law: Law) -> float:
    """The G whose p-value is `p`: the inverse of `p_value`."""
    table, exponent = law.value
    if p < P[-1]:
        return float(table[-1] * (p / P[-1]) ** (-1 / exponent))
    return float(np.exp(np.interp(-np.log(p), -np.log(P), np.log(table))))
