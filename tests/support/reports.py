"""Reports built by hand, for every test that shows or sends one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd

from anomaly.model import (
    Answer,
    ChangeKind,
    Changes,
    Commit,
    ControlEvidence,
    Coverage,
    Direction,
    Evidence,
    Exposure,
    Finding,
    Flagged,
    Growth,
    KpiSeverity,
    LeftOut,
    NoData,
    Plateau,
    Release,
    ReleaseVerdict,
    ValueScale,
    Verdict,
    Window,
)
from anomaly.reporting.report import Report

RELEASED = datetime(2025, 11, 4, 10, 30, tzinfo=UTC)
OBSERVED_FROM = RELEASED + timedelta(minutes=10)
STEP = timedelta(minutes=5)
COUNTRY_ERRORS = 'sum by (country) (increase(http_errors_total{service="shop"}[5m]))'
COUNTRY_REQUESTS = 'sum by (country) (increase(http_requests_total{service="shop"}[5m]))'
POINTS = ("kpi", "segment", "time", "observed", "expected", "lower", "upper", "z", "flagged")


def at(text: str) -> datetime:
    """`10:35` on the day of the release, or an ISO time."""
    return datetime.fromisoformat(text if len(text) > 5 else f"2025-11-04T{text}").replace(
        tzinfo=UTC
    )


CHANGES = Changes(
    since="1.4.1",
    count=44,
    commits=tuple(
        Commit(
            f"{0x4F1C2A9B + number:08x}",
            "Ada Lovelace" if number % 3 else "Grace Hopper",
            f"Change number {44 - number}",
            f"https://git.example/acme/shop/commit/{0x4F1C2A9B + number:08x}",
        )
        for number in range(10)
    ),
    link="https://git.example/acme/shop/compare/1.4.1...1.4.2",
)
SEARCH = Release(at("11:15"), service="search", version="7.0")
REGRESSED = Finding(
    kpi="checkout errors",
    segment={"country": "DE"},
    verdict=Verdict.REGRESSED,
    reason="+212 % [180, 240] vs expected 0.01, p < 0.0001, since 10:40, tolerance 5 %",
    kind=ChangeKind.LEVEL,
    p_value=3.2e-7,
    level=0.002,
    observed=0.0312,
    expected=0.01,
    effect=2.12,
    effect_interval=(1.8, 2.4),
    effect_absolute=0.0212,
    effect_absolute_interval=(0.018, 0.024),
    detectable_effect=0.21,
    detectable_absolute=0.0021,
    onset=at("10:40"),
    onset_interval=(at("10:35"), at("10:50")),
    flagged=Flagged(count=61, first=at("10:40"), worst=at("12:05"), worst_z=9.7),
    coverage=Coverage(share=0.987, steps=2016),
    steps=72,
    steps_planned=72,
    volume=48210,
    weight=0.6,
    direction=Direction.UP,
    tolerance=0.05,
    floor=0.001,
    critical=True,
    query=COUNTRY_ERRORS,
    denominator=COUNTRY_REQUESTS,
    evidence=Evidence(
        history_steps=8064,
        season=("day", "week"),
        scale=ValueScale.ROOT,
        autocorrelation=0.42,
        level_steps=0,
        placebo_releases=276,
        independent_watches=112,
        answers=(Answer("level", 72, 6.4),),
    ),
)
IMPROVED = Finding(
    kpi="sign-ups",
    segment={"country": "FR"},
    verdict=Verdict.IMPROVED,
    reason="+8.4 % [3.1, 13.8] vs expected 41.2, since 11:20",
    kind=ChangeKind.LEVEL,
    p_value=0.998,
    level=0.0007,
    observed=44.7,
    expected=41.2,
    effect=0.084,
    effect_interval=(0.031, 0.138),
    effect_absolute=3.5,
    effect_absolute_interval=(1.3, 5.7),
    onset=at("11:20"),
    steps=72,
    steps_planned=72,
    direction=Direction.DOWN,
    unit="per step",
    query="sum by (country) (increase(signups_total[5m]))",
)
RAMP = Finding(
    kpi="pages per visit",
    verdict=Verdict.REGRESSED,
    reason="-6.1 % [-8.2, -4] vs expected 5.1, p = 0.0004, since 13:15, tolerance 2 %",
    kind=ChangeKind.RAMP,
    p_value=0.0004,
    level=0.0012,
    observed=4.79,
    expected=5.1,
    effect=-0.061,
    effect_interval=(-0.082, -0.04),
    onset=at("13:15"),
    steps=72,
    steps_planned=72,
    direction=Direction.DOWN,
    tolerance=0.02,
    weight=0.3,
    query='sum(increase(page_views_total{service="shop"}[5m]))',
    denominator='sum(increase(visits_total{service="shop"}[5m]))',
)
SPIKES = Finding(
    kpi="payment timeouts",
    verdict=Verdict.REGRESSED,
    reason="9 spikes in 72 steps, 0 to 1 expected, p = 0.0021, since 11:05",
    kind=ChangeKind.SPIKES,
    p_value=0.0021,
    level=0.003,
    observed=0.4,
    expected=0.0,
    effect_absolute=0.4,
    effect_absolute_interval=(0.2, 0.7),
    onset=at("11:05"),
    steps=72,
    steps_planned=72,
    direction=Direction.UP,
    dry_run=True,
    unit="per step",
    query="sum(increase(payment_timeouts_total[5m]))",
)
LATENCY = Finding(
    kpi="p95 latency",
    verdict=Verdict.OK,
    reason="nothing found: +0.4 % [-1.1, 1.9]",
    p_value=0.34,
    level=0.0014,
    observed=413.2,
    expected=411.6,
    effect=0.004,
    effect_interval=(-0.011, 0.019),
    detectable_effect=0.032,
    detectable_absolute=13.2,
    steps=72,
    steps_planned=72,
    unit="ms",
    direction=Direction.UP,
    query=(
        "histogram_quantile(0.95, sum by (le) "
        '(rate(http_request_duration_seconds_bucket{service="shop"}[5m])))'
    ),
)
REVENUE = Finding(
    kpi="revenue",
    verdict=Verdict.OK,
    reason="nothing found: -2 % [-6.5, 2.6]",
    p_value=0.21,
    level=0.0014,
    observed=18420.0,
    expected=18796.0,
    effect=-0.02,
    effect_interval=(-0.065, 0.026),
    detectable_effect=0.09,
    detectable_absolute=1690.0,
    steps=72,
    steps_planned=72,
    unit="EUR",
    weight=0.6,
    direction=Direction.DOWN,
    query="sum(increase(revenue_eur_total[5m]))",
)
CRASHES = Finding(
    kpi="crashes",
    verdict=Verdict.OK,
    reason="nothing found: no crash in 28 days, none since",
    observed=0.0,
    expected=0.0,
    effect_absolute=0.0,
    detectable_absolute=0.04,
    steps=72,
    steps_planned=72,
    unit="per step",
    direction=Direction.UP,
    query="sum(increase(crashes_total[5m]))",
)
NEW_SEGMENT = Finding(
    kpi="sign-ups",
    segment={"country": "AT"},
    verdict=Verdict.INCONCLUSIVE,
    reason="no baseline: seen only after the release",
    steps=72,
    steps_planned=72,
    query="sum by (country) (increase(signups_total[5m]))",
)
GAPS = Finding(
    kpi="conversion",
    verdict=Verdict.NO_DATA,
    reason="31 of 72 steps missing, 0.4 expected, p < 0.0001",
    p_value=1e-9,
    steps=41,
    steps_planned=72,
    no_data=NoData.FAIL,
    query="sum(increase(orders_total[5m]))",
    denominator="sum(increase(visits_total[5m]))",
)
REFUSED = Finding(
    kpi="search latency",
    verdict=Verdict.ERROR,
    reason='prometheus answered 400: parse error: unexpected identifier "x" in label matching',
    steps_planned=72,
    query="sum(rate(search_seconds_sum{x}[5m]))",
)
SHORT_HISTORY = "the source keeps 15 of the 28 days asked for"


def report(verdict: ReleaseVerdict, *findings: Finding, final: bool = True) -> Report:
    """A report on shop 1.4.2 with the given findings and no points."""
    return Report(
        release=Release(RELEASED, RELEASED + timedelta(minutes=5), "shop", "1.4.2", "production"),
        verdict=verdict,
        final=final,
        findings=findings,
        points=pd.DataFrame(columns=list(POINTS)),
        baseline=Window(RELEASED - timedelta(days=28), RELEASED),
        observation=Window(OBSERVED_FROM, OBSERVED_FROM + timedelta(hours=6)),
        step=STEP,
        false_alarms=0.01,
        made={"version": "0.1.0", "checklist": "9f2c1e", "correction": "holm"},
    )


def held() -> Report:
    """A signal that regressed, and no guardrail."""
    return report(
        ReleaseVerdict.HOLD, replace(REGRESSED, severity=KpiSeverity.SIGNAL, critical=False)
    )


def failing() -> Report:
    """One regression in one country, everything else fine or better."""
    healthy = replace(
        REGRESSED,
        segment={"country": "FR"},
        verdict=Verdict.OK,
        reason="nothing found",
        effect=0.03,
        observed=0.0103,
        onset=None,
    )
    healthy = replace(
        healthy,
        onset_interval=None,
        effect_interval=(-0.11, 0.18),
        flagged=None,
        kind=None,
        p_value=0.4,
    )
    return report(ReleaseVerdict.FAIL, LATENCY, healthy, IMPROVED, REGRESSED, REVENUE, CRASHES)


def messy() -> Report:
    """Several regressions, and KPIs without an answer for every reason there is."""
    noted = replace(RAMP, notes=(SHORT_HISTORY,))
    return report(
        ReleaseVerdict.FAIL,
        replace(LATENCY, notes=(SHORT_HISTORY,)),
        noted,
        NEW_SEGMENT,
        REGRESSED,
        GAPS,
        SPIKES,
        REFUSED,
    )


def passing() -> Report:
    """Nothing found."""
    return report(ReleaseVerdict.PASS, LATENCY, REVENUE, CRASHES)


def early() -> Report:
    """A look an hour into the watch, with half of the history that was asked for."""
    reason = "nothing so far, 12 of 72 steps"
    return replace(
        report(
            ReleaseVerdict.INCONCLUSIVE,
            *(
                replace(finding, verdict=Verdict.INCONCLUSIVE, reason=reason, steps=12)
                for finding in (LATENCY, REVENUE, CRASHES)
            ),
            final=False,
        ),
        data=Window(RELEASED - timedelta(days=14), OBSERVED_FROM + timedelta(hours=1)),
    )


def staged() -> Report:
    """A release in three stages whose effect grows with them, and whose watch the next release
    ended."""
    stages = ((RELEASED, 0.05), (at("12:30"), 0.25), (at("14:30"), 1.0))
    effects = (0.11, (-0.09, 0.31)), (0.52, (0.33, 0.71)), (2.12, (1.8, 2.4))
    plateaus = tuple(
        Plateau(share, Window(begin + timedelta(minutes=10), end), effect, interval)
        for (begin, share), end, (effect, interval) in zip(
            stages, (stages[1][0], stages[2][0], at("16:00")), effects, strict=True
        )
    )
    note = "watch ended at 16:00 by release 1.4.3; later changes may come from either release"
    moved = replace(REGRESSED, exposure=Exposure(Growth.GROWS, plateaus), steps=61, notes=(note,))
    base = report(ReleaseVerdict.FAIL, moved, replace(LATENCY, steps=61, notes=(note,)))
    release = replace(
        base.release,
        finished_at=stages[-1][0],
        stages=stages,
        followed_by=Release(at("16:00"), version="1.4.3"),
    )
    return replace(
        base,
        release=release,
        observation=Window(OBSERVED_FROM, at("16:00")),
        data=Window(base.baseline.start, at("16:00")),
        left_out=(
            LeftOut(Window(at("2025-10-28T10:30"), at("2025-10-28T11:00")), "release 1.4.1"),
        ),
        confounders=(SEARCH,),
        changes=CHANGES,
    )


def dead_source() -> Report:
    """A source that fails, beside one that answers."""
    return report(ReleaseVerdict.ERROR, LATENCY, replace(REFUSED, critical=True), REVENUE)


HOSTILE = (
    "[bold red]x[/] [link=javascript:alert(1)]y[/link]",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "line\nbreak\r\n::error file=a::b\t##vso[task.complete]",
    "\u202eright to left\u2066\u200f\u2028\u2029\u0085",
    "</script><img src=x onerror=alert(1)> @channel :smile: =cmd()",
    "\ud800 lone \udfff",
    "漢字" * 50_000,
    "x" * 100_000,
    "::stop-commands::x",
    "",
)


def hostile(text: str) -> Report:
    """`text` wherever a stranger may put text."""
    bad = replace(
        REGRESSED,
        kpi=text,
        segment={text: text},
        reason=text,
        unit=text,
        query=text,
        denominator=text,
        notes=(text,),
        evidence=Evidence(
            answers=(Answer(text, 72, 6.4),), controls=ControlEvidence(used=(text,), idle=(text,))
        ),
    )
    error = replace(REFUSED, kpi=text, reason=text, query=text, notes=(text,))
    fine = replace(LATENCY, kpi=text, unit=text, notes=(text,))
    base = report(ReleaseVerdict.FAIL, bad, error, fine, replace(bad, segment={}, query="up"))
    return replace(
        base,
        release=Release(RELEASED, None, text, text, text),
        made={text: text},
        changes=Changes(
            text, 44, (Commit(text, text, text, f"javascript:{text}"),), link=f"javascript:{text}"
        ),
    )
