"""The scored points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from anomaly.baseline.robust import ROUNDING, Floats
from anomaly.model import Kpi
from anomaly.panel import Block, LongForm
from anomaly.scoring.effect import Effects


def points(
    effects: Effects, later: Block, index: pd.DatetimeIndex, kpis: Sequence[Kpi]
) -> LongForm:
    """The scored steps after the release. A distance larger than any number is the largest there
    is."""
    lower, upper = _within_limits((effects.lower, effects.upper), later.keys, kpis)
    rounding = ROUNDING * (upper - lower)  # a count can lie exactly on the bound
    matrices = {
        "observed": later.value,
        "expected": effects.at,
        "lower": lower,
        "upper": upper,
        "z": np.nan_to_num(effects.z, nan=np.nan),
        "flagged": (later.value < lower - rounding) | (later.value > upper + rounding),
    }
    return LongForm(later.keys, index, matrices)


def points_before(
    effects: Effects,
    keys: tuple[tuple[str, str], ...],
    index: pd.DatetimeIndex,
    kpis: Sequence[Kpi],
) -> LongForm:
    """What was expected of the last steps of the history `index`."""
    expected, *ends = effects.before
    lower, upper = _within_limits(ends, keys, kpis)
    matrices = {"expected": expected, "lower": lower, "upper": upper}
    return LongForm(keys, index[len(index) - expected.shape[1] :], matrices)


def _within_limits(
    ends: Sequence[Floats], keys: Sequence[tuple[str, str]], kpis: Sequence[Kpi]
) -> tuple[Floats, Floats]:
    """The ends of a band, that ends where the KPI's kind does."""
    limits = {kpi.name: kpi.limits for kpi in kpis}
    of_series = [limits.get(name, (-np.inf, np.inf)) for name, _ in keys]
    least, most = np.array(of_series).reshape(-1, 2).T[:, :, None]
    lower, upper = ends
    return np.clip(lower, least, most), np.clip(upper, least, most)
