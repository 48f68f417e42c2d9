"""Reports of thousands of series: copies of a few judged ones under other labels, each with numbers
of its own, as many digits as they have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pandas as pd

from anomaly import check, wording
from anomaly.model import Direction, Finding, Flagged, Verdict
from anomaly.panel import categories, segment_text
from anomaly.reporting.report import Report

STEP, HISTORY, WATCH = timedelta(minutes=5), 600, 72
STARTED = datetime(2025, 6, 1, tzinfo=UTC)
KPIS = ("checkout errors", "conversion", "p95 latency", "revenue", "sign-ups")
COUNTRIES = 50
MOVED, UNDECIDED = 40, 20  # series
NO_BASELINE = "no baseline: seen only after the release"


@cache
def judged() -> Report:
    """A judged release of five KPIs, one of which it moved."""
    index = pd.date_range(STARTED, periods=HISTORY + WATCH, freq=STEP)
    values = np.random.default_rng(1).normal(200, 5, (len(index), len(KPIS)))
    values[HISTORY:, 0] += 30
    frame = pd.DataFrame(values, index, [*KPIS])
    report = check(frame, released_at=index[HISTORY].to_pydatetime(), direction="up")
    return replace(report, release=replace(report.release, service="shop", version="2.3.1"))


def large(series: int, steps: int = WATCH) -> Report:
    """A failing report of so many series: the total of each KPI, and its segments. 40 segments
    moved, 20 are undecided, all others are ok."""
    base = judged()
    fine = {each.kpi: each for each in base.findings if not each.fails}
    moved = next(each for each in base.findings if each.fails)
    rng = np.random.default_rng(2)
    findings = []
    for number in range(series):
        kpi, part = KPIS[number % len(KPIS)], number // len(KPIS)
        worst = len(KPIS) <= number < len(KPIS) + MOVED
        of = moved if worst else fine.get(kpi, fine["revenue"])
        own = _noisy(replace(of, kpi=kpi), rng)
        if len(KPIS) + MOVED <= number < len(KPIS) + MOVED + UNDECIDED:
            own = replace(own, verdict=Verdict.INCONCLUSIVE, reason=NO_BASELINE)
        segment = {"country": f"C{part % COUNTRIES:02}", "platform": f"p{part // COUNTRIES}"}
        findings.append(
            replace(
                own,
                segment=segment if part else {},
                total=not part,
                weight=float(len(KPIS) - number % len(KPIS)),
                query=f"sum by (country, platform) (increase({kpi.replace(' ', '_')}_total[5m]))",
                direction=Direction.UP,
            )
        )
    points, around, earlier = _frames(base, findings, steps, rng)
    return replace(base, findings=tuple(findings), points=points, around=around, earlier=earlier)


def _noisy(finding: Finding, rng: np.random.Generator) -> Finding:
    """The finding with numbers a little off, so that no two are the same."""
    by = float(rng.normal(1, 0.05))

    def off(value: float | None) -> float | None:
        return None if value is None else value * by

    def both(ends: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if ends is None else (ends[0] * by, ends[1] * by)

    flagged, low_high = finding.flagged, both(finding.effect_interval)
    size = wording.relative(by * (finding.effect or 0.0), low_high)
    return replace(
        finding,
        reason=f"{size} vs expected {wording.number(by * (finding.expected or 0.0))}",
        p_value=None if finding.p_value is None else min(finding.p_value * abs(by), 1.0),
        level=None if finding.level is None else finding.level * abs(by),
        observed=off(finding.observed),
        expected=off(finding.expected),
        effect=off(finding.effect),
        effect_interval=low_high,
        effect_absolute=off(finding.effect_absolute),
        effect_absolute_interval=both(finding.effect_absolute_interval),
        detectable_effect=off(finding.detectable_effect),
        detectable_absolute=off(finding.detectable_absolute),
        flagged=None
        if flagged is None
        else Flagged(flagged.count, flagged.first, flagged.worst, flagged.worst_z * by),
        evidence=replace(
            finding.evidence,
            autocorrelation=float(rng.uniform(0, 0.9)),
            answers=tuple(
                replace(each, z=float(rng.normal(each.z, 1))) for each in finding.evidence.answers
            ),
        ),
    )


def _frames(
    base: Report, findings: list[Finding], steps: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The steps of every series after the release and before it, and those of a day before."""
    count = len(findings)
    start = base.observation.start
    names = {
        "kpi": categories([each.kpi for each in findings]).repeat(steps),
        "segment": categories([segment_text(each.segment) for each in findings]).repeat(steps),
    }

    def times(first: datetime) -> pd.Index:
        return pd.date_range(first, periods=steps, freq=STEP)[np.tile(np.arange(steps), count)]

    observed = rng.normal(200, 5, count * steps)
    observed += np.repeat([30.0 * each.fails for each in findings], steps)
    expected = np.repeat(rng.normal(200, 1, count), steps)
    points = pd.DataFrame(
        names
        | {
            "time": times(start),
            "observed": observed,
            "expected": expected,
            "lower": expected - 13,
            "upper": expected + 13,
            "z": (observed - expected) / 5,
            "flagged": abs(observed - expected) > 13,
        }
    )
    before = start - steps * STEP
    around = pd.DataFrame(
        names
        | {"time": times(before), "observed": rng.normal(200, 5, count * steps)}
        | {"expected": 200.0, "lower": 187.0, "upper": 213.0}
    )
    earlier = pd.DataFrame(
        names
        | {
            "time": times(start),
            "day": rng.normal(200, 5, count * steps),
            "week": np.full(count * steps, np.nan),
        }
    )
    return points, around, earlier
