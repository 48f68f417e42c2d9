"""How much each of several series is worth to foresee another one."""

from __future__ import annotations

import numpy as np

from anomaly.baseline.robust import Floats

CLEAR = 6.0  # squared t-statistic from which a series is taken to move along


def weights(gram: Floats, cross: Floats, power: float, count: float) -> Floats:
    """How much the move of each of some series is worth: ridge regression (Hoerl and Kennard 1970)
    on those that clearly move along.

    `gram` are their products with each other, `cross` those with the other series, and `power` is
    its own, summed over so many independent moves (`count`).
    """
    own = np.diag(gram)
    with np.errstate(invalid="ignore", divide="ignore"):
        r_squared = np.where(own > 0, np.nan_to_num(cross**2 / (own * power)), 0.0)
    clear = np.flatnonzero(r_squared * count > CLEAR * (1 - np.minimum(r_squared, 1.0)))
    out = np.zeros(len(cross))
    if len(clear):
        penalty = np.diag(own[clear]) * len(clear) / count
        out[clear] = np.linalg.solve(gram[np.ix_(clear, clear)] + penalty, cross[clear])
    return out
