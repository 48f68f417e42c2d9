"""From the combined score G to a p-value.

Placebo replay has already done the work of each series, so that the law of G without a release is nearly the same for every
series; one table per set of questions holds it. `benchmarks/calibrate.py` makes it from generated quiet series, half of them
restless: the spread of real KPIs comes and goes, and that is what is hardest.
"""

from __future__ import annotations

from enum import Enum

import numpy as np

from anomaly.baseline.robust import Floats

P = (1.0, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.003)


class Law(Enum):
    """G at the probabilities `P`, and the exponent of its tail beyond the last."""

    BOTH_WAYS = ((1e-6, 0.086, 0.138, 0.243, 0.456, 0.696, 1.134, 1.669, 3.175), 2.6)
    ONE_WAY = ((1e-6, 0.027, 0.085, 0.221, 0.499, 0.783, 1.277, 1.721, 2.866), 2.5)
    LEVEL = ((1e-6, 0.013, 0.068, 0.213, 0.494, 0.782, 1.245, 1.612, 2.542), 3.0)


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
