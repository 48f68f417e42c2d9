"""Whether the arms of a split got the traffic that they should: the test for a sample ratio
mismatch (Fabijan et al. 2019).

Where the ratio is not the declared one, whatever chose the arm of a request may have chosen by what
the KPI measures, too: the arms do not compare. Requests come in sessions and bursts, so the
chi-squared statistic is divided by how much more the ratio varies between steps than chance alone
would let it (McCullagh & Nelder 1989, 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats

ALPHA = 0.001  # p-value under which the ratio is called broken; no share of `false_alarms`
LEAST_STEPS = 4  # with traffic, to know how much the ratio varies
LEAST_EXPECTED = 5.0  # requests in each arm, for the chi-squared distribution to hold


@dataclass(frozen=True, slots=True)
class Ratio:
    """How much of the traffic of two arms one of them had: `own` of `together`, where `declared` is
    its share, and how likely chance makes it as far from that."""

    own: float
    together: float
    declared: float
    p_value: float

    @property
    def is_broken(self) -> bool:
        return self.p_value < ALPHA


def ratio(own: Floats, other: Floats, declared: float) -> Ratio | None:
    """The traffic of two arms per step, compared with the declared share of the first; None if it
    is too little. Steps that miss one of them are left out."""
    from scipy.special import chdtrc  # dear to load, and few checklists have arms

    is_complete = np.isfinite(own) & np.isfinite(other)
    own, together = own[is_complete], own[is_complete] + other[is_complete]
    own, together = own[together > 0], together[together > 0]
    total, mine = float(together.sum()), float(own.sum())
    least = min(declared, 1 - declared) * total
    if len(own) < LEAST_STEPS or least < LEAST_EXPECTED or (own < 0).any() or mine > total:
        return None
    share = mine / total
    varies = share * (1 - share)
    excess = 1.0
    if varies > 0:
        chi_squared = ((own - share * together) ** 2 / (together * varies)).sum()
        excess = max(1.0, float(chi_squared) / (len(own) - 1))
    distance = (mine - declared * total) ** 2 / (total * declared * (1 - declared))
    return Ratio(mine, total, declared, float(chdtrc(1, distance / excess)))
