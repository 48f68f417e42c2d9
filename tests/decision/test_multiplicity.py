"""The promise for a release of many KPIs: harmless ones fail no more often than said, and what one
KPI shows is not drowned."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anomaly
from anomaly.baseline.seasonal import SeasonalBaseline
from anomaly.decision.dependence import Dependence, learn_dependence
from anomaly.frames import panel_of
from anomaly.model import Calendar, Kpi, Verdict, Windows
from anomaly.panel import VALUE
from anomaly.reporting.words import context_lines
from anomaly.scoring.score import score
from tests.support.simulations import (
    STARTED,
    Floats,
    Heard,
    frame,
    hear,
    noise,
    remembering,
    stamps,
)

BEFORE, WATCH = 14 * 48, 24  # half-hourly steps
ROWS = BEFORE + WATCH
INDEX = stamps(ROWS, "30min")
DAY = np.sin(2 * np.pi * np.arange(ROWS) / 48)[:, None]
ALARMS = 0.05
AT_A_TIME = 100  # series that are scored: more do not fit into a cache
WINDOWS = Windows(
    history=timedelta(days=14),
    warmup=timedelta(0),
    watch=timedelta(hours=12),
    step=timedelta(minutes=30),
)


def replayed(values: Floats) -> tuple[Floats, Floats]:
    """The p-value of every column, and its scores at the placebo releases. As in the pipeline,
    nothing more is asked of a change that is not rare."""
    p, scores = [], []
    for first in range(0, values.shape[1], AT_A_TIME):
        panel, *_ = panel_of(frame(values[:, first : first + AT_A_TIME], INDEX), None)
        kpis = [Kpi(str(name)) for name in panel.columns.get_level_values("kpi")]
        history, observation = panel.iloc[:BEFORE], panel.iloc[BEFORE:]
        base = SeasonalBaseline().fit(history, kpis, Calendar())
        scored = score(base, history, observation, kpis, 0, report_below=ALARMS)
        p += [each.p_bad for each in scored.scores if each is not None]
        scores.append(scored.replayed)
    return np.array(p), np.concatenate(scores)


def independent(families: int, kpis: int) -> Floats:
    """KPIs of three kinds, in turn."""
    count = families * kpis
    kinds = [
        100 + noise(21, ROWS, count),
        100 + remembering(0.8, 22, ROWS, count),
        100 + 20 * DAY + 3 * noise(23, ROWS, count),
    ]
    return np.where(
        np.arange(count) % 3 == 0, kinds[0], np.where(np.arange(count) % 3 == 1, kinds[1], kinds[2])
    )


def shocked(families: int, kpis: int) -> Floats:
    """KPIs of a family that share three quarters of their noise."""
    common = np.repeat(remembering(0.6, 31, ROWS, families), kpis, axis=1)
    return np.asarray(
        100
        + 20 * DAY
        + 3 * (np.sqrt(0.75) * common + np.sqrt(0.25) * noise(32, ROWS, families * kpis))
    )


def alike(families: int, kpis: int) -> Floats:
    """KPIs of a family that are one KPI, but for a twentieth of their noise, with common shocks
    that have heavy tails."""
    common = np.repeat(np.random.default_rng(33).standard_t(3, (ROWS, families)), kpis, axis=1)
    return np.asarray(
        100
        + 20 * DAY
        + 3 * (np.sqrt(0.95) * common + np.sqrt(0.05) * noise(34, ROWS, families * kpis))
    )


@pytest.mark.slow
@pytest.mark.parametrize("make", [independent, shocked, alike])
def test_harmless_releases_fail_no_more_often_than_said_whatever_the_number_of_kpis(
    make: Callable[[int, int], Floats],
) -> None:
    p, scores = replayed(make(40, 20))

    for kpis in (1, 5, 20, 100):
        families = [slice(first, first + kpis) for first in range(0, len(p), kpis)]
        weight = np.full(kpis, 1 / kpis)
        failed = [
            p[each].min()
            < learn_dependence(scores[each], weight, BEFORE // WATCH).alpha(weight, ALARMS) / kpis
            for each in families
        ]
        draws = (
            len(families) if make is independent else min(len(families), 40)
        )  # what shares its noise is one draw
        assert np.mean(failed) <= ALARMS + 2 * np.sqrt(ALARMS * (1 - ALARMS) / draws), kpis


@pytest.mark.slow
def test_kpis_that_are_nearly_one_are_not_each_asked_for_the_evidence_of_many() -> None:
    values = alike(1, 20)

    levels = [
        finding.level or 0.0
        for finding in anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE]).findings
    ]

    assert min(levels) > 2 * 0.01 / 20


def test_kpis_that_do_not_move_together_gain_nothing() -> None:
    values = 100 + noise(35, ROWS, 20)

    levels = [
        finding.level or 0.0
        for finding in anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE]).findings
    ]

    assert max(levels) < 1.1 * 0.01 / 20


def test_a_history_too_short_to_tell_credits_nothing_and_says_what_it_can_verify() -> None:
    few = INDEX[: 6 * WATCH + WATCH]

    report = anomaly.check(frame(alike(1, 5)[: len(few)], few), released_at=few[6 * WATCH])

    assert {finding.level for finding in report.findings} == {0.01 / 5}
    assert report.verifiable == 1 / 7
    assert (
        "this history can confirm a false-alarm rate only down to 1 in 7; "
        "the 1 % rests on simulations" in context_lines(report)
    )


@pytest.mark.slow
@given(
    st.lists(st.floats(0.001, 0.2), min_size=2, max_size=6),
    st.floats(0, 0.95),
    st.floats(0.001, 0.1),
)
def test_any_of_several_is_at_least_as_rare_as_their_sum_says_and_no_rarer_than_the_likeliest(
    parts: list[float], correlation: float, alarms: float
) -> None:
    weight = np.array(parts) / sum(parts)
    family = Dependence(np.ones(len(parts), bool), correlation)

    level = family.alpha(weight, alarms)

    assert weight.max() * alarms - 1e-9 <= family.any_below(weight * alarms) <= alarms + 1e-9
    assert alarms <= level <= alarms / weight.max()
    assert family.any_below(level * weight) <= alarms + 1e-9


@pytest.mark.slow
def test_the_release_fails_as_its_p_value_says() -> None:
    values = 100 + noise(36, ROWS, 20)
    values[BEFORE:, 3] += 1.6

    report = anomaly.check(frame(values, INDEX), released_at=INDEX[BEFORE])

    moved = report.findings[3]
    assert report.p_value == moved.p_release
    assert (moved.p_value or 1) < (moved.p_release or 0) < 20 * (moved.p_value or 0) + 1e-12
    assert (report.verdict == "fail") == ((report.p_value or 1) < report.false_alarms)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["independent", "remembering", "daily"])
def test_one_shift_of_three_sigma_among_twenty_kpis_is_found(kind: str) -> None:
    values = {
        "independent": 100 + noise(41, ROWS, 60),
        "remembering": 100 + remembering(0.5, 42, ROWS, 60),
        "daily": 100 + 20 * DAY + noise(43, ROWS, 60),
    }[kind]
    values[BEFORE:] += 3

    assert (replayed(values)[0] < 0.01 / 20).mean() >= 0.7


COUNT = 80
SERIES = {
    "independent": 100 + noise(51, ROWS, COUNT),
    "remembering": 100 + remembering(0.7, 52, ROWS, COUNT),
    "daily": 100 + 20 * DAY + 3 * remembering(0.3, 53, ROWS, COUNT),
}


@cache
def quiet(kind: str) -> Heard:
    """Series without a change, scored once for all levels that they are judged at."""
    kpis = [Kpi(f"k{i}") for i in range(COUNT)]
    columns = {
        (kpi.name, "", VALUE): values for kpi, values in zip(kpis, SERIES[kind].T, strict=True)
    }
    return hear(columns, kpis, now=STARTED + timedelta(hours=13), windows=WINDOWS)


@pytest.mark.slow
@pytest.mark.parametrize("kpis", [1, 20])
@pytest.mark.parametrize("kind", SERIES)
def test_the_detectable_effect_is_detected_in_four_of_five(kind: str, kpis: int) -> None:
    few = COUNT // 2  # together, for more than SMALL_FAMILY would share in another way
    alarms = 0.01 * few / kpis  # every KPI gets the level that it would have among so many

    heard = quiet(kind)
    every = heard.inquiry.kpis
    findings = [
        finding
        for some in (every[:few], every[few:])
        for finding in heard.report(some, false_alarms=alarms).findings
    ]
    sizes = np.array(
        [np.nan if f.detectable_absolute is None else f.detectable_absolute for f in findings]
    )
    passed = np.array([finding.verdict is Verdict.OK for finding in findings])
    moved = SERIES[kind].copy()
    moved[BEFORE:] += np.nan_to_num(sizes)
    found = replayed(moved)[0] < 0.01 / kpis

    assert np.isfinite(sizes[passed]).all()
    assert 0.7 <= found[passed].mean() <= 0.9
