"""The correlogram of what a baseline leaves: is one step still related to another?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats

LAGS = 24  # steps apart that are tested
STEPS_PER_LAG = 4  # at least, or fewer lags are tested
SURE = 1.96  # standard errors: the bounds of one lag without autocorrelation, 95 %


@dataclass(frozen=True, slots=True)
class Correlogram:
    """Autocorrelations at the lags 1, 2 … `(lags,)` of `steps` values, and the p-value of the
    Ljung–Box test that all of them are 0. Without autocorrelation, 95 % of them lie within ±
    `bound`."""

    correlations: Floats
    steps: int
    p_value: float

    @property
    def bound(self) -> float:
        return float(SURE / np.sqrt(max(self.steps, 1)))

    @property
    def largest(self) -> tuple[int, float]:
        """The lag with the largest autocorrelation by size, and that autocorrelation."""
        at = int(np.abs(self.correlations).argmax())
        return at + 1, float(self.correlations[at])


def correlogram(values: Floats, coefficients: int = 0, lags: int = LAGS) -> Correlogram | None:
    """The correlogram of `values` `(time,)`, NaN for missing, of which an autoregression took away
    as many `coefficients`; None where they are too few or do not vary.

    Ljung and Box 1978.
    """
    from scipy.special import chdtrc
    from statsmodels.tsa.stattools import q_stat

    steps = int(np.isfinite(values).sum())
    lags = min(lags, steps // STEPS_PER_LAG)
    if lags <= coefficients or not np.nanstd(values) > 0:
        return None
    correlations = autocorrelations(values, lags)
    statistic = float(q_stat(correlations, steps)[0][-1])
    return Correlogram(correlations, steps, float(chdtrc(lags - coefficients, statistic)))


def autocorrelations(values: Floats, lags: int) -> Floats:
    """The autocorrelations of `values` `(time,)` at the lags 1 … `lags`; NaN where they do not
    vary. Missing steps add nothing (statsmodels' `missing="conservative"`)."""
    from statsmodels.tsa.stattools import acf

    if not np.isfinite(values).any() or not np.nanstd(values) > 0:
        return np.full(lags, np.nan)
    return np.asarray(acf(values, nlags=lags, missing="conservative", fft=True)[1:])
