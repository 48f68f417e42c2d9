"""What is left after the season is autocorrelated: an autoregression whitens it.

Without this step every test of a mean would take neighbouring steps as independent and raise false
alarms.
"""

from __future__ import annotations

import numpy as np

from anomaly.baseline.robust import Bools, Floats

ORDER = 4  # largest order tried
CLIP = 3.0  # standard deviations; one outlier must not hide the autocorrelation
PENALTY = 3.0  # strict BIC: three times log n per coefficient
MAX_SUM = 0.99  # keeps the long-run level finite
MIN_FOR_ANY, MIN_FOR_ALL = 20, 40  # finite steps


def autoregression(x: Floats, present: Bools) -> Floats:
    """Coefficients `(series, ORDER)` of an AR(p ≤ 4), zero beyond p, by Yule–Walker on clipped
    residuals `(series, time)`.

    Durbin–Levinson recursion, order by BIC (Schwarz 1978) with a threefold penalty.
    """
    n = x.shape[1]
    weight = present.astype(float)
    size = weight.sum(axis=1)
    clipped = np.where(present, np.clip(x, -CLIP, CLIP), 0.0)
    clipped -= weight * (clipped.sum(axis=1) / np.maximum(size, 1))[:, None]
    lags = range(min(ORDER, n - 1) + 1)
    pairs = np.stack(
        [np.maximum((weight[:, lag:] * weight[:, : n - lag]).sum(axis=1), 1) for lag in lags],
        axis=1,
    )
    moments = (
        np.stack([(clipped[:, lag:] * clipped[:, : n - lag]).sum(axis=1) for lag in lags], axis=1)
        / pairs
    )
    usable = (moments[:, 0] > 0) & (size >= MIN_FOR_ANY)
    rho = moments / np.where(usable, moments[:, 0], 1.0)[:, None] * (1 - 1e-4)
    rho[:, 0] = 1.0
    phi = np.zeros((len(x), ORDER))
    best, best_cost = np.zeros_like(phi), np.zeros(len(x))
    error = np.ones(len(x))
    for p in range(1, len(lags)):
        reflection = np.clip(
            (rho[:, p] - (phi[:, : p - 1] * rho[:, p - 1 : 0 : -1]).sum(axis=1)) / error,
            -0.99,
            0.99,
        )
        phi[:, : p - 1] = phi[:, : p - 1] - reflection[:, None] * phi[:, : p - 1][:, ::-1]
        phi[:, p - 1] = reflection
        error = error * np.maximum(1 - reflection**2, 1e-6)
        cost = size * np.log(error) + PENALTY * p * np.log(np.maximum(size, 1))
        better = usable & (cost < best_cost) & ((size >= MIN_FOR_ALL) | (p == 1))
        best[better], best_cost[better] = phi[better], cost[better]
    total = best.sum(axis=1)
    return best * np.where(total > MAX_SUM, MAX_SUM / np.maximum(total, MAX_SUM), 1.0)[:, None]


def innovations(x: Floats, present: Bools, phi: Floats) -> tuple[Floats, Bools]:
    """What the autoregression did not predict, and where it is known: the steps before must be
    present."""
    out, has_innovation = x.copy(), present.copy()
    for lag in range(1, ORDER + 1):
        rows = phi[:, lag - 1] != 0
        if not rows.any():
            continue
        out[rows, lag:] -= phi[rows, lag - 1, None] * x[rows, :-lag]
        has_innovation[rows, lag:] &= present[rows, :-lag]
        has_innovation[rows, :lag] = False
    return np.where(has_innovation, out, 0.0), has_innovation
