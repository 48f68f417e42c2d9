"""The family of KPIs: how the share of harmless releases that may fail is divided among all that
could fail one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats
from anomaly.decision.dependence import Joint, joint
from anomaly.model import Correction, Finding, Kpi, Verdict

LEAST_SHARE = 0.25  # of an equal share of `false_alarms`, for a KPI that nobody uses
TOTAL_SHARE = 0.5  # of a KPI's share of `false_alarms`, for the total of its segments


def shares(kpis: Sequence[Kpi], usage: Mapping[str, float]) -> dict[str, float]:
    """Each KPI's share of `false_alarms`, summing to 1: by usage, at least a quarter of an equal
    share, a critical one an equal share."""
    total = sum(usage[kpi.name] for kpi in kpis)
    equal = 1 / len(kpis) if kpis else 0.0
    raw = {}
    for kpi in kpis:
        used = usage[kpi.name] / total if total > 0 else equal
        raw[kpi.name] = max(used, equal if kpi.critical else LEAST_SHARE * equal)
    return {name: share / sum(raw.values()) for name, share in raw.items()}


@dataclass(frozen=True, slots=True)
class Among:
    """What the family makes of each finding's p-value: the `level` that it has to undercut, and in
    how many harmless releases any KPI would be as surprising (`p_release`, None outside of the
    family)."""

    level: float
    p_release: float | None = None


def among(
    drafts: Sequence[Finding],
    kpis: Mapping[str, Kpi],
    usage: Mapping[str, float],
    false_alarms: float,
    correction: Correction,
    replayed: Floats,
    windows: int,
) -> list[Among]:
    """Each finding among the others; KPIs without a p-value leave the family.

    `replayed` `(drafts, placebo releases)` and `windows` are those of
    `anomaly.decision.dependence.joint`.
    """
    family = [i for i, draft in enumerate(drafts) if draft.verdict is Verdict.OK and draft.counts]
    names = list(dict.fromkeys(drafts[i].kpi for i in family))
    share = shares([kpis[name] for name in names], usage)
    inside = _inside_shares([drafts[i] for i in family])
    weight = np.array([share[drafts[i].kpi] * part for i, part in zip(family, inside, strict=True)])
    p = np.array([drafts[i].p_value for i in family], dtype=float)
    together = joint(replayed[family], weight, windows)
    spent = (
        _holm(p, weight, false_alarms, together)
        if correction is Correction.HOLM
        else _benjamini_hochberg(p, weight, false_alarms)
    )
    out = [Among(false_alarms / max(len(names), 1))] * len(
        drafts
    )  # a dry run is shown at the level that an equal share would give it
    for i, level, mine, part in zip(family, spent, p, weight, strict=True):
        out[i] = Among(float(level), together.any_below(mine / part * weight))
    return out


def _inside_shares(family: Sequence[Finding]) -> list[float]:
    """Each finding's part of its KPI's share: equal among segments, TOTAL_SHARE for their total,
    which sees what moves them all."""
    segments, totals = (
        Counter(draft.kpi for draft in family if draft.total is of_all) for of_all in (False, True)
    )
    for_segments = {
        kpi: (1 - TOTAL_SHARE if totals[kpi] else 1.0) / count for kpi, count in segments.items()
    }
    for_totals = {kpi: TOTAL_SHARE if segments[kpi] else 1.0 for kpi in totals}
    return [(for_totals if draft.total else for_segments)[draft.kpi] for draft in family]


def _holm(p: np.ndarray, weight: np.ndarray, alpha: float, together: Joint) -> np.ndarray:
    """Weighted Holm (1979) for p-values that may be dependent (as in Westfall and Young 1993): in
    the order of p / weight, each against its weight's part of what may be spent on those that are
    not yet rejected."""
    levels = np.zeros(len(p))
    rest = np.ones(len(p), bool)
    for i in np.argsort(p / weight, kind="stable"):
        left = weight[rest].sum()
        levels[rest] = together.of(rest).level(weight[rest] / left, alpha) * weight[rest] / left
        if p[i] >= levels[i]:
            break
        rest[i] = False
    return levels


def _benjamini_hochberg(p: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """Weighted Benjamini–Hochberg (Genovese, Roeder and Wasserman 2006): a share of the alarms may
    be false."""
    count = len(p)
    scaled = weight * count
    order = np.argsort(p / scaled)
    passed = np.flatnonzero((p / scaled)[order] < alpha * np.arange(1, count + 1) / count)
    rejected = int(passed[-1]) + 1 if len(passed) else 1
    return np.asarray(scaled * alpha * rejected / count)
