"""What moved together after a release is one incident."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from anomaly.decision.incidents import incidents
from anomaly.model import ChangeKind, Finding, Verdict
from anomaly.panel import segment_text
from tests.support.simulations import Floats

RELEASED, STEP, STEPS = datetime(2025, 6, 3, 10, tzinfo=UTC), timedelta(minutes=5), 72


def at(step: int) -> datetime:
    return RELEASED + step * STEP


def regressed(
    kpi: str,
    onset: int | None = 0,
    *,
    host: str = "",
    weight: float = 1.0,
    kind: ChangeKind = ChangeKind.LEVEL,
    verdict: Verdict = Verdict.REGRESSED,
    **more: object,
) -> Finding:
    began = None if onset is None else at(onset)
    around = None if onset is None else (at(onset - 1), at(onset + 2))
    return Finding(
        kpi,
        verdict,
        "",
        segment={"host": host} if host else {},
        kind=kind,
        onset=began,
        onset_interval=around,
        weight=weight,
        **more,  # type: ignore[arg-type]
    )


def points(findings: Sequence[Finding], courses: Sequence[Floats]) -> pd.DataFrame:
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "kpi": each.kpi,
                    "segment": segment_text(each.segment),
                    "time": [at(step) for step in range(STEPS)],
                    "z": course,
                }
            )
            for each, course in zip(findings, courses, strict=True)
        ],
        ignore_index=True,
    )


def step(onset: int, size: float, seed: int = 0) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(STEPS)
    return np.asarray(noise + np.where(np.arange(STEPS) >= onset, size, 0.0))


def places(findings: Sequence[Finding], courses: Sequence[Floats]) -> list[tuple[int, ...]]:
    return [each.findings for each in incidents(findings, points(findings, courses), STEP)]


def test_what_rises_and_falls_at_the_same_time_is_one_incident() -> None:
    findings = [regressed("errors"), regressed("latency", weight=5), regressed("orders")]
    courses = [step(0, 4, 1), step(0, 20, 2), step(0, -6, 3)]

    assert places(findings, courses) == [(1, 0, 2)]  # the most used first


def test_what_began_at_another_time_is_another_incident() -> None:
    findings = [regressed(f"k{i}", onset) for i, onset in enumerate([0, 0, 0, 36, 36, 36])]
    courses = [step(each, 5, i) for i, each in enumerate([0, 0, 0, 36, 36, 36])]

    assert sorted(map(sorted, places(findings, courses))) == [[0, 1, 2], [3, 4, 5]]


def test_spikes_that_came_with_a_step_belong_to_it() -> None:
    findings = [
        regressed("errors", 36),
        regressed("orders", 36),
        regressed("latency", 36, kind=ChangeKind.SPREAD),
    ]
    noise = np.random.default_rng(5).standard_normal(STEPS)
    courses = [step(36, 5, 1), step(36, -4, 2), noise * np.where(np.arange(STEPS) < 36, 1, 6)]

    assert [sorted(each) for each in places(findings, courses)] == [[0, 1, 2]]


def test_one_or_two_regressions_are_told_one_by_one() -> None:
    findings = [regressed("errors"), regressed("orders"), regressed("ok", verdict=Verdict.OK)]

    assert places(findings, [step(0, 5)] * 3) == []


def test_what_does_not_count_is_in_no_incident() -> None:
    findings = [regressed(f"k{i}") for i in range(3)]
    findings += [regressed("dry", dry_run=True), regressed("control", control_for=("k0",))]

    assert [sorted(each) for each in places(findings, [step(0, 5)] * 5)] == [[0, 1, 2]]


def test_a_total_leads_its_segments_and_the_share_of_usage_is_that_of_the_kpis() -> None:
    findings = [
        *(regressed("errors", host=host) for host in "abc"),
        regressed("errors", total=True),
        *(regressed("orders", host=host, verdict=Verdict.OK) for host in "ab"),
        regressed("orders", host="c", weight=1),
        regressed("quiet", weight=2, verdict=Verdict.OK),
    ]

    (only,) = incidents(findings, points(findings, [step(0, 5)] * 8), STEP)

    assert only.findings[0] == 3
    assert only.kpis == 2
    assert only.since == at(0)
    assert only.usage == (1 + 1 / 3) / 4


def test_the_order_of_the_findings_does_not_matter() -> None:
    onsets = [0] * 5 + [36] * 4 + [60]
    findings = [regressed(f"k{i}", onset) for i, onset in enumerate(onsets)]
    courses = [step(onset, 6, i) for i, onset in enumerate(onsets)]
    straight = places(findings, courses)
    order = list(range(len(findings)))
    random.Random(1).shuffle(order)

    shuffled = places([findings[i] for i in order], [courses[i] for i in order])

    assert [tuple(order[place] for place in each) for each in shuffled] == straight


def test_without_points_or_with_gaps_nothing_breaks() -> None:
    findings = [regressed(f"k{i}", None) for i in range(4)]
    courses = [step(0, 5, i) for i in range(4)]
    courses[0][:] = np.nan
    courses[1][::2] = np.nan

    assert places(findings, courses) == [(1, 2, 3)]
    assert incidents(findings, points(findings, courses)[:0], STEP) == ()


@pytest.mark.slow
def test_hundreds_of_regressions_are_one_line() -> None:
    findings = [regressed("errors", host=str(i)) for i in range(200)]
    courses = [step(0, 3, i) for i in range(200)]

    (only,) = incidents(findings, points(findings, courses), STEP)

    assert len(only.findings) >= 198
