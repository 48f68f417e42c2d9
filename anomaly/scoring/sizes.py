"""How large a change is: relative and absolute, with the intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats
from anomaly.model import Interval
from anomaly.scoring.effect import Effect
from anomaly.scoring.exceptions import is_exception, share_interval

ERRORS_95 = 1.96  # standard errors on either side of a 95 % interval


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the change is, relative (or None, see `Effect.size`) and in the KPI's unit, with 95
    % intervals."""

    observed: float
    expected: float
    relative: float | None
    relative_interval: Interval | None
    absolute: float
    absolute_interval: Interval


def sizes_of(effect: Effect) -> Sizes | None:
    """How large an effect is; None where a number is too large to compute with."""
    half = effect.half_width()
    relative, absolute = effect.size(effect.move)
    low_relative, low = effect.size(effect.move - half)
    high_relative, high = effect.size(effect.move + half)
    if not np.isfinite([absolute, low, high, effect.observed, effect.expected]).all():
        return None
    interval = None
    if low_relative is not None and high_relative is not None:
        interval = low_relative, high_relative
    return Sizes(effect.observed, effect.expected, relative, interval, absolute, (low, high))


def sizes_of_exceptions(usual: float, later: Floats, volume: Floats) -> Sizes | None:
    """How far the steps that differ from the `usual` value move the mean: how far they are from it,
    times their share; None where a number is too large to compute with."""
    has_value = np.isfinite(later)
    value, weight = later[has_value], volume[has_value] / volume[has_value].max()
    differs, steps = is_exception(value, usual), len(value)
    count = min(float(steps * weight[differs].sum() / weight.sum()), steps)  # of rounded sums
    off = value[differs] - usual
    away = float(np.average(off, weights=weight[differs])) if count > 0 else 0.0
    ends = [share * away for share in share_interval(count, steps)]
    absolute = count / steps * away
    # how many steps differ is uncertain, and by how much
    half = count / steps * ERRORS_95 * float(np.std(off)) / max(count, 1.0) ** 0.5 if count else 0.0
    low = absolute - float(np.hypot(absolute - min(ends), half))
    high = absolute + float(np.hypot(max(ends) - absolute, half))
    if not np.isfinite([absolute, low, high, usual + absolute]).all():
        return None
    relative, relative_interval = None, None
    if usual != 0 and np.isfinite([low / abs(usual), high / abs(usual)]).all():
        relative, relative_interval = absolute / abs(usual), (low / abs(usual), high / abs(usual))
    return Sizes(usual + absolute, usual, relative, relative_interval, absolute, (low, high))
