"""What the change of a KPI's total is made of: what its segments did, and how the mix of them
changed.

A ratio's total is Σ share × ratio over its segments. With the shares held at what is usual it
changes only by what the segments do; the rest of its change is the mix (Kitagawa 1955; with the
shares of the baseline, as Oaxaca 1973 and Blinder 1973 do). Usual are the shares expected in the
observation: their rhythm of the day and of the week is no change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Bools, Floats
from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.model import Calendar, ChangeKind, Finding, Kpi, Verdict
from anomaly.panel import DENOMINATOR, NUMERATOR, assemble, block
from anomaly.scoring.effect import estimate
from anomaly.scoring.score import Scored
from anomaly.scoring.timeline import timeline
from anomaly.wording import absolute, percent, plain, relative

ADDS_UP = 0.01  # relative difference up to which segments are taken to add up to their total
WORTH_NAMING = 0.1  # of the total's change
TIE = 9  # digits to which shifts of shares are compared
MOST_NAMED = 3  # segments in a sentence
LONGEST_NAME = 60
MOVED = frozenset({Verdict.REGRESSED, Verdict.IMPROVED, Verdict.RECOVERED})

Key = tuple[str, str]  # of a series: KPI and segment


@dataclass(frozen=True, slots=True)
class Makeup:
    """What the change of one total is made of, in the KPI's unit: the `contributions` by segment
    and the `mix` add up to it.

    `shares` are the observed and the usual share of each segment in the total's volume. Where
    segments are amounts that add up to the total there is no mix (None) and no share.
    """

    contributions: Mapping[str, float]
    mix: float | None = None
    shares: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def usual_shares(
    history: pd.DataFrame,
    observation: pd.DataFrame,
    kpis: Sequence[Kpi],
    calendar: Calendar,
    gap: int,
) -> dict[Key, float]:
    """The share of each segment of a ratio in its total's volume that was to be expected over the
    observation.

    Shares are themselves ratios, with a rhythm and a drift of their own, so they have the same
    baseline as every KPI.
    """
    if not any(kpi.by for kpi in kpis):
        return {}
    before, after = (_shares(part, kpis) for part in (history, observation))
    if not before.shape[1]:
        return {}
    base = SeasonalBaseline().fit(before, kpis, calendar)
    whole = pd.concat([before, after])
    series, index = block(whole), pd.DatetimeIndex(whole.index)
    with np.errstate(all="ignore"):
        expected = estimate(
            base, series, timeline(base, series, index, len(before), gap), index
        ).expected
    return dict(zip(series.keys, np.clip(expected, 0.0, 1.0).tolist(), strict=True))


def _shares(panel: pd.DataFrame, kpis: Sequence[Kpi]) -> pd.DataFrame:
    """The segments' part in the volume of each ratio's total, as a panel of ratios."""
    columns = {}
    for kpi in kpis:
        if (kpi.name, "", DENOMINATOR) not in panel.columns or not kpi.by:
            continue
        parts = block(panel.loc[:, panel.columns.get_level_values("kpi") == kpi.name])
        whole = parts.volume[parts.keys.index((kpi.name, ""))]
        for i, (name, segment) in enumerate(parts.keys):
            if segment:
                columns[name, segment, NUMERATOR] = np.where(parts.present[i], parts.volume[i], 0.0)
                columns[name, segment, DENOMINATOR] = whole
    return assemble(columns, pd.DatetimeIndex(panel.index))


def makeups(scored: Scored, usual: Mapping[Key, float]) -> dict[str, Makeup]:
    """The makeup of every total that has a size, by KPI; none where the segments do not add up to
    the total (as percentiles), or a number is too large to compute with."""
    out: dict[str, Makeup] = {}
    if not any(segment for _, segment in scored.keys):
        return out
    expected = _expected(scored)
    for whole, (kpi, segment) in enumerate(scored.keys):
        result = scored.scores[whole]
        if segment or result is None or result.sizes is None:
            continue
        parts = [i for i, key in enumerate(scored.keys) if key[0] == kpi and key[1]]
        if not parts:
            continue
        change = (result.sizes.observed - result.sizes.absolute, result.sizes.observed)
        with np.errstate(all="ignore"):
            if scored.observation.ratio[whole]:
                out[kpi] = _of_ratio(scored, whole, parts, expected, usual, change)
            elif _adds_up(scored, whole, parts):
                out[kpi] = _of_amounts(scored, whole, parts, expected, change)
    return {kpi: makeup for kpi, makeup in out.items() if _is_finite(makeup)}


def _is_finite(makeup: Makeup) -> bool:
    parts = [*makeup.contributions.values(), 0.0 if makeup.mix is None else makeup.mix]
    return bool(np.isfinite(parts).all())


def _expected(scored: Scored) -> Floats:
    """What was expected of each series and step; of one that is gone the mean of its past, NaN
    without one."""
    past = scored.history
    with np.errstate(all="ignore"):
        mean = np.where(past.present, past.amount, 0.0).sum(axis=1) / np.where(
            past.present, past.volume, 0.0
        ).sum(axis=1)
    expected = scored.points["expected"].to_numpy(dtype=float).reshape(len(scored.keys), -1)
    return np.asarray(
        np.where(np.isfinite(mean)[:, None] & ~np.isfinite(expected), mean[:, None], expected)
    )


def _of_ratio(
    scored: Scored,
    whole: int,
    parts: list[int],
    expected: Floats,
    usual: Mapping[Key, float],
    change: tuple[float, float],
) -> Makeup:
    """A segment without a past counts with what it differs from the usual total, for what came with
    it is no mix; one that is gone keeps its share and its ratio, so that its going is mix.
    """
    later, seen = scored.observation, np.isfinite(scored.observation.value[whole])
    counted = later.present[parts] & seen
    volume, amount = (np.where(counted, part[parts], 0.0) for part in (later.volume, later.amount))
    here, now = volume.sum(axis=1), volume.sum(axis=1) / volume.sum()
    ratio = amount.sum(axis=1) / here
    weight = np.where(here[:, None] > 0, volume, 1.0 * seen)
    before = np.where(weight > 0, expected[parts] * weight, 0.0).sum(axis=1) / weight.sum(axis=1)
    known: Bools = np.isfinite(before)
    fresh = (here > 0) & ~known
    of_old = np.array([usual.get(scored.keys[i], np.nan) for i in parts])
    of_old = of_old / np.nansum(of_old)  # each has a baseline of its own
    share = _held(of_old, now, known, fresh)
    before = _reconciled(np.where(known, before, change[0]), np.where(known, share, 0.0), change[0])
    ratio = np.where(here > 0, ratio, before)
    return Makeup(
        contributions=_named(scored, parts, share * (ratio - before)),
        mix=float(change[1] - (share * ratio).sum()),
        shares={
            scored.keys[i][1]: (float(now[j]), float(of_old[j]))
            for j, i in enumerate(parts)
            if np.isfinite(of_old[j])
        },
    )


def _held(usual: Floats, now: Floats, known: Bools, fresh: Bools) -> Floats:
    """The shares at which the total is held, adding up to 1: the usual ones among those with a
    past, the observed of the others."""
    left = 1.0 - now[fresh].sum()
    share = np.where(known, np.where(np.isfinite(usual), usual, now), 0.0)
    if share.sum() <= 0:
        share = np.where(known, now, 0.0)
    return np.where(fresh, now, share * left / max(share.sum(), np.finfo(float).tiny))


def _reconciled(before: Floats, weight: Floats, total: float) -> Floats:
    """What was expected of the segments, in proportion so that it agrees with what was expected of
    their total."""
    mean = (weight * before).sum() / weight.sum() if weight.sum() > 0 else 0.0
    scaled = before * (total / mean) if mean != 0 else np.full(len(before), total)
    return np.asarray(np.where(weight > 0, scaled, total))


def _adds_up(scored: Scored, whole: int, parts: list[int]) -> bool:
    """Whether the segments' amounts add up to the total's, before and after the release."""
    for side in (scored.history, scored.observation):
        amount = side.amount[:, side.present[whole]]
        if (
            abs(np.nansum(amount[parts]) - amount[whole].sum())
            > ADDS_UP * np.abs(amount[whole]).sum()
        ):
            return False
    return True


def _of_amounts(
    scored: Scored, whole: int, parts: list[int], expected: Floats, change: tuple[float, float]
) -> Makeup:
    seen = scored.observation.present[whole]
    observed = np.nansum(scored.observation.amount[parts][:, seen], axis=1)
    before = np.nansum(expected[parts][:, seen], axis=1)

    def shared_out(amounts: Floats, total: float) -> Floats:
        even = np.full(len(amounts), total / len(amounts))
        return amounts * (total / amounts.sum()) if amounts.sum() != 0 else even

    return Makeup(
        _named(scored, parts, shared_out(observed, change[1]) - shared_out(before, change[0]))
    )


def _named(scored: Scored, parts: list[int], values: Floats) -> dict[str, float]:
    return {scored.keys[i][1]: float(value) for i, value in zip(parts, values, strict=True)}


def placed(finding: Finding, segment: str, makeup: Makeup | None) -> Finding:
    """The finding of `segment` (empty: of the total) with its part in the makeup of the total."""
    if makeup is None:
        return finding
    if finding.total:
        return replace(finding, mix_effect=makeup.mix)
    shares = {"share of the total": _shifted(makeup, segment)} if segment in makeup.shares else {}
    return replace(
        finding,
        contribution=makeup.contributions.get(segment),
        evidence={**finding.evidence, **shares},
    )


def at_usual_mix(finding: Finding) -> Finding:
    """The finding with the change that its segments make up: a shift of the population is nobody's
    fault."""
    if (
        finding.mix_effect is None
        or finding.effect_absolute is None
        or finding.effect_absolute_interval is None
    ):
        return finding
    low, high = finding.effect_absolute_interval
    moved = (
        finding.effect_absolute - finding.mix_effect,
        (low - finding.mix_effect, high - finding.mix_effect),
    )
    scale = None if finding.effect is None else abs(finding.expected or 0.0) or None
    return replace(
        finding,
        mix_effect=None,
        effect_absolute=moved[0],
        effect_absolute_interval=moved[1],
        effect=None if scale is None else moved[0] / scale,
        effect_interval=None if scale is None else (moved[1][0] / scale, moved[1][1] / scale),
    )


def explained(findings: Sequence[Finding], makeup: Makeup | None) -> list[Finding]:
    """The findings of one KPI: where one moved, a note of the total says what its change is made
    of, the largest part first."""
    moved = any(finding.verdict in MOVED for finding in findings if not finding.total)
    if makeup is None or not (
        moved
        or any(finding.verdict in MOVED or finding.kind is ChangeKind.MIX for finding in findings)
    ):
        return [*findings]
    return [
        _explained(each, makeup, "" if moved else ", no segment moved") if each.total else each
        for each in findings
    ]


def _explained(total: Finding, makeup: Makeup, besides: str) -> Finding:
    if total.effect_absolute is None:
        return total
    large = makeup.mix is not None and abs(makeup.mix) >= WORTH_NAMING * abs(total.effect_absolute)
    mix = "" if makeup.mix is None else _amount(total, makeup.mix)
    who = f" ({_most_shifted(makeup)})" if large and makeup.shares else ""
    parts = sorted(makeup.contributions.items(), key=lambda part: -abs(part[1]))
    said = [
        (f"{_amount(total, part)} {plain(segment, LONGEST_NAME)}", part)
        for segment, part in parts[:MOST_NAMED]
    ]
    if rest := parts[MOST_NAMED:]:
        said.append((f"{_amount(total, sum(part for _, part in rest))} others", 0.0))
    if makeup.mix is not None:
        said = sorted([*said, (f"{mix} mix{who}", makeup.mix)], key=lambda part: -abs(part[1]))
    note = (
        f"{_amount(total, total.effect_absolute)} in all: "
        f"{', '.join(text for text, _ in said)}{besides}"
    )
    if total.kind is ChangeKind.MIX:
        own = at_usual_mix(total)
        own_size = (
            absolute(own.effect_absolute or 0.0, own.effect_absolute_interval, own.unit)
            if own.effect is None
            else relative(own.effect, own.effect_interval)
        )
        total = replace(
            total,
            reason=(
                f"{total.reason}, but {mix} of it by mix{who}: {own_size} at the usual mix{besides}"
            ),
        )
    return replace(total, notes=(*total.notes, note))


def _amount(total: Finding, part: float) -> str:
    """A part of the total's change, like the change itself: relative to what was expected in all,
    or in the KPI's unit."""
    if total.effect is None or not total.expected:
        return absolute(part, None, total.unit)
    return relative(part / abs(total.expected), None)


def _most_shifted(makeup: Makeup) -> str:
    moved = {segment: round(now - usual, TIE) for segment, (now, usual) in makeup.shares.items()}
    segment = max(
        moved, key=lambda each: (abs(moved[each]), moved[each])
    )  # of two, the one that grew
    return f"{plain(segment, LONGEST_NAME)} {_shifted(makeup, segment)}"


def _shifted(makeup: Makeup, segment: str) -> str:
    now, usual = makeup.shares[segment]
    return f"{percent(now)} instead of {percent(usual)}"
