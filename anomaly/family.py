"""The family of KPIs: how the share of harmless releases that may fail is divided among all that could fail one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from anomaly.model import Correction, Finding, Kpi, Verdict

LEAST_SHARE = 0.25  # of an equal share of `false_alarms`, for a KPI that nobody uses
TOTAL_SHARE = 0.5  # of a KPI's share of `false_alarms`, for the total of its segments


def shares(kpis: Sequence[Kpi], usage: Mapping[str, float]) -> dict[str, float]:
    """Each KPI's share of `false_alarms`, summing to 1: by usage, at least a quarter of an equal share, a critical one an equal share."""
    total = sum(usage[kpi.name] for kpi in kpis)
    equal = 1 / len(kpis) if kpis else 0.0
    raw = {}
    for kpi in kpis:
        used = usage[kpi.name] / total if total > 0 else equal
        raw[kpi.name] = max(used, equal if kpi.critical else LEAST_SHARE * equal)
    return {name: share / sum(raw.values()) for name, share in raw.items()}


def levels_of(
    drafts: Sequence[Finding], kpis: Mapping[str, Kpi], usage: Mapping[str, float], false_alarms: float, correction: Correction
) -> list[float]:
    """The level that each finding's p-value has to undercut; KPIs without a p-value leave the family."""
    family = [i for i, draft in enumerate(drafts) if draft.verdict is Verdict.OK and draft.counts]
    names = list(dict.fromkeys(drafts[i].kpi for i in family))
    share = shares([kpis[name] for name in names], usage)
    inside = _inside_shares([drafts[i] for i in family])
    weight = np.array([share[drafts[i].kpi] * part for i, part in zip(family, inside, strict=True)])
    p = np.array([drafts[i].p_value for i in family], dtype=float)
    spent = _holm(p, weight, false_alarms) if correction is Correction.HOLM else _benjamini_hochberg(p, weight, false_alarms)
    out = [false_alarms / max(len(names), 1)] * len(drafts)  # a dry run is shown at the level that an equal share would give it
    for i, level in zip(family, spent, strict=True):
        out[i] = float(level)
    return out


def _inside_shares(family: Sequence[Finding]) -> list[float]:
    """Each finding's part of its KPI's share: equal among segments, TOTAL_SHARE for their total, which sees what moves them all."""
    segments, totals = (Counter(draft.kpi for draft in family if draft.total is of_all) for of_all in (False, True))
    for_segments = {kpi: (1 - TOTAL_SHARE if totals[kpi] else 1.0) / count for kpi, count in segments.items()}
    for_totals = {kpi: TOTAL_SHARE if segments[kpi] else 1.0 for kpi in totals}
    return [(for_totals if draft.total else for_segments)[draft.kpi] for draft in family]


def _holm(p: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """Weighted Holm (Holm 1979): in the order of p / weight, each against its weight's part of what is not yet rejected."""
    levels = np.zeros(len(p))
    left, going = 1.0, True
    rest = set(range(len(p)))
    for i in sorted(rest, key=lambda j: p[j] / weight[j]):
        if not going:
            break
        levels[i] = alpha * weight[i] / left
        going = bool(p[i] < levels[i])
        if going:
            left = max(left - weight[i], 1e-12)
            rest.discard(i)
    for i in rest:
        levels[i] = alpha * weight[i] / left
    return levels


def _benjamini_hochberg(p: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """Weighted Benjamini–Hochberg (Genovese, Roeder and Wasserman 2006): a share of the alarms may be false."""
    count = len(p)
    scaled = weight * count
    order = np.argsort(p / scaled)
    passed = np.flatnonzero((p / scaled)[order] < alpha * np.arange(1, count + 1) / count)
    rejected = int(passed[-1]) + 1 if len(passed) else 1
    return np.asarray(scaled * alpha * rejected / count)
