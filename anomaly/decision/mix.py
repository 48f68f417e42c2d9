"""What the change of a KPI's total is made of: what its segments did, and how the mix of them
changed.

A ratio's total is Σ share × ratio over its segments. With the shares held at what is usual it
changes only by what the segments do; the rest of its change is the mix (Kitagawa 1955; with the
shares of the baseline, as Oaxaca 1973 and Blinder 1973 do). Usual are the shares expected in the
observation: their daily and weekly seasonality is no change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from anomaly.baseline.kept import Learner
from anomaly.baseline.robust import Bools, Floats
from anomaly.baseline.seasonal import Baseline
from anomaly.model import Calendar, Kpi
from anomaly.panel import DENOMINATOR, NUMERATOR, assemble, block
from anomaly.scoring.effect import estimate
from anomaly.scoring.scored import Scored
from anomaly.scoring.sizes import Sizes
from anomaly.scoring.timeline import timeline

ADDS_UP = 0.01  # relative difference up to which segments are taken to add up to their total

Key = tuple[str, str]  # of a series: KPI and segment


@dataclass(frozen=True, slots=True)
class Mix:
    """What the change of one total is made of, in the KPI's unit: the `contributions` by segment
    and the `effect` of the mix add up to it.

    `shares` are the observed and the usual share of each segment in the total's volume. Where
    segments are amounts that add up to the total there is no effect (None) and no share.
    """

    contributions: Mapping[str, float]
    effect: float | None = None
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastPart:
    """What the past says of a segment's part in its total, or of the total itself.

    `share` is the share of the volume that was to be expected over the observation, NaN of what is
    no ratio. `amount` is its sum over the steps of the history at which the total is there,
    `size` the same without signs.
    """

    share: float
    amount: float
    size: float


@dataclass(frozen=True, slots=True)
class PastShares:
    """The share of each segment of a ratio in its total's volume, as a `panel` of ratios over the
    history, and its `baseline`."""

    panel: pd.DataFrame
    baseline: Baseline

    @classmethod
    def learned(
        cls,
        history: pd.DataFrame,
        totals: pd.DataFrame,
        kpis: Sequence[Kpi],
        calendar: Calendar,
        learner: Learner,
    ) -> PastShares | None:
        """Those of a history with these totals; None where there are none. Shares are themselves
        ratios, with a seasonality and a drift of their own, so they have the same baseline as every
        KPI."""
        panel = _shares(history, totals) if totals.shape[1] else totals
        return cls(panel, learner.fit(panel, kpis, calendar)) if panel.shape[1] else None

    def expected(
        self, observation: pd.DataFrame, totals: pd.DataFrame, gap: int
    ) -> dict[Key, float]:
        """The shares that were to be expected of an observation with these totals."""
        with np.errstate(all="ignore"):
            line = timeline(self.baseline, self.panel, _shares(observation, totals), gap)
            expected = estimate(self.baseline, line).expected
        return dict(zip(line.series.keys, np.clip(expected, 0.0, 1.0).tolist(), strict=True))


def past_parts(
    history: pd.DataFrame,
    observation: pd.DataFrame,
    totals: tuple[pd.DataFrame, pd.DataFrame],
    past: PastShares | None,
    gap: int,
) -> dict[Key, PastPart]:
    """The parts that the series of two panels have in their `totals`, two panels over the same
    steps."""
    if not totals[0].shape[1]:
        return {}
    shares = {} if past is None else past.expected(observation, totals[1], gap)
    of_totals, series = block(totals[0]), block(history)
    rows = {kpi: row for row, (kpi, _) in enumerate(of_totals.keys)}
    out = {}
    for key, amount in zip(series.keys, series.amount, strict=True):
        if key[0] not in rows:
            continue
        there = amount[of_totals.present[rows[key[0]]]]
        with np.errstate(all="ignore"):
            sums = float(np.nansum(there)), float(np.nansum(np.abs(there)))
        out[key] = PastPart(shares.get(key, np.nan), *sums)
    return out


def _shares(panel: pd.DataFrame, totals: pd.DataFrame) -> pd.DataFrame:
    """The segments' part in the volume of each ratio's total, as a panel of ratios."""
    of_totals, series = block(totals), block(panel)
    volumes = {
        kpi: volume
        for (kpi, _), volume, ratio in zip(
            of_totals.keys, of_totals.volume, of_totals.ratio, strict=True
        )
        if ratio
    }
    columns = {}
    for i, (kpi, segment) in enumerate(series.keys):
        if segment and kpi in volumes:
            there = np.where(series.present[i], series.volume[i], 0.0)
            columns[kpi, segment, NUMERATOR] = there
            columns[kpi, segment, DENOMINATOR] = volumes[kpi]
    return assemble(columns, pd.DatetimeIndex(panel.index))


def mixes(scored: Scored, past: Mapping[Key, PastPart]) -> dict[str, Mix]:
    """The mix of every total that has a size, by KPI; none where the segments do not add up to
    the total (as percentiles), or a number is too large to compute with."""
    parts: dict[str, list[int]] = {}
    for row, (kpi, segment) in enumerate(scored.keys):
        if segment:
            parts.setdefault(kpi, []).append(row)
    out: dict[str, Mix] = {}
    if not parts:
        return out
    expected = _expected(scored)
    for whole, (kpi, segment) in enumerate(scored.keys):
        result = scored.scores[whole]
        if segment or kpi not in parts or result is None or result.sizes is None:
            continue
        mine = parts[kpi]
        change = (result.sizes.observed - result.sizes.absolute, result.sizes.observed)
        with np.errstate(all="ignore"):
            if scored.observation.ratio[whole]:
                out[kpi] = _of_ratio(scored, whole, mine, expected, past, change)
            elif _adds_up(scored, whole, mine, past):
                out[kpi] = _of_amounts(scored, whole, mine, expected, change)
    return {kpi: mix for kpi, mix in out.items() if _is_finite(mix)}


def _is_finite(mix: Mix) -> bool:
    parts = [*mix.contributions.values(), 0.0 if mix.effect is None else mix.effect]
    return bool(np.isfinite(parts).all())


def _expected(scored: Scored) -> Floats:
    """What was expected of each series and step; of one that is gone the mean of its past, NaN
    without one."""
    mean = scored.past.mean
    expected = scored.points.matrices["expected"]
    return np.asarray(
        np.where(np.isfinite(mean)[:, None] & ~np.isfinite(expected), mean[:, None], expected)
    )


def _of_ratio(
    scored: Scored,
    whole: int,
    parts: list[int],
    expected: Floats,
    past: Mapping[Key, PastPart],
    change: tuple[float, float],
) -> Mix:
    """A segment without a past counts with its difference from the usual total: what came with it
    is no mix. One that is gone keeps its share and its ratio: its disappearance counts as mix.
    """
    observation, present = scored.observation, np.isfinite(scored.observation.value[whole])
    counted = observation.present[parts] & present
    volume = np.where(counted, observation.volume[parts], 0.0)
    amount = np.where(counted, observation.amount[parts], 0.0)
    volumes, observed_share = volume.sum(axis=1), volume.sum(axis=1) / volume.sum()
    ratio = amount.sum(axis=1) / volumes
    weight = np.where(volumes[:, None] > 0, volume, 1.0 * present)
    before = np.where(weight > 0, expected[parts] * weight, 0.0).sum(axis=1) / weight.sum(axis=1)
    has_past: Bools = np.isfinite(before)
    is_new = (volumes > 0) & ~has_past
    usual_share = np.array(
        [past[scored.keys[i]].share if scored.keys[i] in past else np.nan for i in parts]
    )
    usual_share = usual_share / np.nansum(usual_share)  # each has a baseline of its own
    share = _held_shares(usual_share, observed_share, has_past, is_new)
    before = _reconciled(
        np.where(has_past, before, change[0]), np.where(has_past, share, 0.0), change[0]
    )
    ratio = np.where(volumes > 0, ratio, before)
    return Mix(
        contributions=_named(scored, parts, share * (ratio - before)),
        effect=float(change[1] - (share * ratio).sum()),
        shares={
            scored.keys[i][1]: (float(observed_share[j]), float(usual_share[j]))
            for j, i in enumerate(parts)
            if np.isfinite(usual_share[j])
        },
    )


def _held_shares(usual: Floats, observed_share: Floats, has_past: Bools, is_new: Bools) -> Floats:
    """The shares at which the total is held, adding up to 1: the usual ones among those with a
    past, the observed of the others."""
    left = 1.0 - observed_share[is_new].sum()
    share = np.where(has_past, np.where(np.isfinite(usual), usual, observed_share), 0.0)
    if share.sum() <= 0:
        share = np.where(has_past, observed_share, 0.0)
    return np.where(is_new, observed_share, share * left / max(share.sum(), np.finfo(float).tiny))


def _reconciled(before: Floats, weight: Floats, total: float) -> Floats:
    """What was expected of the segments, in proportion so that it agrees with what was expected of
    their total."""
    mean = (weight * before).sum() / weight.sum() if weight.sum() > 0 else 0.0
    scaled = before * (total / mean) if mean != 0 else np.full(len(before), total)
    return np.asarray(np.where(weight > 0, scaled, total))


def _adds_up(scored: Scored, whole: int, parts: list[int], past: Mapping[Key, PastPart]) -> bool:
    """Whether the segments' amounts add up to the total's, before and after the release."""
    after = scored.observation
    amount = after.amount[:, after.present[whole]]
    before = past[scored.keys[whole]]
    sides = (
        (sum(past[scored.keys[i]].amount for i in parts), before.amount, before.size),
        (np.nansum(amount[parts]), amount[whole].sum(), np.abs(amount[whole]).sum()),
    )
    return all(abs(together - total) <= ADDS_UP * size for together, total, size in sides)


def _of_amounts(
    scored: Scored, whole: int, parts: list[int], expected: Floats, change: tuple[float, float]
) -> Mix:
    present = scored.observation.present[whole]
    observed = np.nansum(scored.observation.amount[parts][:, present], axis=1)
    before = np.nansum(expected[parts][:, present], axis=1)

    def shared_out(amounts: Floats, total: float) -> Floats:
        even = np.full(len(amounts), total / len(amounts))
        return amounts * (total / amounts.sum()) if amounts.sum() != 0 else even

    return Mix(
        _named(scored, parts, shared_out(observed, change[1]) - shared_out(before, change[0]))
    )


def _named(scored: Scored, parts: list[int], values: Floats) -> dict[str, float]:
    return {scored.keys[i][1]: float(value) for i, value in zip(parts, values, strict=True)}


def at_usual_mix(sizes: Sizes, mix_effect: float | None) -> Sizes:
    """The sizes of the change that the segments make up: a shift of the population is nobody's
    fault."""
    if mix_effect is None:
        return sizes
    absolute = sizes.absolute - mix_effect
    low, high = sizes.absolute_interval
    interval = (low - mix_effect, high - mix_effect)
    scale = None if sizes.relative is None else abs(sizes.expected) or None
    return replace(
        sizes,
        absolute=absolute,
        absolute_interval=interval,
        relative=None if scale is None else absolute / scale,
        relative_interval=None if scale is None else (interval[0] / scale, interval[1] / scale),
    )
