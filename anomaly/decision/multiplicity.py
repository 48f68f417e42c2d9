"""Multiplicity: how the share of harmless releases that may fail is divided among all series that
could fail one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats
from anomaly.decision.dependence import Dependence, learn_dependence
from anomaly.decision.draft import Draft
from anomaly.model import Correction, Kpi

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
class Allowance:
    """What a p-value has to undercut beside those of the other series (`alpha`), and in how many
    harmless releases any series would be as surprising (`p_release`, None for a series that does
    not count)."""

    alpha: float
    p_release: float | None = None


def allowances(
    drafts: Sequence[Draft],
    usage: Mapping[str, float],
    false_alarms: float,
    correction: Correction,
    replayed: Floats,
    windows: int,
) -> list[Allowance]:
    """The allowance of each draft. Those that can't be judged, dry runs and controls leave their
    share to the others.

    `replayed` `(drafts, placebo releases)` and `windows` are those of
    `anomaly.decision.dependence.learn_dependence`.
    """
    rows = [i for i, draft in enumerate(drafts) if draft.is_judgeable and draft.counts]
    counted = [drafts[i] for i in rows]
    kpis = {draft.kpi.name: draft.kpi for draft in counted}
    # a series that does not count is shown at the alpha that an equal share would give it
    out = [Allowance(false_alarms / max(len(kpis), 1))] * len(drafts)
    share = shares([*kpis.values()], usage)
    weight = np.array(
        [
            share[draft.kpi.name] * part
            for draft, part in zip(counted, _shares_of_kpi(counted), strict=True)
        ]
    )
    p = np.array([draft.p_value for draft in counted], dtype=float)
    together = learn_dependence(replayed[rows], weight, windows)
    alphas = (
        _holm(p, weight, false_alarms, together)
        if correction is Correction.HOLM
        else _benjamini_hochberg(p, weight, false_alarms)
    )
    for i, alpha, own_p, own_weight in zip(rows, alphas, p, weight, strict=True):
        out[i] = Allowance(float(alpha), together.any_below(own_p / own_weight * weight))
    return out


def _shares_of_kpi(counted: Sequence[Draft]) -> list[float]:
    """Each draft's part of its KPI's share: equal among segments, TOTAL_SHARE for their total,
    which sees what moves them all."""
    segments = Counter(draft.kpi.name for draft in counted if not draft.is_total)
    totals = Counter(draft.kpi.name for draft in counted if draft.is_total)
    for_segments = {
        kpi: (1 - TOTAL_SHARE if totals[kpi] else 1.0) / count for kpi, count in segments.items()
    }
    for_totals = {kpi: TOTAL_SHARE if segments[kpi] else 1.0 for kpi in totals}
    return [(for_totals if draft.is_total else for_segments)[draft.kpi.name] for draft in counted]


def _holm(p: np.ndarray, weight: np.ndarray, alpha: float, together: Dependence) -> np.ndarray:
    """Weighted Holm (1979) for p-values that may be dependent (as in Westfall and Young 1993): in
    the order of p / weight, each against its weight's part of what may be spent on those that are
    not yet rejected."""
    alphas = np.zeros(len(p))
    rest = np.ones(len(p), bool)
    for i in np.argsort(p / weight, kind="stable"):
        left = weight[rest].sum()
        alphas[rest] = together.subset(rest).alpha(weight[rest] / left, alpha) * weight[rest] / left
        if p[i] >= alphas[i]:
            break
        rest[i] = False
    return alphas


def _benjamini_hochberg(p: np.ndarray, weight: np.ndarray, alpha: float) -> np.ndarray:
    """Weighted Benjamini–Hochberg (Genovese, Roeder and Wasserman 2006): a share of the alarms may
    be false."""
    count = len(p)
    scaled = weight * count
    order = np.argsort(p / scaled)
    passed = np.flatnonzero((p / scaled)[order] < alpha * np.arange(1, count + 1) / count)
    rejected = int(passed[-1]) + 1 if len(passed) else 1
    return np.asarray(scaled * alpha * rejected / count)
