"""The same series in two environments, held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from anomaly.equivalence.days import Days, cut, whole
from anomaly.equivalence.folds import level, spread
from anomaly.equivalence.result import Aspect, Likeness, SeriesParity
from anomaly.equivalence.rhythm import rhythm
from anomaly.model import Kpi, NoData
from anomaly.panel import block, segment_labels, step_of

MIN_DAYS = 7  # on each side
MIN_SLOTS = 4  # a day
DECLARE = "if it grows with traffic, say so by kind: counts or rate"
Names = tuple[str, str]
Panels = tuple[pd.DataFrame, pd.DataFrame]


def compare(
    panels: Panels,
    kpis: Sequence[Kpi],
    *,
    between: Names,
    timezone: str,
    unknown: Mapping[str, str],
) -> tuple[SeriesParity, ...]:
    """Each KPI and segment that either history has, in the order of the KPIs; `unknown` says why
    nothing can be said of a KPI.

    The panels (two rows at least, of one step) are as the baseline wants them; steps that teach
    nothing are missing.
    """
    blocks = block(panels[0]), block(panels[1])
    rows = tuple(
        {key: i for i, key in enumerate(each.keys) if each.present[i].any()} for each in blocks
    )
    step_s = step_of(panels[1]).total_seconds()
    out = []
    for kpi in kpis:
        keys = [key for key in dict.fromkeys((*rows[1], *rows[0])) if key[0] == kpi.name]
        if kpi.name in unknown or not keys:
            reason = unknown.get(kpi.name) or f"no samples in {between[0]}, nor in {between[1]}"
            out.append(_said(kpi, "", Likeness.UNCLEAR, reason))
            continue
        segmented = any(segment for _, segment in keys)
        for key in keys:
            total = segmented and not key[1]
            gone = [name for name, mine in zip(between, rows, strict=True) if key not in mine]
            if gone:
                out.append(
                    _said(kpi, key[1], Likeness.MISSING, f"missing in {gone[0]}", total=total)
                )
                continue
            every = all(
                whole(each.amount[mine[key]]) for each, mine in zip(blocks, rows, strict=True)
            )
            sides = tuple(
                cut(
                    each,
                    mine[key],
                    pd.DatetimeIndex(panel.index),
                    kpi,
                    step_s=step_s,
                    timezone=timezone,
                    whole=every,
                )
                for each, mine, panel in zip(blocks, rows, panels, strict=True)
            )
            out.append(_measured(kpi, key[1], (sides[0], sides[1]), between, total=total))
    return tuple(out)


def _measured(
    kpi: Kpi, segment: str, sides: tuple[Days, Days], between: Names, *, total: bool
) -> SeriesParity:
    why_not = _too_little(sides, between)
    if why_not:
        return _said(kpi, segment, Likeness.UNCLEAR, why_not, total=total)
    traffic = sides[0].traffic, sides[1].traffic
    folds = None if traffic[0] is None or not traffic[1] else traffic[0] / traffic[1]
    aspects: dict[str, Aspect] = {}
    if all(side.level for side in sides):
        aspects |= {"rhythm": rhythm(*sides), "spread": spread(*sides)}
    if not sides[0].grows:
        found = level(*sides)
        aspects["level"] = (
            found if sides[0].ratio or kpi.kind is not None else replace(found, reason=DECLARE)
        )
    if not all(side.level for side in sides):
        nothing = " and ".join(
            name for name, side in zip(between, sides, strict=True) if not side.level
        )
        aspects["rhythm"] = Aspect(Likeness.UNCLEAR, reason=f"always 0 in {nothing}")
    return _said(
        kpi,
        segment,
        *_verdict(aspects),
        total=total,
        aspects=aspects,
        traffic=folds,
        levels=(sides[0].level, sides[1].level),
    )


def _too_little(sides: tuple[Days, Days], between: Names) -> str:
    """Why the series can't be compared; empty if it can."""
    if sides[0].amount.shape[1] < MIN_SLOTS:
        return f"the steps are too long: a day needs {MIN_SLOTS}"
    for name, side in zip(between, sides, strict=True):
        if len(side.date) < MIN_DAYS:
            return f"too few data to say: {len(side.date)} days in {name}, need {MIN_DAYS}"
        if side.signed:
            return f"values below 0 in {name}: shares of such a level mean nothing"
    return ""


def _verdict(aspects: Mapping[str, Aspect]) -> tuple[Likeness, str]:
    for verdict, words in (
        (Likeness.DIFFERS, "differs in"),
        (Likeness.UNCLEAR, "too few data to say:"),
    ):
        named = [name for name, aspect in aspects.items() if aspect.verdict is verdict]
        if named:
            return (
                verdict,
                (
                    f"{words} "
                    f"{' and '.join([', '.join(named[:-1]), named[-1]] if named[1:] else named)}"
                ),
            )
    return Likeness.ALIKE, "alike"


def _said(
    kpi: Kpi,
    segment: str,
    verdict: Likeness,
    reason: str,
    *,
    total: bool = False,
    aspects: Mapping[str, Aspect] | None = None,
    traffic: float | None = None,
    levels: tuple[float | None, float | None] = (None, None),
) -> SeriesParity:
    lenient = kpi.no_data is NoData.IGNORE and verdict in (Likeness.MISSING, Likeness.UNCLEAR)
    return SeriesParity(
        kpi.name,
        segment_labels(segment),
        verdict,
        reason,
        aspects or {},
        traffic,
        levels,
        unit=kpi.unit,
        total=total,
        counts=not (kpi.dry_run or kpi.control_for or lenient),
    )
