"""The scale on which a series is judged: as it is, its logarithm, or its square root.

By the KPI's kind, or from the shape of the history alone (skewness and the ratio of its ends): a
change of unit changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anomaly.baseline.robust import Floats, skewness
from anomaly.model import KpiKind

# a series whose largest value is below 1.5 times its smallest is nearly linear on every scale
MIN_RATIO = 1.5
MIN_SKEW_LOG, MIN_SKEW_ROOT = 0.3, 1.0
MIN_GAIN = 0.8  # the logarithm must take away at least a fifth of the skewness
# later values under a quarter of the smallest past value count as that quarter: log has no zero
BELOW_MIN = 4.0


class Scale:
    """How a series is transformed; plain numbers, for numpy is slow to compare with an enum."""

    IDENTITY = 0
    LOG = 1
    ROOT = 2


def choose(history: Floats, kinds: Sequence[KpiKind | None]) -> tuple[Floats, Floats]:
    """Scale and log floor per series, both `(series,)`, from `history` `(series, time)` with NaN
    for missing.

    A declared kind decides, where its values allow it: a latency of 0 has no logarithm, but a root.
    """
    with np.errstate(all="ignore"):
        low, high = np.fmin.reduce(history, axis=1), np.fmax.reduce(history, axis=1)
        skew = skewness(history)
        positive = low > 0
        log = positive & (high / low > MIN_RATIO) & (skew > MIN_SKEW_LOG)
        if log.any():
            log[log] = np.abs(skewness(np.log(history[log]))) < MIN_GAIN * np.abs(skew[log])
        root = ~log & (low >= 0) & (high > low) & (skew > MIN_SKEW_ROOT)
        declared = np.array([kind is not None for kind in kinds])
        ratios = np.array([kind is KpiKind.LATENCY for kind in kinds])
        counts = np.array(
            [kind in (KpiKind.COUNTS, KpiKind.RATE, KpiKind.LATENCY) for kind in kinds]
        )
        log = np.where(declared, ratios & positive, log)
        root = np.where(declared, ~log & counts & (low >= 0), root)
    scale = np.where(log, Scale.LOG, np.where(root, Scale.ROOT, Scale.IDENTITY)).astype(float)
    return scale, np.where(log, low / BELOW_MIN, 0.0)


def forward(values: Floats, scale: Floats, floor: Floats) -> Floats:
    """`values` `(series, time)` on the chosen scale."""
    out = values.copy()
    if (scale != Scale.IDENTITY).any():
        log, root = scale == Scale.LOG, scale == Scale.ROOT
        out[log] = np.log(np.maximum(values[log], floor[log, None]))
        out[root] = np.sqrt(np.maximum(values[root], 0.0))
    return out


def back(values: Floats, scale: Floats) -> Floats:
    """The inverse of `forward`."""
    out = values.copy()
    if (scale != Scale.IDENTITY).any():
        log, root = scale == Scale.LOG, scale == Scale.ROOT
        out[log] = np.exp(values[log])
        out[root] = np.maximum(values[root], 0.0) ** 2
    return out
