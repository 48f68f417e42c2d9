"""Multiplicity: how the share of harmless releases that may fail is divided among all series that
could fail one. Up to `SMALL_FAMILY` series and beyond are two ways, for only a large family knows
how surprising its own series are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anomaly.baseline.robust import Floats, Ints
from anomaly.decision.dependence import Dependence, learn_dependence
from anomaly.decision.draft import Draft
from anomaly.decision.family import NullLaw, learn_null_law
from anomaly.model import SMALL_FAMILY, Correction, Kpi

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
    *,
    held_out: Floats,
    watched: float,
) -> list[Allowance]:
    """The allowance of each draft. Those that can't be judged, dry runs and controls leave their
    share to the others.

    `replayed` `(drafts, placebo releases)` and `windows` are those of
    `anomaly.decision.dependence.learn_dependence`, `held_out` those of
    `anomaly.decision.family.learn_null_law`, and `watched` is the share of the watch that is over.
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
    if len(rows) > SMALL_FAMILY:
        family = _Family(
            p,
            np.array([draft.p_exact for draft in counted]),
            weight,
            _units(counted),
            learn_null_law(held_out[rows]),
            watched,
        )
        divided = (
            family.hierarchical(false_alarms)
            if correction is Correction.HOLM
            else family.benjamini_hochberg(false_alarms)
        )
        for i, alpha, p_release in zip(rows, *divided, strict=True):
            out[i] = Allowance(float(alpha), float(p_release))
        return out
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


# --- large families -----------------------------------------------------------------------------


def _units(counted: Sequence[Draft]) -> Ints:
    """Which of the series are one unit: the segments of a KPI; its total is one by itself."""
    number: dict[tuple[str, bool], int] = {}
    return np.array(
        [number.setdefault((each.kpi.name, each.is_total), len(number)) for each in counted]
    )


@dataclass(frozen=True, slots=True)
class _Family:
    """Hundreds of series with their p-values, those of them that are exact, and their weights (sum
    1, equal within a unit).

    The `law` says how rare p-values are in this family, of single looks; those here are for the
    whole watch, of which the share `watched` is over.
    """

    p: Floats
    p_exact: Floats
    weight: Floats
    unit: Ints
    law: NullLaw | None
    watched: float

    def hierarchical(self, false_alarms: float) -> tuple[Floats, Floats]:
        """Alphas and p-values of the release.

        Weighted Holm (1979) over units, each tested by all of its series together (Simes 1986).
        Within a unit that is rejected, the step-up rule of Benjamini and Hochberg (1995) says which
        series are: under Simes' test it rejects one whenever that does. No series may pass with
        less evidence than a family of `SMALL_FAMILY` would ask of it, so that more series never
        make an alarm.
        """
        rarity, least = self._rarity(), self.p / self.weight * SMALL_FAMILY / len(self.p)
        budget = np.bincount(self.unit, self.weight)
        is_open, alphas = np.ones(len(budget), bool), np.zeros(len(self.p))
        while is_open.any():
            share = false_alarms / budget[is_open].sum()
            mine = is_open[self.unit]
            most = share * self.weight * len(self.p) / SMALL_FAMILY
            step_up = self._step_up(rarity, share * budget)
            alphas[mine] = np.minimum(self._p_at(step_up), most)[mine]
            rejected = self.unit[mine & (self.p < alphas)]
            if not len(rejected):
                break
            is_open[rejected] = False
        together = self._adjusted(rarity) / budget[self.unit]
        return alphas, np.minimum(np.maximum(together, least), 1.0)

    def benjamini_hochberg(self, false_alarms: float) -> tuple[Floats, Floats]:
        """Alphas and p-values of the release."""
        rarity = self._rarity()
        alphas = self._p_at(_benjamini_hochberg(rarity, self.weight, false_alarms))
        return alphas, np.minimum(rarity / self.weight, 1.0)

    def _rarity(self) -> Floats:
        """How often a p-value is as small as each of them in a quiet series of this family."""
        if self.law is None:
            return self.p
        return np.maximum(self.law.rarity(self.p * self.watched) / self.watched, self.p_exact)

    def _p_at(self, rarity: Floats) -> Floats:
        """The p-value that each series must undercut to be so rare."""
        if self.law is None:
            return rarity
        least = self.law.p_at(rarity * self.watched) / self.watched
        return np.where(self.p_exact < rarity, least, rarity)

    def _step_up(self, rarity: Floats, budget: Floats) -> Floats:
        """The rarity that each series must undercut by the step-up rule, within its unit's
        `budget`."""
        order, rank, size = self._ranks(rarity)
        unit = self.unit[order]
        passed = rarity[order] < rank * budget[unit] / size[unit]
        last = np.ones(len(budget))
        np.maximum.at(last, unit[passed], rank[passed])
        return np.asarray((last * budget / size)[self.unit])

    def _adjusted(self, rarity: Floats) -> Floats:
        """At which budget of its unit the step-up rule would begin to reject each series."""
        order, rank, size = self._ranks(rarity)
        unit, out = self.unit[order], np.empty(len(rarity))
        scaled = rarity[order] * size[unit] / rank
        # the smallest from each on, unit after unit
        for part in np.split(np.arange(len(unit)), np.flatnonzero(np.diff(unit)) + 1):
            out[order[part]] = np.minimum.accumulate(scaled[part][::-1])[::-1]
        return out

    def _ranks(self, rarity: Floats) -> tuple[Ints, Ints, Ints]:
        """The order of the series by unit and rarity, their ranks in their units in this order, and
        the sizes of the units."""
        order, size = np.lexsort((rarity, self.unit)), np.bincount(self.unit)
        first = np.cumsum(size) - size
        return order, np.arange(len(order)) - first[self.unit[order]] + 1, size
