"""Incidents: regressions that moved together, so that a thousand series with one cause are told
once.

Two series moved together if what they did after the release has the same course, up or down, and
their changes may have begun at the same time. Each joins the most important one that it moved with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from anomaly.baseline.robust import Floats
from anomaly.model import ChangeKind, Finding, Incident, Verdict
from anomaly.panel import segment_text

LEAST = 3  # findings of an incident: fewer are told one by one
PARTS = 12  # of the observation, whose means make a course
ALIKE = 0.8  # cosine of two courses that are the same; that of onsets at 0 and at ⅓ is .82
LEVEL_KINDS = frozenset({ChangeKind.LEVEL, ChangeKind.RAMP, ChangeKind.OUTAGE})
ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class _Movement:
    """A regression by its place among the findings: its course `(PARTS,)` of length 1, and between
    which moments it began."""

    place: int
    course: Floats
    began: tuple[datetime, datetime]


def incidents(
    findings: Sequence[Finding], points: pd.DataFrame, step: timedelta
) -> tuple[Incident, ...]:
    """The incidents of a release, the most important first. `points` are those of a report, with
    one point each `step`."""
    places = [
        place
        for place, finding in enumerate(findings)
        if finding.verdict is Verdict.REGRESSED and finding.counts
    ]
    if len(places) < LEAST:
        return ()
    courses = _courses([findings[place] for place in places], points)
    movements = [
        _Movement(place, course, _began(findings[place], step))
        for place, course in zip(places, courses, strict=True)
        if course is not None
    ]
    movements.sort(key=lambda each: _importance(findings[each.place]))
    return tuple(
        _incident(group, findings) for group in _together(movements) if len(group) >= LEAST
    )


def _importance(finding: Finding) -> tuple[Any, ...]:
    """The most used first, then what is most upstream: a total before its segments, and what began
    before others."""
    sureness = 0.0 if finding.level is None else (finding.p_value or 0.0) / finding.level
    return (
        not finding.critical,
        -finding.weight,
        not finding.total,
        ALWAYS[1] if finding.onset is None else finding.onset,
        sureness,
        finding.kpi,
        segment_text(finding.segment),
    )


def _courses(findings: Sequence[Finding], points: pd.DataFrame) -> list[Floats | None]:
    """What each series did over the observation: means of its deviations where its level moved, and
    how far these exceed the usual else; None where nothing is known."""
    rows = points[points["kpi"].isin({finding.kpi for finding in findings})]
    names = [rows[name].astype(object).to_numpy() for name in ("kpi", "segment")]
    z = rows["z"].to_numpy(dtype=float)
    by_key: Mapping[Any, Any] = pd.Series(range(len(rows))).groupby(names, sort=False).indices
    return [
        _course(z[by_key[key]], finding.kind) if (key := _key(finding)) in by_key else None
        for finding in findings
    ]


def _key(finding: Finding) -> tuple[str, str]:
    return finding.kpi, segment_text(finding.segment)


def _course(z: Floats, kind: ChangeKind | None) -> Floats | None:
    """The course of a change; large deviations count with their logarithm."""
    present = np.isfinite(z)
    size = np.log1p(np.abs(np.where(present, z, 0.0)))
    value = np.copysign(size, z) if kind in LEVEL_KINDS else size - np.log(2)
    part = np.arange(len(z)) * PARTS // len(z)
    value = np.where(present, value, 0.0)
    count = np.maximum(np.bincount(part, present, minlength=PARTS), 1)
    course = np.bincount(part, value, minlength=PARTS) / count
    length = float(np.sqrt((course**2).sum()))
    return course / length if length > 0 else None


def _began(finding: Finding, step: timedelta) -> tuple[datetime, datetime]:
    """Between which moments a change began, a step more on both sides."""
    if finding.onset_interval is None:
        return ALWAYS
    first, last = finding.onset_interval
    return first - step, last + step


def _together(movements: Sequence[_Movement]) -> list[list[int]]:
    """The places of those that moved together, the most important of each group first."""
    leads: list[_Movement] = []
    groups: list[list[int]] = []
    courses = np.empty((len(movements), PARTS))
    for each in movements:
        alike = np.abs(courses[: len(leads)] @ each.course)
        same_time = [
            lead.began[0] <= each.began[1] and each.began[0] <= lead.began[1] for lead in leads
        ]
        alike = np.where(np.array(same_time, dtype=bool), alike, 0.0)
        if leads and alike.max() >= ALIKE:
            groups[int(alike.argmax())].append(each.place)
        else:
            courses[len(leads)] = each.course
            leads.append(each)
            groups.append([each.place])
    return groups


def _incident(group: Sequence[int], findings: Sequence[Finding]) -> Incident:
    mine = [findings[place] for place in group]
    onsets = sorted(finding.onset for finding in mine if finding.onset is not None)
    return Incident(
        findings=tuple(group),
        kpis=len({finding.kpi for finding in mine}),
        # the middle one: of a thousand onsets the first is chance
        since=onsets[(len(onsets) - 1) // 2] if onsets else None,
        usage=_usage(mine, findings),
    )


def _usage(mine: Sequence[Finding], findings: Sequence[Finding]) -> float | None:
    """The share of all usage that the KPIs of some findings have, of each as large a part as its
    segments among them; None without any usage."""
    weight = {finding.kpi: finding.weight for finding in findings if finding.counts}
    segments = Counter(finding.kpi for finding in findings if not finding.total)
    shares: dict[str, float] = {}
    for finding in mine:
        share = 1.0 if finding.total else 1 / segments[finding.kpi]
        shares[finding.kpi] = min(1.0, shares.get(finding.kpi, 0.0) + share)
    used, whole = sum(share * weight[kpi] for kpi, share in shares.items()), sum(weight.values())
    return min(1.0, used / whole) if whole > 0 else None
