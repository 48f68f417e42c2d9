"""The same series in two environments, compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from anomaly.equivalence.days import Days, days_of, is_whole
from anomaly.equivalence.folds import level, spread
from anomaly.equivalence.result import Aspect, Likeness, SeriesParity
from anomaly.equivalence.seasonality import seasonality
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
    a KPI can't be compared.

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
            reason = unknown.get(kpi.name) or f"no samples in {between[0]} or {between[1]}"
            out.append(_series_parity(kpi, "", Likeness.UNCLEAR, reason))
            continue
        segmented = any(segment for _, segment in keys)
        for key in keys:
            total = segmented and not key[1]
            without_series = [
                name
                for name, rows_by_key in zip(between, rows, strict=True)
                if key not in rows_by_key
            ]
            if without_series:
                out.append(
                    _series_parity(
                        kpi,
                        key[1],
                        Likeness.MISSING,
                        f"missing in {without_series[0]}",
                        total=total,
                    )
                )
                continue
            all_whole = all(
                is_whole(each.amount[rows_by_key[key]])
                for each, rows_by_key in zip(blocks, rows, strict=True)
            )
            sides = tuple(
                days_of(
                    each,
                    rows_by_key[key],
                    pd.DatetimeIndex(panel.index),
                    kpi,
                    step_s=step_s,
                    timezone=timezone,
                    whole=all_whole,
                )
                for each, rows_by_key, panel in zip(blocks, rows, panels, strict=True)
            )
            out.append(_measured(kpi, key[1], (sides[0], sides[1]), between, total=total))
    return tuple(out)


def _measured(
    kpi: Kpi, segment: str, sides: tuple[Days, Days], between: Names, *, total: bool
) -> SeriesParity:
    obstacle = _obstacle(sides, between)
    if obstacle:
        return _series_parity(kpi, segment, Likeness.UNCLEAR, obstacle, total=total)
    traffic = sides[0].traffic, sides[1].traffic
    folds = None if traffic[0] is None or not traffic[1] else traffic[0] / traffic[1]
    aspects: dict[str, Aspect] = {}
    if all(side.level for side in sides):
        aspects |= {"rhythm": seasonality(*sides), "spread": spread(*sides)}
    if not sides[0].grows:
        aspect = level(*sides)
        aspects["level"] = (
            aspect if sides[0].ratio or kpi.kind is not None else replace(aspect, reason=DECLARE)
        )
    if not all(side.level for side in sides):
        nothing = " and ".join(
            name for name, side in zip(between, sides, strict=True) if not side.level
        )
        aspects["rhythm"] = Aspect(Likeness.UNCLEAR, reason=f"always 0 in {nothing}")
    return _series_parity(
        kpi,
        segment,
        *_verdict(aspects),
        total=total,
        aspects=aspects,
        traffic=folds,
        levels=(sides[0].level, sides[1].level),
    )


def _obstacle(sides: tuple[Days, Days], between: Names) -> str:
    """Why the series can't be compared; empty if it can."""
    if sides[0].amount.shape[1] < MIN_SLOTS:
        return f"the steps are too long: a day needs {MIN_SLOTS}"
    for name, side in zip(between, sides, strict=True):
        if len(side.date) < MIN_DAYS:
            return f"not enough data: {len(side.date)} days in {name}, need {MIN_DAYS}"
        if side.signed:
            return f"values below 0 in {name}: relative sizes mean nothing"
    return ""


def _verdict(aspects: Mapping[str, Aspect]) -> tuple[Likeness, str]:
    for verdict, words in (
        (Likeness.DIFFERS, "differs in"),
        (Likeness.UNCLEAR, "not enough data:"),
    ):
        names = [name for name, aspect in aspects.items() if aspect.verdict is verdict]
        if names:
            return (
                verdict,
                (
                    f"{words} "
                    f"{' and '.join([', '.join(names[:-1]), names[-1]] if names[1:] else names)}"
                ),
            )
    return Likeness.ALIKE, "alike"


def _series_parity(
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
